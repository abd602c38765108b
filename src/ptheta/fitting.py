"""Fitting a recipe to data, and loading what was fitted."""

from __future__ import annotations

__all__ = ["Diverged", "Progress", "Run", "fit", "load", "resolve_device"]

import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ptheta.border import Count, Seed, checked
from ptheta.data.dataset import Data
from ptheta.data.load import load_data
from ptheta.errors import PthetaError
from ptheta.heldout import has_likelihood, heldout_figure
from ptheta.protocols import SupportsInitialize, summary
from ptheta.random import seeded
from ptheta.recipes.algorithm import Algorithm, Freedom
from ptheta.recipes.registry import build, find, importable
from ptheta.recipes.settings import Rate, check_settings, settings_of
from ptheta.spaces import Categorical, Real, Space, end_of
from ptheta.training.batches import PIECE, Batches
from ptheta.training.cause import likely_cause
from ptheta.training.devices import (
    in_process_group,
    interrupted_by_children,
    make_fabric,
    resolve_device,
)
from ptheta.training.folder import RunFolder, RunRecord
from ptheta.training.guard import Diverged
from ptheta.training.loop import Budget, Callback
from ptheta.training.session import Outcome, Plan, Watch, train
from ptheta.training.types import Metrics
from ptheta.training.validation import EARLY, Validation

if TYPE_CHECKING:
    from lightning_fabric import Fabric


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


