"""Runs that were saved, loaded again."""

from __future__ import annotations

__all__ = ["load"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptheta.border import checked
from ptheta.errors import PthetaError
from ptheta.fitting.formats import built
from ptheta.fitting.run import Run, run_of
from ptheta.random import seeded
from ptheta.recipes.registry import find
from ptheta.recipes.settings import changed_settings
from ptheta.training.devices import resolve_device
from ptheta.training.folder import RunFolder


@checked
def load(
    folder: str | Path, device: str = "auto", settings: Mapping[str, Any] | None = None
) -> Run:
    """Loads a run that was saved.

    Arguments:
        folder: The folder of the run.
        device: Where the model is wanted: auto, cpu, cuda or mps.
        settings: Changes to settings of how the model is used, such as the steps of draws.

    Raises:
        PthetaError: The folder is no run, is damaged, was changed after the fit, or was written
            by a newer version; or a setting is none that can be changed.
    """
    files = RunFolder(folder)
    record = files.read_record()
    if settings:
        recipe = find(record.recipe)
        changed = changed_settings(record.recipe, recipe, record.settings, settings)
        record = record.model_copy(update={"settings": changed})
    tensors = files.read_model()
    try:
        with seeded(0):
            algorithm = built(record)
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
        if settings:
            raise PthetaError(
                f"{files.path} was fitted to another model than these settings ask for "
                f"({', '.join(f'{key}={value}' for key, value in settings.items())}); leave out "
                "those that switch something on or off, or fit again with them."
            ) from None
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise PthetaError(
            f"{files.path / 'model.safetensors'} does not fit the settings in run.json: {first} "
            f"One of the two was edited or replaced, or the run is of another version "
            f"({record.versions.get('ptheta', 'unknown')}); restore it, or fit again."
        ) from None
    algorithm.model.to(resolve_device(device)).eval()
    history = files.read_metrics()
    return run_of(algorithm, algorithm.model, record, history, files.path)
