"""A training in progress: everything with state, joined so that it can be cut off and resumed."""

from __future__ import annotations

__all__ = ["Outcome", "Plan", "Watch", "train"]

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from ptheta.training.batches import Batches
from ptheta.training.checkpoint import Checkpoint, Interruption
from ptheta.training.ema import Average
from ptheta.training.folder import RunFolder
from ptheta.training.guard import Diverged, Guard, LastGood
from ptheta.training.history import History, RandomState
from ptheta.training.loop import Budget, Callback, Stop, loop
from ptheta.training.types import Learner, Metrics, SupportsConverged
from ptheta.training.validation import Figure, Validation

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Plan:
    """What is to be trained, and how long.

    Arguments:
        model: The model, on its device, with its data-dependent start made.
        learner: One update of it.
        batches: Where batches come from.
        figure: Gives the held-out figure of a model; higher is better.
        steps: The number of steps at most, or None.
        seconds: The seconds at most, or None.
        evaluate_every: The steps between looks at held-out data.
        patience: The looks without improvement after which to stop, or None.
        early: Whether to look at held-out data at the start too, and soon after.
        ema: The decay of the average of weights, or None for none.
        folder: Where checkpoints go, or None.
        checkpoint_seconds: The seconds between checkpoints.
        callbacks: What else is done after each step.
        keep: Which weights are kept in the end: the best on held-out data, or the last.
    """

    model: nn.Module
    learner: Learner
    batches: Batches
    figure: Figure
    steps: int | None
    seconds: float | None
    evaluate_every: int
    patience: int | None
    early: bool
    ema: float | None
    folder: RunFolder | None
    checkpoint_seconds: float
    callbacks: Sequence[Callback] = ()
    keep: Literal["best", "last"] = "best"


@dataclass(frozen=True)
class Outcome:
    """What came of a training.

    Arguments:
        model: The model with its best weights, or with their average.
        history: The record, a row every so many steps.
        steps: The number of steps done.
        seconds: The seconds that they took.
        stop: Why it stopped.
        best_step: The step of the best held-out figure.
        diverged: What went wrong, where the loss was not finite; the model is then the last
            good one.
    """

    model: nn.Module
    history: list[dict[str, float]]
    steps: int
    seconds: float
    stop: Stop
    best_step: int
    diverged: Diverged | None = None


def train(
    plan: Plan,
    fabric: Fabric,
    *,
    resume: bool = False,
    watch: Callable[[Budget, Validation], Callback] | None = None,
) -> Outcome:
    """Trains as planned.

    Arguments:
        plan: The plan.
        fabric: Where it runs; of several processes only the first writes.
        resume: Whether to go on from the last checkpoint in the plan's folder.
        watch: Makes a callback that shows how far it is.

    Returns:
        The outcome. A divergence is in it and not raised, for there is a model to keep.
    """
    plan.learner.setup(fabric)
    average = None if plan.ema is None else Average(plan.model, plan.ema)
    served = plan.model if average is None else average.model
    budget = Budget(plan.steps, plan.seconds, fabric)
    validation = Validation(
        served, plan.figure, plan.evaluate_every, plan.patience, early=plan.early
    )
    history = History(
        max(1, plan.evaluate_every // 5),
        lambda: budget.elapsed,
        validation.at,
        plan.batches.batch_size,
    )
    parts: dict[str, Any] = {
        "model": plan.model,
        "learner": plan.learner,
        "batches": plan.batches,
        "random": RandomState(),
        "validation": validation,
        "history": history,
    }
    if average is not None:
        parts["average"] = average
    checkpoint = None
    if plan.folder is not None and fabric.is_global_zero:
        checkpoint = Checkpoint(
            plan.folder, parts, history, lambda: budget.elapsed, plan.checkpoint_seconds
        )
    done = 0, 0.0
    if resume and plan.folder is not None:
        reader = checkpoint or Checkpoint(plan.folder, parts, history, lambda: 0.0, 0.0)
        done = reader.restore() or done
        if fabric.global_rank > 0:
            # the state is the first process's; the others go on from it with noise of their own
            torch.manual_seed(torch.initial_seed() + done[0])

    guard, good = Guard(fabric), LastGood(parts, done[0])
    with Interruption(fabric) as interruption:
        callbacks: list[Callback] = []
        if average is not None:
            callbacks.append(_Update(average))
        converged = _Converged(plan.learner)
        callbacks += [guard, _Keep(validation, guard, good), history, converged]
        if checkpoint is not None:
            callbacks.append(_Save(checkpoint, guard))
        if watch is not None and fabric.is_global_zero:
            callbacks.append(watch(budget, validation))
        budget.start(done[1])
        try:
            if done[0] == 0:
                validation(0, {})
            step, stop = loop(
                plan.learner,
                plan.batches,
                budget,
                [*callbacks, *plan.callbacks, interruption],
                step=done[0],
                # a run cut off just after it had stopped has stopped
                stop=validation.verdict() or converged(done[0], {}),
            )
            guard.look()
            seconds = budget.elapsed
            # the state is written before the last look, so that going on takes up where
            # training was
            if checkpoint is not None:
                checkpoint.write(step)
            if not validation.due(step):
                validation.measure(step)
        except Diverged as error:
            good.restore()
            if checkpoint is not None:
                checkpoint.write(good.step)
            validation.keep_best()
            return Outcome(
                served, history.rows, good.step, budget.elapsed,
                Stop(f"diverged at step {error.step}", finished=False), validation.best_step, error,
            )  # fmt: skip
    history.row(step)
    if plan.keep == "best":
        validation.keep_best()
    return Outcome(served, history.rows, step, seconds, stop, validation.best_step)


class _Update:
    def __init__(self, average: Average) -> None:
        self.average = average

    def __call__(self, step: int, metrics: Metrics) -> None:
        self.average.update()


class _Keep:
    """Looks at held-out data, after losses were looked at, and then keeps a copy of the state."""

    def __init__(self, validation: Validation, guard: Guard, good: LastGood) -> None:
        self.validation, self.guard, self.good = validation, guard, good

    def __call__(self, step: int, metrics: Metrics) -> Stop | None:
        if not self.validation.due(step):
            return None
        self.guard.look()
        stop = self.validation(step, metrics)
        self.good.keep(step)
        return stop


class _Save:
    """Checkpoints, of which none is written before its losses were looked at."""

    def __init__(self, checkpoint: Checkpoint, guard: Guard) -> None:
        self.checkpoint, self.guard = checkpoint, guard

    def __call__(self, step: int, metrics: Metrics) -> None:
        if self.checkpoint.due:
            self.guard.look_alone()
            self.checkpoint.write(step)


class _Converged:
    def __init__(self, learner: Learner) -> None:
        self.learner = learner if isinstance(learner, SupportsConverged) else None

    def __call__(self, step: int, metrics: Metrics) -> Stop | None:
        if self.learner is None or not self.learner.converged:
            return None
        return Stop(f"converged after {step} steps")


class Watch:
    """Calls something a few times a second at most.

    Arguments:
        show: What is called, with the step and its metrics.
        seconds: The seconds between calls.
    """

    def __init__(self, show: Callable[[int, Metrics], None], seconds: float = 0.1) -> None:
        self.show = show
        self.seconds = seconds
        self.last = 0.0

    def __call__(self, step: int, metrics: Metrics) -> None:
        now = time.monotonic()
        if now - self.last >= self.seconds:
            self.last = now
            self.show(step, metrics)
