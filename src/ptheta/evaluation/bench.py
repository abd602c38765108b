"""The runs of a comparison: planned, made one after the other, and measured."""

from __future__ import annotations

__all__ = ["Bench", "Entry", "Event", "Trial", "Watcher", "plan_runs"]

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from ptheta.data.dataset import Data
from ptheta.errors import PthetaError
from ptheta.evaluation.evaluate import evaluate, sampled
from ptheta.evaluation.features import MetricFeatures
from ptheta.evaluation.likelihood import Likelihood, held_out
from ptheta.evaluation.prdc import overlap
from ptheta.evaluation.quality import Quality
from ptheta.evaluation.rating import Attempt, Rating, Status, rate
from ptheta.evaluation.rows import head
from ptheta.files import CannotWrite
from ptheta.fitting import Diverged, Run
from ptheta.protocols import SupportsSample, capabilities, density_kind
from ptheta.recipes.registry import find
from ptheta.recipes.settings import settings_of

# what likelihood is taken on, at most: the error of a mean over these is small enough
_ROWS = 5000
_SECONDS = 60.0  # about the time for them

_NO_ROOM = "The comparison ended there. Make room, and compare again with another --runs DIR."


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

    kind: Status | Literal["run"]
    recipe: str
    seed: int
    factor: float
    index: int
    total: int
    message: str = ""


@runtime_checkable
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
class Trial:
    """A run that is planned.

    Arguments:
        seed: The seed.
        factor: What the default learning rate is multiplied by.
        settings: The settings that differ from the recipe's defaults.
    """

    seed: int
    factor: float
    settings: dict[str, Any]


def plan_runs(
    name: str,
    given: dict[str, Any],
    seeds: int,
    first: int,
    learning_rates: Sequence[float],
    *,
    quick: bool,
) -> list[Trial]:
    """The runs of a recipe: every seed at the default learning rate, then at the others.

    Arguments:
        name: The recipe.
        given: The settings that differ from its defaults.
        seeds: The number of seeds.
        first: The first of them.
        learning_rates: What the default learning rate is multiplied by.
        quick: Whether to try the other learning rates with the first seed alone.
    """
    every = [first + i for i in range(seeds)]
    trials = [Trial(seed, 1.0, given) for seed in every]
    defaults = {setting.name: setting.default for setting in settings_of(find(name))}
    base = given.get("learning_rate", defaults.get("learning_rate"))
    if not isinstance(base, float):
        return trials
    for factor in learning_rates:
        if factor != 1:
            changed = {**given, "learning_rate": base * factor}
            trials += [Trial(seed, factor, changed) for seed in (every[:1] if quick else every)]
    return trials


def _refuse_without_draws(run: Run) -> None:
    if not isinstance(run.model, SupportsSample):
        raise PthetaError(
            f"it offers {', '.join(capabilities(run.model))}, and the rating needs draws. "
            "`ptheta classify` measures how it tells classes."
        )


class Bench:
    """Makes the runs that are planned, one after the other, and measures them.

    Arguments:
        data: The data.
        reference: The noise floor of the data.
        samples: The most samples that are measured.
        seed: The seed of the samples and of the tests.
        folder: The folder in which every run is kept.
        begin: Fits a recipe: `ptheta.fit` with the data, the budget and the device.
        progress: What is told how it goes.
        plan: The runs of each recipe.
    """

    def __init__(
        self,
        data: Data,
        reference: Quality,
        samples: int,
        seed: int,
        folder: Path,
        begin: Callable[..., Run],
        progress: Watcher | None,
        plan: Mapping[str, Sequence[Trial]],
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

    def entry(self, name: str) -> Entry:
        """Makes all runs of a recipe, and rates it."""
        self.drawn: Tensor | None = None
        self.rows: int | None = None  # that the first of these runs was measured on
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

    def _attempt(self, name: str, trial: Trial) -> Attempt:
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
            _refuse_without_draws(run)
            attempt = dataclasses.replace(
                attempt,
                steps=run.steps,
                seconds=run.seconds,
                stopped=run.stopped,
                history=run.history,
                examples_per_second=run.examples_per_second,
                constraints=run.constraints,
                watched=run.watched,
            )
            self.interrupted = run.stopped == "interrupted"
            return self._measured(attempt, run)
        except Diverged as error:
            return dataclasses.replace(attempt, status="diverged", message=str(error))
        except CannotWrite as error:
            # a full disk says nothing of the recipe, and would end every later run as well
            raise CannotWrite(error.fact, _NO_ROOM) from None
        except PthetaError as error:
            # once a run has trained, what fails is its outcome
            status = "diverged" if attempt.steps else "refused"
            said = str(error)
            message = said if said.startswith(name) else f"{name}: {said}"
            return dataclasses.replace(attempt, status=status, message=message)

    def _measured(self, attempt: Attempt, run: Run) -> Attempt:
        if attempt.factor != 1:
            return dataclasses.replace(attempt, figure=self._figure(run))
        drawn = sampled(run, head(self.data.test, self.samples, self.seed), self.seed)
        evaluation = evaluate(
            run,
            self.data,
            samples=self.samples,
            seed=self.seed,
            **self._limits(),
            reference=self.reference,
            drawn=drawn,
        )
        if self.drawn is None:
            self.drawn = drawn.samples
        figure = self._by_likelihood(evaluation.likelihood)
        if figure is None:
            figure = evaluation.quality.coverage.value
        return dataclasses.replace(attempt, figure=figure, evaluation=evaluation)

    def _figure(self, run: Run) -> float:
        """What stability is judged by, measured as in `evaluate`."""
        if density_kind(run.model) not in ("none", "unnormalised"):
            figure = self._by_likelihood(
                held_out(run, self.data.test, seed=self.seed, **self._limits())
            )
            assert figure is not None
            return figure
        real = head(self.data.test, self.samples, self.seed)
        features = MetricFeatures(self.data.space, real.x[:])
        samples = features(sampled(run, real, self.seed).samples)
        if not samples.isfinite().all():
            raise PthetaError("the samples hold values that are not finite: the model diverged.")
        return overlap(samples, features(real.x[:]), seed=self.seed).coverage.value

    def _limits(self) -> dict[str, Any]:
        # where there is time for few rows, they are the same for all runs, whose noise so cancels
        return {"rows": self.rows or _ROWS, "seconds": None if self.rows else _SECONDS}

    def _by_likelihood(self, likelihood: Likelihood | None) -> float | None:
        if likelihood is None or likelihood.nats is None:
            return None
        self.rows = likelihood.rows
        return -likelihood.nats.value / self.data.space.features

    def _tell(
        self,
        kind: Status | Literal["run"],
        name: str,
        trial: Trial,
        message: str = "",
    ) -> None:
        if self.progress is not None:
            self.progress(
                Event(kind, name, trial.seed, trial.factor, self.index, self.total, message)
            )
