"""Test figures on MNIST beside the published ones: long runs that can be taken up again.

    python benchmarks/headline.py [--minutes 60] [--out runs/headline] [run ...]

Each run trains for so many minutes more, in a folder of its own, and `benchmarks/headline.md` is
written afresh from all folders. `--minutes 0` only writes it. Runs stop early where the held-out
figure no longer rises. All rows of the test set are evaluated, or 1,000 at random where an exact
density is dear, with the best weights: in nats an image where pixels are binary, in bits a pixel
where they have 256 levels.
"""

from timing import machine  # isort: skip

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import ptheta
from ptheta.density import densities

TABLE = Path(__file__).with_suffix(".md")
ALL = 10_000  # rows, which no test set exceeds
MARKS = (1, 5, 15, 30, 60, 90, 120, 180)  # minutes at which the curve is shown


@dataclass(frozen=True)
class Headline:
    """A long run.

    Arguments:
        recipe: The recipe.
        published: The figure that was published.
        settings: The settings that differ from the defaults.
        data: The data.
        compile: Whether the network is compiled.
        rows: How many of the test rows are evaluated, drawn at random where there are more.
    """

    recipe: str
    published: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    data: str = "binarized-mnist"
    compile: bool = False
    rows: int = ALL


@dataclass(frozen=True)
class Table:
    """The runs on one set of data.

    Arguments:
        title: What the figures are.
        unit: The nats of an example in the unit of its figures.
        digits: The digits behind the point.
    """

    title: str
    unit: float = 1.0
    digits: int = 2


MADE_8000 = {
    "hidden_features": 8000,
    "layers": 1,
    "weight_decay": 0.01,
    "learning_rate": 1e-3,
}
PIXELCNN = {"channels": 32, "blocks": 15, "learning_rate": 2e-3}
# black pixels with their noise are spread out by it, and else stand as narrow spikes
LOGIT = {"logit": 1e-6}
SMALL_BATCH = {**LOGIT, "batch_size": 64, "learning_rate": 1e-3}
RESIDUAL = {**SMALL_BATCH, "hidden_features": 128, "largest_features": 784}
RUNS = {
    "mixture of 500 Bernoullis": Headline("latent-class", "137.6", {"components": 500}),
    "fvsbn": Headline("fvsbn", "97.45", {"learning_rate": 1e-3, "batch_size": 256}),
    "nade": Headline("nade", "88.33"),
    "made, 500, one mask": Headline(
        "made", "94.5 (a re-run)", {"hidden_features": 500, "layers": 1}
    ),
    "made, 8000, one mask": Headline("made", "88.40", MADE_8000),
    "made, 8000, 32 masks": Headline(
        "made", "88.04", {**MADE_8000, "masks": 32, "weight_decay": 0.001}
    ),
    "pixelcnn, 15 blocks of 32": Headline("pixelcnn", "81.30 (of 128)", PIXELCNN, compile=True),
    "diagonal bilstm, one layer": Headline("diagonal-bilstm", "80.75", {"layers": 1}),
    "nice": Headline("nice", "4.36 (by 1980.5 nats)", {"hidden_features": 1000}, data="mnist"),
    "realnvp, multi-scale": Headline("realnvp-multiscale", "1.06", LOGIT, data="mnist"),
    "glow": Headline("glow", "1.05", LOGIT, data="mnist"),
    "i-resnet, dense blocks": Headline(
        "i-resnet", "1.06 (convolutional)", RESIDUAL, data="mnist", rows=1000
    ),
    "residual flow, dense blocks": Headline(
        "residual-flow", "0.97 (convolutional)", RESIDUAL, data="mnist", rows=1000
    ),
    "mintnet": Headline("mintnet", "0.98", SMALL_BATCH, data="mnist"),
    "character LSTM": Headline("char-lstm", "", data="shakespeare"),
    "Transformer": Headline("transformer", "1.88 (2000 steps of 12)", data="shakespeare"),
    "Markov chain of order 1": Headline("markov", "", {"order": 1}, data="spoken-digits"),
    "WaveNet": Headline("wavenet", "", data="spoken-digits"),
}
TABLES = {
    "binarized-mnist": Table("Binarized MNIST: test nats an image"),
    "mnist": Table(
        "MNIST: test bits a pixel, bounds from above, since levels carry noise; b bits are "
        "543.4 (8 - b) nats of pixels from 0 to 1",
        784 * math.log(2),
    ),
    "shakespeare": Table(
        "Shakespeare: nats a character of the last tenth, in stretches of 64", 64, 3
    ),
    "spoken-digits": Table(
        "Spoken digits: test bits a sample, of 256 levels at 8 kHz, in stretches of 1,024",
        1024 * math.log(2),
        3,
    ),
}


