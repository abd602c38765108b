"""Many recipes on one data set, each fitted several times and measured alike."""

from __future__ import annotations

__all__ = ["BASELINE", "Comparison", "compare"]

import dataclasses
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ptheta.border import Count, Seed, checked
from ptheta.data.dataset import Data
from ptheta.data.load import load_data
from ptheta.errors import PthetaError
from ptheta.evaluation.bench import Bench, Entry, Watcher, plan_runs
from ptheta.evaluation.evaluate import noise_floor, plain
from ptheta.evaluation.quality import Quality
from ptheta.evaluation.rows import head
from ptheta.files import explained, whole_file
from ptheta.fitting import Progress, fit, resolve_device
from ptheta.spaces import Space

BASELINE = "independent"


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Arguments:
        data: The name of the data.
        origin: How to load the data again.
        space: What one example is.
        real: Held-out examples, with shape (n, *space.shape).
        entropy: The true entropy in nats, where it is known.
        reference: Training examples in the place of samples: the noise floor.
        entries: The recipes, best capacity first.
        budget: What was asked for: seeds, seconds, steps, learning rates, device and so on.
        versions: The versions of what was used.
        interrupted: Whether it was cut off.
    """

    data: str
    origin: Mapping[str, Any]
    space: Space
    real: Tensor
    entropy: float | None
    reference: Quality
    entries: tuple[Entry, ...]
    budget: Mapping[str, Any]
    versions: Mapping[str, str]
    interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        """Everything but the examples, as plain numbers, lists and dicts."""
        return plain(
            {
                "data": self.data,
                "origin": dict(self.origin),
                "space": self.space.describe(),
                "entropy": self.entropy,
                "budget": dict(self.budget),
                "versions": dict(self.versions),
                "interrupted": self.interrupted,
                "reference": dataclasses.asdict(self.reference),
                "ratings": [dataclasses.asdict(entry.rating) for entry in self.entries],
                "runs": [dataclasses.asdict(a) for entry in self.entries for a in entry.attempts],
            }
        )


@checked
def compare(
    data: Data | str | Path,
    recipes: Sequence[str],
    *,
    out: str | Path,
    seeds: Count = 3,
    seconds: float | None = 20.0,
    steps: Count | None = None,
    learning_rates: Sequence[float] = (0.25, 1.0, 4.0),
    quick: bool = False,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    samples: Count = 1000,
    device: str = "auto",
    precision: str = "32-true",
    seed: Seed = 0,
    progress: Watcher | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Comparison:
    """Fits recipes to data, one after the other, and rates them.

    Each recipe is fitted with every seed at every learning rate; a recipe without a learning
    rate, with every seed. All runs have the same budget. The runs at the default learning rate
    are measured in full; the others serve stability. A recipe that diverges or refuses the data
    has a row that says so, and the others go on. The recipe ``independent`` is always among them.

    Arguments:
        data: The data, from `ptheta.load_data`; a name or a path is loaded with its defaults.
        recipes: The names of the recipes.
        out: The folder in which every run is kept, each in a folder of its own.
        seeds: The number of seeds.
        seconds: The seconds of training of each run; None sets no limit.
        steps: The steps of training of each run; None sets no limit.
        learning_rates: What the default learning rate is multiplied by; 1 is always among them.
        quick: Whether to try the other learning rates with the first seed alone.
        settings: Settings that differ from the defaults, by recipe.
        samples: The most samples that are measured.
        device: auto, cpu, cuda or mps.
        precision: 32-true or bf16-mixed.
        seed: The first seed.
        progress: What is told how the comparison goes.
        on_progress: What is told how far each fit is.

    Returns:
        The comparison; `ptheta.evaluation.report.write_report` makes a page of it. It is saved
        in ``comparison.json`` too.

    Raises:
        PthetaError: There is no such recipe or setting, the folder is in use, or there are too
            few held-out rows.
        CannotWrite: A run or the comparison cannot be written.
    """
    data = load_data(data)
    names = list(dict.fromkeys([*recipes, BASELINE]))
    given = {name: dict((settings or {}).get(name, {})) for name in names}
    plan = {
        name: plan_runs(name, given[name], seeds, seed, learning_rates, quick=quick)
        for name in names
    }
    if not recipes:
        raise PthetaError("there is no recipe to compare. Name at least one.")
    folder = _free(out)
    reference = noise_floor(data, samples=samples, seed=seed)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    begin = partial(
        fit,
        data,
        seconds=seconds,
        steps=steps,
        device=device,
        precision=precision,
        on_progress=on_progress,
    )
    bench = Bench(data, reference, samples, seed, folder, begin, progress, plan)
    entries = [bench.entry(name) for name in names if not bench.interrupted]
    comparison = Comparison(
        data=data.name,
        origin=data.origin,
        space=data.space,
        real=head(data.test, samples, seed).x[:],
        entropy=None if data.truth is None else data.truth.entropy,
        reference=reference,
        entries=tuple(sorted(entries, key=_order)),
        budget={
            "recipes": list(recipes),
            "settings": {name: dict(values) for name, values in (settings or {}).items()},
            "seeds": seeds,
            "seconds": seconds,
            "steps": steps,
            "learning_rates": list(learning_rates),
            "quick": quick,
            "samples": samples,
            "device": device,
            "ran_on": str(resolve_device(device)),
            "precision": precision,
            "seed": seed,
            "threads": torch.get_num_threads(),
        },
        versions={
            "ptheta": version("ptheta"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        interrupted=bench.interrupted,
    )
    text = json.dumps(comparison.to_json(), indent=1, default=str)
    with whole_file(folder / "comparison.json") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return comparison


def _free(out: str | Path) -> Path:
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PthetaError(
            f"{folder} is in use already; name another folder for the runs, or remove it."
        )
    return folder


def _order(entry: Entry) -> tuple[float, float]:
    capacity, coverage = entry.rating.capacity, entry.rating.coverage
    return (
        1.0 if capacity is None else -capacity.mean,
        1.0 if coverage is None else -coverage.mean,
    )
