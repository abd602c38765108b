"""Folders of files, whose sub-folders are splits and labels."""

__all__ = ["files_of", "labels_and_parts"]

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptheta.data.contents import PART_NAMES


def files_of(folder: Path, endings: Sequence[str]) -> list[Path]:
    """The files of a folder and its sub-folders that are not hidden, in the order of their names.

    What the folder itself is called, and what it lies in, makes no difference.

    Arguments:
        folder: The folder.
        endings: What their names end in, in lower case.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in endings)
    return [p for p in paths if not _hidden(p.relative_to(folder))]


def labels_and_parts(
    folder: Path, paths: Sequence[Path]
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.int64]]]:
    """What the sub-folders say of files.

    The first level gives the label; if its folders are train, val and test, they give the splits,
    and the second level the label.

    Arguments:
        folder: The folder.
        paths: The files.

    Returns:
        The labels by name, with one for each file, and the files of each split.
    """
    relative = [path.relative_to(folder).parts for path in paths]
    split = all(len(parts) > 1 and parts[0] in PART_NAMES for parts in relative)
    split = split and any(parts[0] == "train" for parts in relative)
    level = 1 if split else 0
    labels: dict[str, NDArray[Any]] = {}
    if all(len(parts) > level + 1 for parts in relative):
        names = np.array([parts[level] for parts in relative])
        labels = {"label": names} if len(set(names.tolist())) > 1 else {}
    if not split:
        return labels, {}
    names = np.array([PART_NAMES[parts[0]] for parts in relative])
    return labels, {name: np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)
