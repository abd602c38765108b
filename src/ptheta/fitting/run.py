"""A fitted model and how it came about, and how far a fit is."""

from __future__ import annotations

__all__ = ["Progress", "Run", "run_of"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ptheta.heldout import figure_name
from ptheta.protocols import summary
from ptheta.recipes.algorithm import Algorithm, Freedom
from ptheta.spaces import Categorical, Real, Space
from ptheta.training.folder import RunRecord


@dataclass(frozen=True)
class Run:
    """A fitted model, and how it came about.

    Arguments:
        model: The model; its methods are what it can do.
        recipe: The name of the recipe.
        settings: All settings of the recipe.
        space: What one example is.
        context_space: What the model is conditioned on, or None.
        columns: The names of the values of an example, or the one name of the column that
            sentences were read from, where they have names.
        data: The name of the data.
        origin: How to load the data again.
        fingerprint: The fingerprint of the data.
        seed: The seed.
        history: The record: step, seconds, loss, held-out figure.
        folder: Where it was saved, or None.
        steps: The number of steps.
        seconds: The seconds of training.
        stopped: Why it stopped.
        examples_per_second: The examples seen a second in training, held-out looks included.
        constraints: What the family forbids.
        class_counts: The training rows of each class, where the context is a class.
        watched: The held-out figure of the record, such as ``log_prob``.
    """

    model: nn.Module
    recipe: str
    settings: dict[str, Any]
    space: Space
    context_space: Categorical | Real | None
    columns: tuple[str, ...]
    data: str
    origin: Mapping[str, Any]
    fingerprint: str
    seed: int
    history: tuple[dict[str, float], ...]
    folder: Path | None
    steps: int
    seconds: float
    stopped: str
    examples_per_second: float
    constraints: tuple[Freedom, ...]
    class_counts: tuple[int, ...] = ()
    watched: str = ""

    def __repr__(self) -> str:
        where = "" if self.folder is None else f", in {self.folder}"
        return (
            f"<{self.recipe} on {self.data}: {summary(self.model)}; {self.steps} steps, "
            f"{self.stopped}{where}>"
        )


@dataclass(frozen=True)
class Progress:
    """How far a fit is.

    Arguments:
        step: The number of steps done.
        seconds: The seconds of training so far.
        fraction: The share of the budget that is spent, from 0 to 1.
        loss: The loss of the newest batch.
        validation: The newest held-out figure; higher is better.
        figure: What that figure is, such as ``log_prob``.
        examples_per_second: The examples seen a second.
    """

    step: int
    seconds: float
    fraction: float
    loss: float
    validation: float
    figure: str
    examples_per_second: float


def run_of(
    algorithm: Algorithm,
    model: nn.Module,
    record: RunRecord,
    history: Sequence[dict[str, float]],
    folder: Path | None,
) -> Run:
    """The run of a record.

    Arguments:
        algorithm: The recipe, as it was built.
        model: The model that is served.
        record: The record.
        history: The record of the steps.
        folder: Where it was saved, or None.
    """
    examples = record.steps * (record.batch_size or 0)
    return Run(
        model=model,
        recipe=record.recipe,
        settings=record.settings,
        space=record.space,
        context_space=record.context_space,
        columns=record.columns,
        data=record.data,
        origin=record.origin,
        fingerprint=record.fingerprint,
        seed=record.seed,
        history=tuple(history),
        folder=folder,
        steps=record.steps,
        seconds=record.seconds,
        stopped=record.stopped,
        examples_per_second=examples / record.seconds if record.seconds > 0 else 0.0,
        constraints=algorithm.constraints,
        class_counts=record.class_counts,
        watched=figure_name(algorithm.watched_model),
    )
