"""Fitting a recipe to data: checked, recorded, and started in one process or several."""

from __future__ import annotations

__all__ = ["fit"]

import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ptheta.border import Count, Seed, checked
from ptheta.data.dataset import Data
from ptheta.data.load import load_data
from ptheta.errors import PthetaError
from ptheta.fitting.folder import as_begun, begin, withdraw
from ptheta.fitting.process import fit_here
from ptheta.fitting.run import Progress, Run
from ptheta.fitting.saved import load
from ptheta.random import seeded
from ptheta.recipes.registry import build, find, importable
from ptheta.recipes.settings import PositiveFloat, check_settings, refuse_idle
from ptheta.training.devices import in_process_group, interrupted_by_children, make_fabric
from ptheta.training.folder import RunFolder, RunRecord
from ptheta.training.guard import Diverged
from ptheta.training.loop import Callback
from ptheta.training.types import SupportsCompile

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@checked
def fit(
    data: Data | str | Path,
    recipe: str,
    *,
    settings: Mapping[str, Any] | None = None,
    steps: Count | None = None,
    epochs: PositiveFloat | None = None,
    seconds: PositiveFloat | None = None,
    seed: Seed = 0,
    device: str = "auto",
    precision: str = "32-true",
    processes: Count = 1,
    compile: bool = False,
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
        compile: Whether torch compiles the loss, which takes a while at the first step; without a
            compiler it does not, and all goes on as it would.
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
    refuse_idle(recipe, find(recipe), settings or {})
    with seeded(seed):
        algorithm = build(recipe, data.space, data.context_space, settings, data.columns)
    if compile and not isinstance(algorithm.learner, SupportsCompile):
        raise PthetaError(
            f"'{recipe}' does not learn by gradient steps on one loss, and there is nothing to "
            "compile; leave compile out."
        )
    record = _record(data, recipe, checked, seed, precision, processes)
    if resume and out is not None:
        record = as_begun(record, RunFolder(out))
    fabric = make_fabric(device, precision, processes)
    task = partial(
        fit_here,
        data=replace(data, truth=None) if processes > 1 else data,
        record=record,
        limits=(steps, epochs, seconds),
        callbacks=tuple(callbacks),
        on_progress=on_progress,
        checkpoint_seconds=checkpoint_seconds,
        resume=resume,
        compile=compile,
    )
    if processes > 1 and not importable(recipe):
        raise PthetaError(
            f"'{recipe}' was registered in this process and others do not know it; make it an "
            "entry point of an installed package, or fit in one process."
        )
    if processes == 1:
        folder = begin(out, record, resume)
        try:
            return task(fabric, folder=folder)
        except Exception:
            if folder is not None and not resume:
                withdraw(folder)
            raise
    return _in_processes(task, fabric, record, out, resume, device)


def _record(
    data: Data,
    recipe: str,
    settings: dict[str, Any],
    seed: int,
    precision: str,
    processes: int,
) -> RunRecord:
    return RunRecord(
        recipe=recipe,
        settings=settings,
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


def _in_processes(
    task: Callable[..., Run],
    fabric: Fabric,
    record: RunRecord,
    out: str | Path | None,
    resume: bool,
    device: str,
) -> Run:
    with tempfile.TemporaryDirectory() as temporary:
        # processes hand their result over through a folder, whether or not one was asked for
        path = Path(temporary) / "run" if out is None else Path(out)
        folder = begin(path, record, resume)
        with interrupted_by_children():
            fabric.launch(partial(_fit_in_process, task=task, folder=folder))  # pyright: ignore
        error = RunFolder(path).read_record().error
        if error:
            raise Diverged(error, 0)
        run = load(path, device)
        return run if out is not None else replace(run, folder=None)


def _fit_in_process(fabric: Fabric, *, task: Callable[..., Run], folder: RunFolder) -> None:
    # a divergence is in the record, from which the first process raises it
    with in_process_group(fabric), suppress(Diverged):
        task(fabric, folder=folder)
