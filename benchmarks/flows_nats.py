"""Held-out nats of flows beside those of zuko, nflows and normflows, trained alike.

    python benchmarks/flows_nats.py [--seeds 3] [--steps 1000] [--out flows_nats.jsonl] [set ...]

Every library builds the architectures of `benchmarks/flows.py`, and all are trained by one bare
loop, on the same standardised values in the same batches, and are measured with the weights of
their best look at the validation rows. Nats are those of an example in the data's own units;
digits carry uniform noise, so that theirs bound those of the digits. What is in the file already
is not trained again; the table is written beside it.
"""

from loops import bare  # isort: skip
from flow_systems import CELLS, LIBRARIES, System, installed  # isort: skip

import argparse
import copy
import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ptheta import load_data

LARGE = ("miniboone-head", "digits")
SETS = ("moons", "checkerboard", "spirals", "power-plant", "kin8nm", "protein", *LARGE)
BATCH, LOOKS = 256, 20
PAGE = """# Held-out nats of flows beside zuko, nflows and normflows

Written by `python benchmarks/flows_nats.py` from the file beside it. Means over seeds and their
standard deviation, of test rows in the data's own units, after 1,000 steps of 256 rows by one bare
loop for all. The last column is by how much ptheta is behind the best of the others, where it is
above 0, and the deviation of that. Autoregressive splines of 43 and 64 values are left out, since a
step of them takes the others half a second; coupling splines are in the table of speed alone.

"""


def cells(name: str) -> tuple[str, ...]:
    # a step of an autoregressive spline of 64 values takes the others half a second
    return ("realnvp", "maf") if name in LARGE else ("realnvp", "maf", "nsf-autoregressive")


def splits(name: str) -> tuple[tuple[Tensor, Tensor, Tensor], float]:
    """Standardised values for training, validation and test, and the log of their units."""
    data = load_data(name)
    noise = torch.Generator().manual_seed(0)

    def values(x: Tensor) -> Tensor:
        x = x.flatten(1)
        return x if x.is_floating_point() else x + torch.rand(x.shape, generator=noise)

    train, *held_out = (values(split.x[:]) for split in (data.train, data.validation, data.test))
    mean, std = train.mean(dim=0), train.std(dim=0)
    validation, test = ((x - mean) / std for x in held_out)
    return ((train - mean) / std, validation, test), std.log().sum().item()


@torch.no_grad()
def nats(system: System, x: Tensor) -> float:
    system.module.eval()
    found = -torch.cat([system.log_prob(part) for part in x.split(1000)]).mean().item()
    system.module.train()
    return found if math.isfinite(found) else math.inf


def fitted(system: System, train: Tensor, validation: Tensor, seed: int, steps: int) -> System:
    """The system with the weights of its best look, trained on batches that the seed names."""
    order = torch.Generator().manual_seed(seed)
    batch = torch.empty(BATCH, train.shape[1])
    step = bare(lambda x: -system.log_prob(x).mean(), system.module, batch, steps=1, clip=5.0)
    best, weights = math.inf, copy.deepcopy(system.module.state_dict())
    for done in range(1, steps + 1):
        batch.copy_(train[torch.randint(len(train), (BATCH,), generator=order)])
        step()
        if done % max(1, steps // LOOKS) == 0 and (found := nats(system, validation)) < best:
            best, weights = found, copy.deepcopy(system.module.state_dict())
    system.module.load_state_dict(weights)
    return system


def measured(name: str, cell: str, library: str, seed: int, steps: int) -> dict[str, Any] | None:
    (train, validation, test), units = splits(name)
    torch.manual_seed(seed)
    system = LIBRARIES[library](CELLS[cell], train.shape[1])
    if system is None:
        return None
    found = nats(fitted(system, train, validation, seed, steps), test) + units
    row = {"set": name, "cell": cell, "library": library, "seed": seed, "steps": steps}
    return {**row, "nats": round(found, 4)}


def table(found: list[dict[str, Any]]) -> Iterator[str]:
    yield "| set | entropy | flow | " + " | ".join(LIBRARIES) + " | behind the best by |"
    yield "| --- | ---: | --- |" + " ---: |" * (len(LIBRARIES) + 1)
    for name, cell in dict.fromkeys((row["set"], row["cell"]) for row in found):
        of = {
            library: [r["nats"] for r in found if (r["set"], r["cell"], r["library"]) == key]
            for library, key in ((library, (name, cell, library)) for library in LIBRARIES)
        }
        truth = load_data(name).truth
        entropy = "" if truth is None else f"{truth.entropy:.3f}"
        shown = " | ".join(map(_cell, of.values()))
        yield f"| {name} | {entropy} | {cell} | {shown} | {_behind(of)} |"


def _behind(found: dict[str, list[float]]) -> str:
    """The nats by which ours is behind the best of the others, and the seeds' spread of both."""
    ours, *others = [library for library in found if found[library]]
    if ours != "ptheta" or not others:
        return ""
    best = min(others, key=lambda library: statistics.mean(found[library]))
    gap = statistics.mean(found[ours]) - statistics.mean(found[best])
    if min(len(found[ours]), len(found[best])) < 2:
        return f"{gap:.3f}"
    spread = math.hypot(statistics.stdev(found[ours]), statistics.stdev(found[best]))
    return f"{gap:.3f} ({spread:.3f})"


def _cell(found: list[float]) -> str:
    if len(found) < 2:
        return "".join(f"{nats:.3f}" for nats in found)
    return f"{statistics.mean(found):.3f} ± {statistics.stdev(found):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="*", default=list(SETS), help=", ".join(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".jsonl"))
    options = parser.parse_args()
    found = [json.loads(line) for line in options.out.open()] if options.out.exists() else []
    done = {(row["set"], row["cell"], row["library"], row["seed"]) for row in found}
    for key in (
        (name, cell, library, seed)
        for seed in range(options.seeds)
        for name in options.sets
        for cell in cells(name)
        for library in installed()
    ):
        if key in done or (row := measured(*key, options.steps)) is None:
            continue
        found.append(row)
        print(row, flush=True)
        with options.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
    options.out.with_suffix(".md").write_text(PAGE + "\n".join(table(found)) + "\n")


if __name__ == "__main__":
    main()
