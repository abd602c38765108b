"""What a reader hands over: the examples as they were written, before kinds and splits."""

from __future__ import annotations

__all__ = [
    "DEFAULT_SPLITS",
    "PART_NAMES",
    "Arrays",
    "Contents",
    "Fractions",
    "Frame",
    "Parts",
    "Recording",
    "Sentences",
    "Sounds",
    "Text",
    "few",
    "quoted",
]

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ptheta.spaces import Space

if TYPE_CHECKING:
    import pandas as pd

Fractions = tuple[float, float, float]
Parts = Mapping[str, NDArray[np.int64]]  # rows of train, validation, test, where they are given

DEFAULT_SPLITS: Fractions = (0.7, 0.1, 0.2)
# what splits are called in files and folders
PART_NAMES = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What all readers hand over. Final classes: Frame, Arrays, Text, Sentences, Sounds.

    Arguments:
        where: What messages call it: the file, or a few words.
        parts: The rows of the splits that come with it. Without rows for validation or test,
            those are taken from the training rows by seed.
        splits: The fractions for a split by seed, where none comes with it.
        notes: What a person should know of it, a sentence each.
    """

    where: str
    parts: Parts = field(default_factory=dict[str, NDArray[np.int64]])
    splits: Fractions = DEFAULT_SPLITS
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Frame(Contents):
    """A table whose columns have names.

    Arguments:
        frame: The rows.
    """

    frame: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Arrays(Contents):
    """Numbers of one kind.

    Arguments:
        x: The numbers, with shape (rows, *shape); images as (rows, channels, height, width).
        labels: What an example can be conditioned on, by name, with shape (rows,).
        space: The space of the examples, where it is known beforehand.
        columns: The names of the values of an example, where they have names.
        names: What tells the examples apart, by column, such as ``file``, with one for each.
    """

    x: NDArray[Any]
    labels: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])
    space: Space | None = None
    columns: tuple[str, ...] = ()
    names: Mapping[str, Sequence[Any]] = field(default_factory=dict[str, Sequence[Any]])


@dataclass(frozen=True, kw_only=True)
class Text(Contents):
    """One long text.

    Arguments:
        text: The text.
    """

    text: str


@dataclass(frozen=True, kw_only=True)
class Sentences(Contents):
    """Short texts of different lengths.

    Arguments:
        sentences: The texts.
        given: What each can be conditioned on, by name: the same sentence in another language.
        column: The name of their column, where they are from a table.
    """

    sentences: Sequence[str]
    given: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    column: str = ""


@dataclass(frozen=True)
class Recording:
    """A recording of sound.

    Arguments:
        name: Its name, for messages.
        samples: The samples, from -1 to 1, the mean of its channels, with shape (samples,).
        rate: The samples a second.
        channels: The number of channels that it had.
    """

    name: str
    samples: NDArray[np.float32]
    rate: int
    channels: int = 1


@dataclass(frozen=True, kw_only=True)
class Sounds(Contents):
    """Recordings of different lengths; its parts are of recordings.

    Arguments:
        recordings: The recordings.
        labels: What each can be conditioned on, by name, with shape (recordings,).
    """

    recordings: Sequence[Recording]
    labels: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])


def few(items: Iterable[object], limit: int = 5) -> str:
    """The first few items for a message, such as ``3, 8, 9, ... (12 in all)``."""
    found = [str(item) for item in items]
    shown = ", ".join(found[:limit])
    return shown if len(found) <= limit else f"{shown}, ... ({len(found)} in all)"


def quoted(names: Iterable[object], limit: int = 8) -> str:
    """As `few`, in quotation marks."""
    return few((f"'{name}'" for name in names), limit)
