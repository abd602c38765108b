"""The share that one process has in a fit."""

from __future__ import annotations

__all__ = ["fit_here"]

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch

from ptheta.data.dataset import Data
from ptheta.fitting.formats import built
from ptheta.fitting.run import Progress, Run, run_of
from ptheta.heldout import StandInFigure, has_likelihood, heldout_figure
from ptheta.protocols import SupportsInitialize
from ptheta.random import seeded
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.registry import find
from ptheta.recipes.settings import settings_of
from ptheta.training.batches import PIECE, Batches
from ptheta.training.cause import likely_cause
from ptheta.training.folder import RunFolder, RunRecord
from ptheta.training.guard import Diverged
from ptheta.training.loop import Budget, Callback
from ptheta.training.session import Outcome, Plan, Watch, train
from ptheta.training.types import Metrics, SupportsCompile
from ptheta.training.validation import EARLY, Figure, Validation

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_SLACK = 1e-3  # nats a value, which the figure of a stand-in may differ by and be as good


def fit_here(
    fabric: Fabric,
    *,
    data: Data,
    record: RunRecord,
    limits: tuple[int | None, float | None, float | None],
    callbacks: tuple[Callback, ...],
    on_progress: Callable[[Progress], None] | None,
    checkpoint_seconds: float,
    resume: bool,
    compile: bool,
    folder: RunFolder | None,
) -> Run:
    """A fit, or the share of this process in one.

    Arguments:
        fabric: The device, the precision and the other processes.
        data: The data.
        record: What is fitted.
        limits: The steps, epochs and seconds at most.
        callbacks: What else is done after each step.
        on_progress: What is told how far it is.
        checkpoint_seconds: The seconds between checkpoints.
        resume: Whether to go on with the run in the folder.
        compile: Whether torch compiles the loss.
        folder: The folder, or None.

    Raises:
        Diverged: The loss was not finite. The last good model has been saved.
    """
    with seeded(record.seed):
        algorithm = built(record)
        if compile and isinstance(algorithm.learner, SupportsCompile):
            algorithm.learner.compile()
        batches = Batches(
            data.train,
            algorithm.batch_size,
            seed=record.seed,
            device=fabric.device,
            rank=fabric.global_rank,
            processes=fabric.world_size,
        )
        algorithm.model.to(fabric.device)
        # a run that is resumed may have been cut off before anything was written
        if isinstance(algorithm.model, SupportsInitialize):
            x = data.train.x[:PIECE].to(fabric.device)
            c = data.train.context
            context = None if c is None else c[:PIECE].to(fabric.device)
            algorithm.model.initialize(x, context)
        torch.manual_seed(record.seed + fabric.global_rank)
        outcome = train(
            _plan(algorithm, batches, data, limits, folder, checkpoint_seconds, callbacks),
            fabric,
            resume=resume,
            watch=None if on_progress is None else partial(_watch, on_progress, batches),
        )
    return _finish(algorithm, outcome, record, data, batches, folder, fabric)


def _plan(
    algorithm: Algorithm,
    batches: Batches,
    data: Data,
    limits: tuple[int | None, float | None, float | None],
    folder: RunFolder | None,
    checkpoint_seconds: float,
    callbacks: tuple[Callback, ...],
) -> Plan:
    steps, epochs, seconds = limits
    if epochs is not None:
        by_epochs = max(1, round(epochs * batches.steps_per_epoch))
        steps = by_epochs if steps is None else min(steps, by_epochs)
    if steps is None and seconds is None:
        # a step of what takes the data whole is a pass over them
        passes = algorithm.batch_size is None
        steps = algorithm.steps * (batches.steps_per_epoch if passes else 1)
    return Plan(
        model=algorithm.model,
        learner=algorithm.learner,
        batches=batches,
        figure=_figure(algorithm, data),
        steps=steps,
        seconds=seconds,
        evaluate_every=_evaluate_every(algorithm, batches),
        patience=algorithm.patience,
        # what is not seen twice by then cannot be learnt by heart
        early=algorithm.keep == "best"
        and has_likelihood(algorithm.watched_model)
        and batches.steps_per_epoch < EARLY[-1],
        ema=algorithm.ema,
        folder=folder,
        checkpoint_seconds=checkpoint_seconds,
        callbacks=callbacks,
        keep=algorithm.keep,
    )


def _evaluate_every(algorithm: Algorithm, batches: Batches) -> int:
    every = batches.steps_per_epoch
    if algorithm.batch_size is not None:
        every = min(max(every, 100 if has_likelihood(algorithm.watched_model) else 500), 1000)
    # looks that decide nothing are for the record
    return 10 * every if algorithm.keep == "last" else every


def _figure(algorithm: Algorithm, data: Data) -> Figure:
    figure = heldout_figure(algorithm.watched_model, data.validation, data.space)
    if algorithm.watched is None:
        return figure
    return StandInFigure(algorithm.watched, figure, slack=_SLACK * data.space.features)


def _watch(
    show: Callable[[Progress], None], batches: Batches, budget: Budget, validation: Validation
) -> Callback:
    def tell(step: int, metrics: Metrics) -> None:
        seconds = budget.elapsed
        show(
            Progress(
                step=step,
                seconds=seconds,
                fraction=budget.fraction(step),
                loss=metrics["loss"].item(),
                validation=validation.latest,
                figure=validation.figure.name,
                examples_per_second=step * batches.batch_size / max(seconds, 1e-9),
            )
        )

    return Watch(tell)


def _finish(
    algorithm: Algorithm,
    outcome: Outcome,
    record: RunRecord,
    data: Data,
    batches: Batches,
    folder: RunFolder | None,
    fabric: Fabric,
) -> Run:
    record = record.model_copy(
        update={
            "steps": outcome.steps,
            "seconds": round(outcome.seconds, 3),
            "stopped": outcome.stop.reason,
            "finished": outcome.stop.finished,
            "batch_size": batches.batch_size,
        }
    )
    # the served weights may be the average's; the model that learners hold is left alone
    served = outcome.model.requires_grad_(True).eval()
    error = None if outcome.diverged is None else _explained(outcome, record, data, folder)
    if error is not None:
        record = record.model_copy(update={"error": str(error)})
    if folder is not None and fabric.is_global_zero:
        folder.write_model(served.state_dict())
        folder.rewrite_metrics(outcome.history)
        folder.write_record(record)
    if error is not None:
        raise error
    path = None if folder is None else folder.path
    return run_of(algorithm, served, record, outcome.history, path)


def _explained(
    outcome: Outcome, record: RunRecord, data: Data, folder: RunFolder | None
) -> Diverged:
    assert outcome.diverged is not None
    rate = record.settings.get("learning_rate")
    defaults = {setting.name: setting.default for setting in settings_of(find(record.recipe))}
    usual = defaults.get("learning_rate", 0.0)
    terms = outcome.diverged.terms
    remedy = likely_cause(data, rate if isinstance(rate, float) else None, usual, terms)
    kept = "" if folder is None else f" The model of step {outcome.best_step} is in {folder.path}."
    return Diverged(f"{record.recipe}: {outcome.diverged}. {remedy}{kept}", outcome.diverged.step)
