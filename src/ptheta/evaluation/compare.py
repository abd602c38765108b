"""Many recipes on one data set, each fitted several times and measured alike."""

from __future__ import annotations

__all__ = ["Comparison", "Entry", "Event", "Watcher", "compare"]

import dataclasses
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from ptheta.data.dataset import Data
from ptheta.errors import PthetaError
from ptheta.evaluation.evaluate import evaluate, head, noise_floor, plain, sampled
from ptheta.evaluation.features import MetricFeatures
from ptheta.evaluation.likelihood import held_out
from ptheta.evaluation.prdc import overlap
from ptheta.evaluation.quality import Quality
from ptheta.evaluation.rating import Attempt, Rating, rate
from ptheta.fitting import Progress, Run, fit
from ptheta.protocols import density_kind
from ptheta.recipes.registry import find
from ptheta.recipes.settings import settings_of
from ptheta.spaces import Space
from ptheta.training.guard import Diverged

BASELINE = "independent"
# what likelihood is taken on, at most: the error of a mean over these is small enough
_ROWS = 5000


@dataclass(frozen=True)
class Event:
    """Something that happened in a comparison.

    Arguments:
        kind: A run begins, is done, diverged, or was refused.
        recipe: The recipe.
        seed: The seed of the run.
        factor: What the default learning rate is multiplied by.
        index: The number of the run, from 1.
        total: The number of runs that are planned.
        message: What went wrong; empty where nothing did.
    """

    kind: Literal["run", "done", "diverged", "refused"]
    recipe: str
    seed: int
    factor: float
    index: int
    total: int
    message: str = ""


class Watcher(Protocol):
    """What is told how a comparison goes."""

    def __call__(self, event: Event) -> None:
        """Sees an event."""
        ...


@dataclass(frozen=True)
class Entry:
    """One recipe of a comparison.

    Arguments:
        rating: Its rating.
        attempts: Its runs.
        samples: Samples of its first run that is done, with shape (n, *space.shape), or None.
    """

    rating: Rating
    attempts: tuple[Attempt, ...]
    samples: Tensor | None


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


