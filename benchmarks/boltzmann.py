"""Boltzmann machines on binarised MNIST: mean test log-probabilities, the constant annealed.

    python benchmarks/boltzmann.py [--minutes 60] [--out runs/boltzmann] [run ...]

Each run trains for so many minutes more, in a folder of its own, and `benchmarks/boltzmann.md` is
written afresh from all folders, with their curves in `docs/images/boltzmann.png`. `--minutes 0`
only measures. The constant of a machine is annealed
forwards, from independent units, which in the mean is at most its logarithm, and backwards, from
draws of the machine by long chains, which in the mean is at least that, as far as the draws are
draws. Of deep machines it is their bound that is so bracketed.
"""

from timing import machine  # isort: skip

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch

import ptheta
from ptheta.inference.annealed_constant import AnnealedConstant

TABLE = Path(__file__).with_suffix(".md")
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "boltzmann.png"
TEMPERATURES, CHAINS, SWEEPS = 10_000, 100, 5_000


@dataclass(frozen=True)
class Machine:
    """A run.

    Arguments:
        recipe: The recipe.
        published: The figure that was published.
        settings: The settings that differ from the defaults.
    """

    recipe: str
    published: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


SLOW = {"hidden_features": 500, "learning_rate": 3e-4}
FALLING = {"hidden_features": 500, "learning_rate": 1e-3, "halving_steps": 8000}
RUNS = {
    "RBM, 500 units, PCD-5": Machine("rbm", "-86.34 (CD-25)", {**SLOW, "chain_steps": 5}),
    "RBM, 500 units, PCD-5, falling rate": Machine(
        "rbm", "-86.34 (CD-25)", {**FALLING, "chain_steps": 5}
    ),
    "RBM, 500 units, CD-1": Machine("rbm", "-125.53 (CD-1)", {**SLOW, "objective": "cd"}),
    "DBN, 500-500": Machine("dbn", "-86.22 (500-2000)", {**SLOW, "layer_steps": 10_000}),
    "DBM, 500-500": Machine(
        "dbm",
        "-84.62 (500-1000)",
        {"hidden_features": 500, "layer_steps": 2500, "chain_steps": 5},
    ),
    "DBM, 500-500, falling rate": Machine(
        "dbm",
        "-84.62 (500-1000)",
        {
            "hidden_features": 500,
            "layer_steps": 4000,
            "chain_steps": 5,
            "learning_rate": 5e-4,
            "halving_steps": 4000,
        },
    ),
}


def train(name: str, folder: Path, minutes: float) -> None:
    before = json.loads((folder / "run.json").read_text())["seconds"] if folder.exists() else 0.0
    run = RUNS[name]
    ptheta.fit(
        "binarized-mnist",
        run.recipe,
        settings=run.settings,
        seconds=before + 60 * minutes,
        out=folder,
        resume=folder.exists(),
    )


@torch.no_grad()
def measure(folder: Path) -> dict[str, Any]:
    """The mean bound of test rows up to the constant, and that annealed both ways."""
    run = ptheta.load(folder)
    model: Any = run.model
    within = model.model.model  # within the sampler, within the bridge
    top = getattr(within, "machine", within)
    bound = within.unnormalized_elbo if top is not within else within.unnormalized_log_prob
    test = ptheta.load_data(run.data).test.x[:]
    with ptheta.seeded(0):
        unnormalised = torch.cat([bound(rows.float()) for rows in test.split(500)]).mean().item()
    constant = AnnealedConstant(temperatures=TEMPERATURES, chains=CHAINS)
    found = constant.bracket(top, steps=SWEEPS)
    return {
        "at_most": unnormalised - found.low,
        "error": found.low_error,
        "at_least": unnormalised - found.high,
        "error_down": found.high_error,
        "steps": run.steps,
        "seconds": run.seconds,
    }


def row(name: str, folder: Path) -> str:
    run, kept = RUNS[name], folder.with_suffix(".json")
    found = measure(folder)
    kept.write_text(json.dumps(found))
    options = "".join(f" --set {k}={v}" for k, v in run.settings.items())
    return (
        f"| {name} | {run.published} | {found['at_most']:.2f} ± {found['error']:.2f} "
        f"| {found['at_least']:.2f} ± {found['error_down']:.2f} "
        f"| {found['seconds'] / 60:.0f} min, {found['steps']} steps "
        f"| `ptheta fit binarized-mnist {run.recipe}{options}` | {machine()} |"
    )


def tables(out: Path) -> str:
    lines = [
        "# Boltzmann machines on binarised MNIST",
        "",
        "Written by `python benchmarks/boltzmann.py`. Mean log-probability of the test rows in",
        f"nats, the constant annealed in {TEMPERATURES:,} steps of {CHAINS} chains: forwards,",
        "whose figure is in the mean too high, as those of papers are, and backwards from the ends",
        f"of chains of {SWEEPS:,} sweeps, whose figure is in the mean too low.",
        "",
        "| run | published | forwards | backwards | training | command | machine |",
        "| --- | ---: | ---: | ---: | --- | --- | --- |",
    ]
    folders = {name: folder_of(out, name) for name in RUNS}
    lines += [row(name, at) for name, at in folders.items() if (at / "run.json").exists()]
    return "\n".join(lines) + "\n"


def curves(out: Path) -> None:
    """The held-out figures of training, by a thousand steps of annealing."""
    figure, axes = plt.subplots(figsize=(7.2, 4.0))
    for name in RUNS:
        kept = folder_of(out, name) / "metrics.jsonl"
        if not kept.exists():
            continue
        rows = [json.loads(line) for line in kept.read_text().splitlines()]
        seen = [(row["seconds"] / 60, row["validation"]) for row in rows if "validation" in row]
        axes.plot(*zip(*seen, strict=True), label=name, marker=".", linewidth=1)
    axes.set_xlabel("minutes of training on one core")
    axes.set_ylabel("held-out log-probability, nats")
    axes.set_ylim(-150, -75)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)


def folder_of(out: Path, name: str) -> Path:
    return out / name.replace(",", "").replace(" ", "-")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="*", default=list(RUNS), help="; ".join(RUNS))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("runs/boltzmann"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.runs if options.minutes else ():
        train(name, folder_of(options.out, name), options.minutes)
    found = tables(options.out)
    TABLE.write_text(found)
    curves(options.out)
    print(found)


if __name__ == "__main__":
    main()
