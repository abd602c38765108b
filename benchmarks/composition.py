"""Two attributes learned apart and asked for together: `docs/images/composition.png`.

    python benchmarks/composition.py

Points lie on three rings. One energy learns them given the ring, another given the quadrant, a
third all of them; ring and quadrant are independent, so that of both given together the density is
the product of the first two over the third. Shown are these densities by normalisation on a grid,
and draws of the product by Langevin chains; printed is the share of draws that have both
attributes, over all twelve pairs, and beside it that of data.
"""

import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

import ptheta
from ptheta.inference.adapters import WithMCMC
from ptheta.inference.langevin import MALA
from ptheta.models.energy.composition import Given, Product

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "composition.png"
RINGS, QUADRANTS = 3, 4
AXIS = torch.linspace(-4, 4, 161)
EXTENT = (-4, 4, -4, 4)


def points(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points, their rings and their quadrants."""
    ring = torch.randint(RINGS, (n,))
    angle = 2 * math.pi * torch.rand(n)
    radius = 1.0 + ring + 0.15 * torch.randn(n)
    x = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    return x, ring, (angle / (math.pi / 2)).long()


def attributes(x: Tensor) -> tuple[Tensor, Tensor]:
    """The ring that is nearest, and the quadrant."""
    ring = (x.norm(dim=1) - 1).round().clamp(0, RINGS - 1).long()
    angle = torch.atan2(x[:, 1], x[:, 0]) % (2 * math.pi)
    return ring, (angle / (math.pi / 2)).long()


def fitted(x: Tensor, labels: Tensor | None) -> Any:
    source: Any = x.numpy() if labels is None else (x.numpy(), labels.numpy())
    data = ptheta.load_data(source, context=None if labels is None else "label")
    run = ptheta.fit(data, "ebm", settings={"objective": "nce"}, steps=6000)
    return run.model


def density(model: Any) -> np.ndarray[Any, Any]:
    grid = torch.cartesian_prod(AXIS, AXIS)
    with torch.no_grad():
        log_prob = model.unnormalized_log_prob(grid)
    return log_prob.softmax(dim=0).reshape(len(AXIS), -1).T.numpy()


def main() -> None:
    with ptheta.seeded(0):
        x, ring, quadrant = points(40_000)
        of_ring, of_quadrant, of_all = fitted(x, ring), fitted(x, quadrant), fitted(x, None)
        right, pictures = [], []
        for r in range(RINGS):
            for q in range(QUADRANTS):
                one, other = Given(of_ring, torch.tensor(r)), Given(of_quadrant, torch.tensor(q))
                both = Product([one, other, of_all], [1.0, 1.0, -1.0])
                drawn = WithMCMC(both, MALA(0.05), (2,), steps=1000).sample(500)
                found = attributes(drawn)
                right.append(((found[0] == r) & (found[1] == q)).float().mean().item())
                if (r, q) in ((1, 0), (2, 2)):
                    pictures.append((r, q, density(one), density(other), density(both), drawn))
        real = attributes(x)
        share = ((real[0] == ring) & (real[1] == quadrant)).float().mean().item()
    print(f"with both attributes: {np.mean(right):.3f} of draws, least {min(right):.3f}")
    print(f"of data, whose noise moves some to another ring: {share:.3f}")
    figure, rows = plt.subplots(2, 4, figsize=(10, 5.2))
    for row, (r, q, *densities, drawn) in zip(rows, pictures, strict=True):
        for axes, picture in zip(row, densities, strict=False):
            axes.imshow(picture, origin="lower", extent=EXTENT, cmap="magma")
        row[3].scatter(*drawn.T, s=2, color="black")
        row[3].set_aspect("equal")
        titles = (f"ring {r + 1}", f"quadrant {q + 1}", "both", "draws of both")
        for axes, title in zip(row, titles, strict=True):
            axes.set(title=title, xlim=(-4, 4), ylim=(-4, 4), xticks=[], yticks=[])
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=80)


if __name__ == "__main__":
    main()