@checked
def fit(
    data: Data | str | Path,
    recipe: str,
    *,
    settings: Mapping[str, Any] | None = None,
    steps: Count | None = None,
    epochs: Rate | None = None,
    seconds: Rate | None = None,
    seed: Seed = 0,
    device: str = "auto",
    precision: str = "32-true",
    processes: Count = 1,
    out: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint_seconds: float = 20.0,
) -> Run:
    """Fits a recipe to data.

    The caller's random state is left as it was. Without a budget the recipe's own number of
    steps is done. The weights that did best on held-out data are kept: by likelihood or its bound
    where the model has one, else by the maximum mean discrepancy between draws and held-out data.

    Arguments:
        data: The data, from `ptheta.load_data`; a name or a path is loaded with its defaults.
        recipe: The name of the recipe.
        settings: Settings that differ from the recipe's defaults.
        steps: The number of steps at most.
        epochs: The number of passes over the training data at most.
        seconds: The seconds of training at most.
        seed: The seed of the start, the order of the data, and all noise.
        device: auto, cpu, cuda or mps.
        precision: 32-true or bf16-mixed.
        processes: The number of processes that share each batch.
        out: The folder to save to; None saves nothing.
        resume: Whether to go on with the run in that folder.
        callbacks: What else is done after each step.
        on_progress: What is told how far it is, a few times a second.
        checkpoint_seconds: The seconds between checkpoints.

    Returns:
        The run; `run.model` is the model.

    Raises:
        PthetaError: Something asked for cannot be done; the sentence says what and why.
        Diverged: The loss was not finite. The last good model has been saved.
    """
    data = load_data(data)
    checked = check_settings(recipe, find(recipe), settings or {})
    with seeded(seed):
        build(recipe, data.space, data.context_space, settings)  # any refusal comes first
    record = RunRecord(
        recipe=recipe,
        settings=checked,
        space=data.space,  # pyright: ignore[reportArgumentType]
        context_space=data.context_space,
        class_counts=data.class_counts,
        columns=data.columns,
        data=data.name,
        origin=dict(data.origin),
        fingerprint=data.fingerprint,
        seed=seed,
        precision=precision,
        processes=processes,
        versions={
            "ptheta": version("ptheta"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    )
    if resume and out is not None:
        record = _as_begun(record, RunFolder(out))
    fabric = make_fabric(device, precision, processes)
    task = partial(
        _fit_here,
        data=replace(data, truth=None) if processes > 1 else data,
        record=record,
        limits=(steps, epochs, seconds),
        callbacks=tuple(callbacks),
        on_progress=on_progress,
        checkpoint_seconds=checkpoint_seconds,
        resume=resume,
    )
    if processes > 1 and not importable(recipe):
        raise PthetaError(
            f"'{recipe}' was registered in this process and others do not know it; make it an "
            "entry point of an installed package, or fit in one process."
        )
    if processes == 1:
        folder = _prepare(out, record, resume)
        try:
            return task(fabric, folder=folder)
        except Exception:
            if folder is not None and not resume:
                _withdraw(folder)
            raise
    with tempfile.TemporaryDirectory() as temporary:
        # processes hand their result over through a folder, whether or not one was asked for
        path = Path(temporary) / "run" if out is None else Path(out)
        folder = _prepare(path, record, resume)
        with interrupted_by_children():
            fabric.launch(partial(_fit_in_process, task=task, folder=folder))  # pyright: ignore
        error = RunFolder(path).read_record().error
        if error:
            raise Diverged(error, 0)
        run = load(path, device)
        return run if out is not None else replace(run, folder=None)


@checked
def load(folder: str | Path, device: str = "auto") -> Run:
    """Loads a run that was saved.

    Arguments:
        folder: The folder of the run.
        device: Where the model is wanted: auto, cpu, cuda or mps.

    Raises:
        PthetaError: The folder is no run, is damaged, was changed after the fit, or was written
            by a newer version.
    """
    files = RunFolder(folder)
    record = files.read_record()
    tensors = files.read_model()
    try:
        with seeded(0):
            algorithm = build(record.recipe, record.space, record.context_space, record.settings)
    except (
        ArithmeticError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        reason = str(error).split("\n", 1)[0].rstrip(".") or "out of memory"
        raise PthetaError(
            f"{files.path / 'run.json'} describes a model that cannot be built: {reason}. Restore "
            "the file if it was edited, or fit again."
        ) from None
    try:
        algorithm.model.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise PthetaError(
            f"{files.path / 'model.safetensors'} does not fit the settings in run.json: {first} "
            f"One of the two was edited or replaced, or the run is of another version "
            f"({record.versions.get('ptheta', 'unknown')}); restore it, or fit again."
        ) from None
    algorithm.model.to(resolve_device(device)).eval()
    history = files.read_metrics()
    return _run(algorithm, algorithm.model, record, history, files.path)


def _fit_in_process(fabric: Fabric, *, task: Callable[..., Run], folder: RunFolder) -> None:
    # a divergence is in the record, from which the first process raises it
    with in_process_group(fabric), suppress(Diverged):
        task(fabric, folder=folder)


def _fit_here(
    fabric: Fabric,
    *,
    data: Data,
    record: RunRecord,
    limits: tuple[int | None, float | None, float | None],
    callbacks: tuple[Callback, ...],
    on_progress: Callable[[Progress], None] | None,
    checkpoint_seconds: float,
    resume: bool,
    folder: RunFolder | None,
) -> Run:
    with seeded(record.seed):
        algorithm = build(record.recipe, data.space, data.context_space, record.settings)
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
        figure=heldout_figure(algorithm.model, data.validation, data.space),
        steps=steps,
        seconds=seconds,
        evaluate_every=_evaluate_every(algorithm, batches),
        patience=algorithm.patience,
        # what is not seen twice by then cannot be learnt by heart
        early=has_likelihood(algorithm.model) and batches.steps_per_epoch < EARLY[-1],
        ema=algorithm.ema,
        folder=folder,
        checkpoint_seconds=checkpoint_seconds,
        callbacks=callbacks,
        keep=algorithm.keep,
    )


def _evaluate_every(algorithm: Algorithm, batches: Batches) -> int:
    if algorithm.batch_size is None:
        # looks that decide nothing are for the record
        return batches.steps_per_epoch * (10 if algorithm.keep == "last" else 1)
    shortest = 100 if has_likelihood(algorithm.model) else 500
    return min(max(batches.steps_per_epoch, shortest), 1000)


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
    return _run(algorithm, served, record, outcome.history, path)


def _explained(
    outcome: Outcome, record: RunRecord, data: Data, folder: RunFolder | None
) -> Diverged:
    assert outcome.diverged is not None
    rate = record.settings.get("learning_rate")
    defaults = {setting.name: setting.default for setting in settings_of(find(record.recipe))}
    usual = defaults.get("learning_rate", 0.0)
    remedy = likely_cause(data, rate if isinstance(rate, float) else None, usual)
    kept = "" if folder is None else f" The model of step {outcome.best_step} is in {folder.path}."
    return Diverged(f"{record.recipe}: {outcome.diverged}. {remedy}{kept}", outcome.diverged.step)


def _run(
    algorithm: Algorithm,
    model: nn.Module,
    record: RunRecord,
    history: Sequence[dict[str, float]],
    folder: Path | None,
) -> Run:
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
    )


def _prepare(out: str | Path | None, record: RunRecord, resume: bool) -> RunFolder | None:
    if out is None:
        if resume:
            raise PthetaError("to resume, say which run: give its folder as out (--out DIR).")
        return None
    folder = RunFolder(out)
    if resume:
        before = folder.read_record()
        _check_same(before, record, folder)
        if before.steps > 0 and not folder.has_state:
            raise PthetaError(
                f"{folder.path} holds a model of {before.steps} steps, but no state to go on from: "
                "state.json is missing. Restore it, or fit into another folder."
            )
        return folder
    if folder.exists:
        raise PthetaError(
            f"{folder.path} already holds a run; go on with it by --resume, remove it, or name "
            "another folder."
        )
    folder.create()
    folder.write_record(record)
    return folder


def _as_begun(record: RunRecord, folder: RunFolder) -> RunRecord:
    """The record of a run that is gone on with, in which the column of sentences may be unnamed."""
    if end_of(record.space) is None or folder.read_record().columns:
        return record
    return record.model_copy(update={"columns": ()})


def _withdraw(folder: RunFolder) -> None:
    """Takes away a folder in which nothing came of a run, so that it is free for another."""
    written = [path.name for path in folder.path.iterdir()] if folder.path.is_dir() else []
    if written == ["run.json"]:
        (folder.path / "run.json").unlink()
        folder.path.rmdir()


def _check_same(before: RunRecord, now: RunRecord, folder: RunFolder) -> None:
    for name in ("recipe", "settings", "space", "context_space", "columns", "fingerprint", "seed"):
        # compared as JSON, in which a tuple read back is a list
        old, new = (record.model_dump(mode="json")[name] for record in (before, now))
        if old != new and name == "settings":
            changed = next(key for key in new if old.get(key) != new[key])
            name, old, new = f"setting '{changed}'", old.get(changed), new[changed]
        if old != new:
            raise PthetaError(
                f"{folder.path} was begun with another {name.replace('_', ' ')} ({_short(old)}, "
                f"now {_short(new)}); resume with the same, or fit into another folder."
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 60 else text[:57] + "..."
