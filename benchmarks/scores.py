"""The score of a known mixture, learned: `benchmarks/scores.md`, `docs/images/scores.png`.

    python benchmarks/scores.py [--steps 40000] [--seeds 3]

The data are the paper's: two Gaussians far apart, with a fifth and four fifths of the mass. At each
level of noise the learned score is held against the true one. Then draws by Langevin dynamics at
the least level alone, from noise spread over the plane, are set beside draws through all levels,
by the learned score and by the true one: what is wrong with the latter is the sampler's doing.

References:
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019),
    https://arxiv.org/abs/1907.05600, section 3.2.2 and figure 3
"""

from timing import machine  # isort: skip

import argparse
import statistics
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor

import ptheta
from ptheta.density import draw
from ptheta.inference.predictions import from_score
from ptheta.noising import Prediction

TABLE = Path(__file__).with_suffix(".md")
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "scores.png"
CENTRES = torch.tensor([[-5.0, -5.0], [5.0, 5.0]])
SHARES = torch.tensor([0.2, 0.8])
ROWS = 1_000_000  # so many that none is seen often
DRAWS = 10_000
LANGEVIN_STEPS = 500
SETTINGS = {
    "sigma_max": 20.0,
    "sigma_min": 0.05,
    "levels": 100,
    "level_steps": 20,
    "batch_size": 1024,
}
SHOWN = 10  # levels in the table


def data(n: int) -> Tensor:
    which = (torch.rand(n) < SHARES[1]).long()
    return CENTRES[which] + torch.randn(n, 2)


class Truth:
    """The score of the mixture as a model sees it, which standardises its data."""

    def __init__(self, model: Any) -> None:
        standardise = model.bridge.steps[0]
        self.mean, self.scale = standardise.mean, standardise.scale
        self.path = model.model.model.path

    def standardised(self, x: Tensor) -> Tensor:
        return ((x - self.mean) / self.scale).float()

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        centres = self.standardised(CENTRES)
        variance = self.scale.float() ** -2 + self.path.sigma(t) ** 2
        off = x[:, None] - centres
        weights = (SHARES.log() - (off.square() / variance).sum(2) / 2).softmax(dim=1)
        return -(weights[:, :, None] * off / variance).sum(dim=1)


@torch.no_grad()
def errors(model: Any) -> list[tuple[float, float]]:
    """At some levels: the noise, and the error of the score over its size, in root mean squares."""
    truth, found = Truth(model), list[tuple[float, float]]()
    times = truth.path.times()
    for i in torch.linspace(0, len(times) - 1, SHOWN).long():
        t = times[i]
        sigma = truth.path.sigma(t)
        x = truth.standardised(data(DRAWS))
        x = x + sigma * torch.randn_like(x)
        true = truth.score(x, t)
        off = model.model.model.score(x, t=t) - true
        found.append((sigma.item(), (off.square().sum() / true.square().sum()).sqrt().item()))
    return found


@torch.no_grad()
def plain(model: Any, n: int) -> Tensor:
    """Draws by Langevin dynamics at the least level, from the square of the paper."""
    truth = Truth(model)
    t = truth.path.times()[0]
    x = truth.standardised(16 * torch.rand(n, 2) - 8)
    step = 0.02 * truth.scale.float().min() ** -2
    for _ in range(LANGEVIN_STEPS):
        x = x + step * model.model.model.score(x, t=t) + (2 * step).sqrt() * torch.randn_like(x)
    return x * truth.scale.float() + truth.mean.float()


@torch.no_grad()
def annealed(model: Any, n: int) -> Tensor:
    """Draws through all levels by the true score."""
    truth = Truth(model)
    path, levels = truth.path, truth.path.times().flip(0)
    x = path.sigma(levels[0]) * torch.randn(n, 2)

    def predict(at: Tensor, t: Tensor) -> Prediction:
        return from_score(at, truth.score(at, t), path.alpha(t), path.sigma(t))

    x = model.model.sampler(predict, path, x, levels)
    return x * truth.scale.float() + truth.mean.float()


def share(x: Tensor) -> float:
    """The share of the smaller mode."""
    return (torch.cdist(x, CENTRES).argmin(dim=1) == 0).float().mean().item()


def picture(draws: dict[str, Tensor]) -> None:
    figure, axes = plt.subplots(1, len(draws), figsize=(2.6 * len(draws), 3.0), sharey=True)
    for axis, (title, x) in zip(axes, draws.items(), strict=True):
        axis.scatter(*x[:2000].T, s=2, alpha=0.4, linewidths=0)
        axis.set_title(f"{title}\n{share(x):.0%} in the smaller mode", fontsize=9)
        axis.set_xlim(-9, 9)
        axis.set_ylim(-9, 9)
        axis.set_aspect("equal")
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    options = parser.parse_args()
    curves: list[list[tuple[float, float]]] = []
    shares: list[tuple[float, ...]] = []
    for seed in range(options.seeds):
        with ptheta.seeded(seed):
            x = data(ROWS)
        rate = {"learning_rate": options.learning_rate, "halving_steps": options.steps // 10}
        settings = {**SETTINGS, **rate}
        run = ptheta.fit(
            ptheta.load_data(x.numpy()), "ncsn", settings=settings, steps=options.steps, seed=seed
        )
        with ptheta.seeded(seed):
            draws = {
                "data": data(DRAWS),
                f"Langevin, {LANGEVIN_STEPS:,} steps": plain(run.model, DRAWS),
                "annealed Langevin": draw(run.model, DRAWS),
                "annealed, true score": annealed(run.model, DRAWS),
            }
            curves.append(errors(run.model))
        shares.append(tuple(map(share, draws.values())))
        if seed == 0:
            picture(draws)
    lines = [
        "# The score of a known mixture",
        "",
        f"Written by `python benchmarks/scores.py --steps {options.steps} --seeds {options.seeds}`",
        f"on {machine()}. `ncsn`, {SETTINGS['batch_size']} rows a batch, on {ROWS:,} rows of",
        "0.2 N((-5, -5), I) + 0.8 N((5, 5), I).",
        "",
        "## Error of the learned score",
        "",
        "Root mean squares over draws of each level: the error over the size of the true score.",
        "Noise is in standard deviations of the data.",
        "",
        "| noise | error, by seed | worst |",
        "| ---: | --- | ---: |",
    ]
    for row in zip(*curves, strict=True):
        found = [error for _, error in row]
        each = ", ".join(f"{error:.1%}" for error in found)
        lines.append(f"| {row[0][0]:.3g} | {each} | {max(found):.1%} |")
    lines += [
        "",
        "## Mass of the smaller mode",
        "",
        f"Of {DRAWS:,} draws each; 0.2 is right. Langevin dynamics at the least level starts",
        "evenly over the square from -8 to 8 and stays with the mode it is nearest to. Annealed",
        f"draws take {SETTINGS['level_steps']} steps at each of {SETTINGS['levels']} levels.",
        "",
        "| seed | data | Langevin dynamics | annealed | annealed, true score |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = {str(seed): row for seed, row in enumerate(shares)}
    rows["mean"] = tuple(statistics.mean(column) for column in zip(*shares, strict=True))
    lines += [
        f"| {name} | {' | '.join(f'{value:.3f}' for value in row)} |" for name, row in rows.items()
    ]
    TABLE.write_text("\n".join(lines) + "\n")
    print(TABLE.read_text())


if __name__ == "__main__":
    main()
