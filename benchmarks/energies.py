"""One energy network by every objective: `benchmarks/energies.md`, `docs/images/energies.png`.

    python benchmarks/energies.py [--steps 4000] [--seeds 1] [objective ...]

Held-out nats are those of the energy brought to integrate to 1 on a grid, whatever the objective
knew of its constant; beside them is the entropy of the data, which is the best that can be. The
constant that noise contrast learns is shown against the grid's.
"""

from timing import machine  # isort: skip

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

import ptheta
from ptheta.data.dataset import Data
from ptheta.models.energy.self_normalised import SelfNormalised
from ptheta.protocols import SupportsUnnormalizedLogProb

TABLE = Path(__file__).with_suffix(".md")
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "energies.png"
DATA = ("eight-gaussians", "pinwheel", "checkerboard")
OBJECTIVES = ("pcd", "cd", "sm", "ssm", "dsm", "mdsm", "nce", "fce")
FROM, TO, POINTS = -6.0, 6.0, 601


@dataclass(frozen=True)
class Fit:
    """What one training came to.

    Arguments:
        nats: Held-out nats by the grid's constant.
        seconds: The seconds of training.
        own: The constant that the model has learned, less the grid's, or None.
        density: The density on the grid.
    """

    nats: float
    seconds: float
    own: float | None
    density: Tensor


def grid() -> Tensor:
    axis = torch.linspace(FROM, TO, POINTS)
    return torch.cartesian_prod(axis, axis)


@torch.no_grad()
def judged(model: nn.Module, test: Tensor, seconds: float) -> Fit:
    assert isinstance(model, SupportsUnnormalizedLogProb)
    values = torch.cat([model.unnormalized_log_prob(part) for part in grid().split(20_000)])
    cell = ((TO - FROM) / (POINTS - 1)) ** 2
    log_z = values.double().logsumexp(dim=0) + torch.tensor(cell).log()
    nats = log_z - model.unnormalized_log_prob(test).double().mean()
    learned = [m.log_normalizer for m in model.modules() if isinstance(m, SelfNormalised)]
    own = (learned[0] - log_z).item() if learned else None
    return Fit(nats.item(), seconds, own, (values - log_z).exp().reshape(POINTS, POINTS).t())


def fitted(data: Data, objective: str, steps: int, seed: int) -> Fit:
    started = time.perf_counter()
    run = ptheta.fit(data, "ebm", settings={"objective": objective}, steps=steps, seed=seed)
    return judged(run.model, data.test.x[:], time.perf_counter() - started)


def cell(fits: list[Fit]) -> str:
    nats = [fit.nats for fit in fits]
    spread = f" ± {statistics.stdev(nats):.3f}" if len(nats) > 1 else ""
    own = [fit.own for fit in fits if fit.own is not None]
    constant = f", log Z {statistics.mean(own):+.3f}" if own else ""
    return f"{statistics.mean(nats):.3f}{spread}{constant}"


def seconds(found: dict[str, list[Fit]]) -> str:
    return f"{statistics.mean(fit.seconds for fits in found.values() for fit in fits):.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("objectives", nargs="*", default=list(OBJECTIVES))
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    sets = {name: ptheta.load_data(name) for name in DATA}
    rows = {
        objective: {
            name: [fitted(data, objective, options.steps, s) for s in range(options.seeds)]
            for name, data in sets.items()
        }
        for objective in options.objectives
    }
    entropies = [data.truth.entropy for data in sets.values() if data.truth is not None]
    lines = [
        "# One energy by every objective",
        "",
        f"Written by `python benchmarks/energies.py --steps {options.steps} --seeds "
        f"{options.seeds}`: held-out nats of an example on a grid, seconds of training, and by how "
        "much the constant that is learned is off the grid's.",
        f"{machine()}.",
        "",
        f"| objective | {' | '.join(DATA)} | training |",
        f"| --- |{' ---: |' * (len(DATA) + 1)}",
        f"| entropy of the data | {' | '.join(f'{e:.3f}' for e in entropies)} | |",
        *(
            f"| {objective} | {' | '.join(cell(found[name]) for name in DATA)} | {seconds(found)} |"
            for objective, found in rows.items()
        ),
    ]
    TABLE.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    draw(sets, rows)


def draw(sets: dict[str, Data], rows: dict[str, dict[str, list[Fit]]]) -> None:
    width = 1 + len(rows)
    figure, axes = plt.subplots(
        len(sets), width, figsize=(2 * width, 2 * len(sets)), constrained_layout=True
    )
    for line, (name, data) in zip(axes, sets.items(), strict=True):
        assert data.truth is not None
        shown = {"the data": data.truth.log_prob(grid()).exp().reshape(POINTS, POINTS).t()}
        shown |= {objective: found[name][0].density for objective, found in rows.items()}
        brightest = shown["the data"].quantile(0.99).item()
        for axis, (title, values) in zip(line, shown.items(), strict=True):
            axis.imshow(
                values, origin="lower", extent=(FROM, TO, FROM, TO), cmap="magma", vmax=brightest
            )
            axis.set_title(title)
            axis.set_axis_off()
    figure.savefig(PICTURE, dpi=60)


if __name__ == "__main__":
    main()