def train(name: str, folder: Path, minutes: float) -> None:
    run = RUNS[name]
    spent = json.loads((folder / "run.json").read_text())["seconds"] if folder.exists() else 0.0
    ptheta.fit(
        run.data,
        run.recipe,
        settings=run.settings,
        seconds=spent + 60 * minutes,
        out=folder,
        resume=folder.exists(),
        compile=run.compile,
    )


def measure(folder: Path, rows: int) -> dict[str, Any]:
    """The test nats of a folder, kept beside it so that they are computed once."""
    record = json.loads((folder / "run.json").read_text())
    kept = folder.with_suffix(".json")
    if kept.exists():
        found = json.loads(kept.read_text())
        if (found["steps"], found.get("rows", rows)) == (record["steps"], rows):
            return found
    run = ptheta.load(folder)
    test = ptheta.load_data(run.data).test
    chosen = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:rows]
    x = test.x[chosen.sort().values]
    nats = -densities(run.model, x, space=run.space).values
    figures = {
        "nats": nats.mean().item(),
        "standard_error": nats.std().item() / len(nats) ** 0.5,
        "rows": rows,
    }
    found = {**figures, "machine": machine(), **record}
    kept.write_text(json.dumps(found))
    return found


def curve(folder: Path, table: Table) -> str:
    """The held-out figures at some moments, such as ``5 min 93.1``."""
    parts: list[str] = []
    looks = list(_looks(folder))
    for mark in MARKS:
        seen = [nats for minutes, nats in looks if minutes <= mark]
        if seen and looks[-1][0] >= mark:
            parts.append(f"{mark} min {seen[-1] / table.unit:.{table.digits}f}")
    return ", ".join(parts)


def _looks(folder: Path) -> Iterator[tuple[float, float]]:
    for line in (folder / "metrics.jsonl").open():
        row = json.loads(line)
        if "validation" in row:
            yield row["seconds"] / 60, -row["validation"]


def row(name: str, folder: Path) -> str:
    run = RUNS[name]
    found = measure(folder, run.rows)
    of = TABLES[run.data]
    options = "".join(f" --set {k}={v}" for k, v in run.settings.items())
    options += " --compile" if run.compile else ""
    part = f" ± {found['standard_error'] / of.unit:.{of.digits}f}" if run.rows < ALL else ""
    return (
        f"| {name} | {run.published} | {found['nats'] / of.unit:.{of.digits}f}{part} "
        f"| {found['seconds'] / 60:.0f} min, {found['steps']} steps "
        f"| {curve(folder, of)} | `ptheta fit {run.data} {run.recipe}"
        f"{options}` | {found['seed']} | {found['machine']} |"
    )


def tables(out: Path) -> str:
    lines = [
        "# Headline figures",
        "",
        "Written by `python benchmarks/headline.py`. All test rows (1,000 at random for i-resnet",
        "and residual flow), with the weights of the best look at the validation rows. The curve",
        "is of validation figures. Times are of the",
        "wall clock, whatever else the machine did; its load is that of the evaluation.",
    ]
    for data, of in TABLES.items():
        lines += [
            *("", f"## {of.title}", ""),
            "| run | published | test | training | curve | command | seed | machine |",
            "| --- | ---: | ---: | --- | --- | --- | ---: | --- |",
        ]
        for name, run in RUNS.items():
            folder = out / folder_name(name)
            if run.data == data and (folder / "model.safetensors").exists():
                lines.append(row(name, folder))
    return "\n".join(lines) + "\n"


def folder_name(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="*", default=list(RUNS), help="; ".join(RUNS))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("runs/headline"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.runs if options.minutes else ():
        train(name, options.out / folder_name(name), options.minutes)
        TABLE.write_text(tables(options.out))
    TABLE.write_text(tables(options.out))
    print(tables(options.out))


if __name__ == "__main__":
    main()