def compare(
    data: Data,
    recipes: Sequence[str],
    *,
    out: str | Path,
    seeds: int = 3,
    seconds: float | None = 20.0,
    steps: int | None = None,
    learning_rates: Sequence[float] = (0.25, 1.0, 4.0),
    quick: bool = False,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    samples: int = 1000,
    device: str = "auto",
    precision: str = "32-true",
    seed: int = 0,
    progress: Watcher | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Comparison:
    """Fits recipes to data, one after the other, and rates them.

    Each recipe is fitted with every seed at every learning rate; a recipe without a learning
    rate, with every seed. All runs have the same budget. The runs at the default learning rate
    are measured in full; the others serve stability. A recipe that diverges or refuses the data
    has a row that says so, and the others go on. The recipe ``independent`` is always among them.

    Arguments:
        data: The data.
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
        precision: 32-true, bf16-mixed or 16-mixed.
        seed: The first seed.
        progress: What is told how the comparison goes.
        on_progress: What is told how far each fit is.

    Returns:
        The comparison; `ptheta.evaluation.report.write_report` makes a page of it. It is saved
        in ``comparison.json`` too.

    Raises:
        PthetaError: There is no such recipe or setting, the folder is in use, or there are too
            few held-out rows.
    """
    names = list(dict.fromkeys([*recipes, BASELINE]))
    given = {name: dict((settings or {}).get(name, {})) for name in names}
    plan = {
        name: _plan(name, given[name], seeds, seed, learning_rates, quick=quick) for name in names
    }
    folder = _folder(out)
    reference = noise_floor(data, samples=samples, seed=seed)
    begin = partial(
        fit,
        data,
        seconds=seconds,
        steps=steps,
        device=device,
        precision=precision,
        on_progress=on_progress,
    )
    bench = _Bench(data, reference, samples, seed, folder, begin, progress, plan)
    entries = [bench.entry(name, given[name]) for name in names if not bench.interrupted]
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
    (folder / "comparison.json").write_text(text, encoding="utf-8")
    return comparison


@dataclass(frozen=True)
class _Trial:
    seed: int
    factor: float
    settings: dict[str, Any]


def _plan(
    name: str,
    given: dict[str, Any],
    seeds: int,
    first: int,
    learning_rates: Sequence[float],
    *,
    quick: bool,
) -> list[_Trial]:
    """The runs of a recipe: every seed at the default learning rate, then at the others."""
    every = [first + i for i in range(seeds)]
    trials = [_Trial(seed, 1.0, given) for seed in every]
    defaults = {setting.name: setting.default for setting in settings_of(find(name))}
    base = given.get("learning_rate", defaults.get("learning_rate"))
    if not isinstance(base, float):
        return trials
    for factor in learning_rates:
        if factor != 1:
            changed = {**given, "learning_rate": base * factor}
            trials += [_Trial(seed, factor, changed) for seed in (every[:1] if quick else every)]
    return trials


def _folder(out: str | Path) -> Path:
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PthetaError(
            f"{folder} is in use already; name another folder for the runs, or remove it."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _order(entry: Entry) -> tuple[float, float]:
    capacity, coverage = entry.rating.capacity, entry.rating.coverage
    return (
        1.0 if capacity is None else -capacity.mean,
        1.0 if coverage is None else -coverage.mean,
    )


class _Bench:
    """Runs what is planned, one run after the other, and measures it."""

    def __init__(
        self,
        data: Data,
        reference: Quality,
        samples: int,
        seed: int,
        folder: Path,
        begin: Callable[..., Run],
        progress: Watcher | None,
        plan: Mapping[str, Sequence[_Trial]],
    ) -> None:
        self.data = data
        self.reference = reference
        self.samples = samples
        self.seed = seed
        self.folder = folder
        self.begin = begin
        self.progress = progress
        self.plan = plan
        self.total = sum(len(trials) for trials in plan.values())
        self.index = 0
        self.interrupted = False

    def entry(self, name: str, given: Mapping[str, Any]) -> Entry:
        """All runs of a recipe."""
        self.drawn: Tensor | None = None
        attempts = tuple(self._attempts(name))
        return Entry(rate(name, attempts), attempts, self.drawn)

    def _attempts(self, name: str) -> Iterator[Attempt]:
        for trial in self.plan[name]:
            self.index += 1
            self._tell("run", name, trial)
            attempt = self._attempt(name, trial)
            self._tell(attempt.status, name, trial, attempt.message)
            yield attempt
            if attempt.status == "refused" or self.interrupted:
                # what a recipe refuses once it refuses always
                self.index += len(self.plan[name]) - self.plan[name].index(trial) - 1
                return

    def _attempt(self, name: str, trial: _Trial) -> Attempt:
        label = f"{name}-seed{trial.seed}"
        label += "" if trial.factor == 1 else f"-rate{trial.factor:g}"
        folder = self.folder / label
        attempt = Attempt(
            name,
            trial.seed,
            trial.factor,
            "done",
            folder=str(folder),
            settings=tuple(trial.settings.items()),
        )
        try:
            run = self.begin(name, settings=trial.settings, seed=trial.seed, out=folder)
            attempt = dataclasses.replace(
                attempt,
                steps=run.steps,
                seconds=run.seconds,
                stopped=run.stopped,
                history=run.history,
                examples_per_second=run.examples_per_second,
                constraints=run.constraints,
            )
            self.interrupted = run.stopped == "interrupted"
            return self._measured(attempt, run)
        except Diverged as error:
            return dataclasses.replace(attempt, status="diverged", message=str(error))
        except PthetaError as error:
            # once a run has trained, what fails is its outcome
            status = "diverged" if attempt.steps else "refused"
            return dataclasses.replace(attempt, status=status, message=str(error))

    def _measured(self, attempt: Attempt, run: Run) -> Attempt:
        if attempt.factor != 1:
            return dataclasses.replace(attempt, figure=self._figure(run))
        drawn = sampled(run, head(self.data.test, self.samples, self.seed), self.seed)
        evaluation = evaluate(
            run,
            self.data,
            samples=self.samples,
            seed=self.seed,
            rows=_ROWS,
            reference=self.reference,
            drawn=drawn,
        )
        if self.drawn is None:
            self.drawn = drawn.samples
        likelihood = evaluation.likelihood
        if likelihood is not None and likelihood.nats is not None:
            figure = -likelihood.nats.value / self.data.space.features
        else:
            figure = evaluation.quality.coverage.value
        return dataclasses.replace(attempt, figure=figure, evaluation=evaluation)

    def _figure(self, run: Run) -> float:
        """What stability is judged by, measured as in `evaluate`."""
        if density_kind(run.model) not in ("none", "unnormalised"):
            likelihood = held_out(run, self.data.test, rows=_ROWS, seed=self.seed)
            assert likelihood is not None
            assert likelihood.nats is not None
            return -likelihood.nats.value / self.data.space.features
        real = head(self.data.test, self.samples, self.seed)
        features = MetricFeatures(self.data.space, real.x[:])
        samples = features(sampled(run, real, self.seed).samples)
        if not samples.isfinite().all():
            raise PthetaError("the samples hold values that are not finite: the model diverged.")
        return overlap(samples, features(real.x[:]), seed=self.seed).coverage.value

    def _tell(
        self,
        kind: Literal["run", "done", "diverged", "refused"],
        name: str,
        trial: _Trial,
        message: str = "",
    ) -> None:
        if self.progress is not None:
            self.progress(
                Event(kind, name, trial.seed, trial.factor, self.index, self.total, message)
            )
