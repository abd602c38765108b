"""The folder of a run: begun, gone on with, or taken away again."""

from __future__ import annotations

__all__ = ["as_begun", "begin", "withdraw"]

from pathlib import Path
from typing import Any

from ptheta.errors import PthetaError
from ptheta.recipes.registry import find
from ptheta.recipes.settings import check_settings
from ptheta.spaces import end_of
from ptheta.training.folder import RunFolder, RunRecord


def begin(out: str | Path | None, record: RunRecord, resume: bool) -> RunFolder | None:
    """The folder that a run is saved to.

    Arguments:
        out: The folder; None saves nothing.
        record: What is fitted.
        resume: Whether to go on with the run in that folder.

    Raises:
        PthetaError: There is a run and it is not to be gone on with, or it is of something else,
            or there is none to go on with.
    """
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


def withdraw(folder: RunFolder) -> None:
    """Takes away a folder in which nothing came of a run, so that it is free for another."""
    written = [path.name for path in folder.path.iterdir()] if folder.path.is_dir() else []
    if written == ["run.json"]:
        (folder.path / "run.json").unlink()
        folder.path.rmdir()


def as_begun(record: RunRecord, folder: RunFolder) -> RunRecord:
    """The record of a run that is gone on with, as the folder has it.

    In early formats the column of sentences is unnamed, and a recipe may have had fewer settings.
    The weights are kept with a digest of both.
    """
    before = folder.read_record()
    usual = _defaults(record.recipe)
    settings = {
        key: value
        for key, value in record.settings.items()
        if key in before.settings or value != usual[key]
    }
    record = record.model_copy(update={"format": before.format, "settings": settings})
    if end_of(record.space) is None or before.columns:
        return record
    return record.model_copy(update={"columns": ()})


def _check_same(before: RunRecord, now: RunRecord, folder: RunFolder) -> None:
    for name in ("recipe", "settings", "space", "context_space", "columns", "fingerprint", "seed"):
        # compared as JSON, in which a tuple read back is a list
        old, new = (record.model_dump(mode="json")[name] for record in (before, now))
        if name == "settings":
            # what a recipe had no setting for yet was as it is by default
            usual = _defaults(now.recipe)
            old, new = {**usual, **old}, {**usual, **new}
            changed = next((key for key in old if key not in new or old[key] != new[key]), None)
            if changed is None:
                continue
            name, old, new = f"setting '{changed}'", old[changed], new.get(changed)
        if old != new:
            raise PthetaError(
                f"{folder.path} was begun with another {name.replace('_', ' ')} ({_short(old)}, "
                f"now {_short(new)}); resume with the same, or fit into another folder."
            )


def _defaults(recipe: str) -> dict[str, Any]:
    return check_settings(recipe, find(recipe), {})


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 60 else text[:57] + "..."
