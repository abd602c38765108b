"""Data by name, from a file or folder, or from memory: one entrance for all of them."""

from __future__ import annotations

__all__ = ["data_names", "load_data", "load_rows"]

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ptheta.border import Count, Seed, checked
from ptheta.data.arrays import ARRAY_ENDINGS, conform_array, from_mapping, from_values, read_array
from ptheta.data.audio import AUDIO_ENDINGS, conform_audio, read_audio, refuse_rate
from ptheta.data.contents import (
    Arrays,
    Contents,
    Fractions,
    Frame,
    Sentences,
    Sounds,
    Text,
    few,
    quoted,
)
from ptheta.data.dataset import Data, MappedRows, Split, Truth
from ptheta.data.encoding import encode, encode_context
from ptheta.data.fetch import from_hub
from ptheta.data.folders import files_of
from ptheta.data.images import IMAGE_ENDINGS, read_images
from ptheta.data.interpret import interpret, stream_table
from ptheta.data.kinds import written_as_text
from ptheta.data.pairs import sentences_of
from ptheta.data.sentences import conform_sentences, known_sentences
from ptheta.data.splits import assemble
from ptheta.data.standard import STANDARD, read_standard
from ptheta.data.streaming import fits_in_memory
from ptheta.data.synthetic import SYNTHETIC, truth_of
from ptheta.data.tables import TABLE_ENDINGS, header_notes, read_table, tidy
from ptheta.data.text import conform_text, lines_of, read_text, refuse_window
from ptheta.errors import PthetaError, nearest
from ptheta.random import seeded
from ptheta.spaces import END, Categorical, Column, Discrete, Positive, Real, Space, Table, end_of

_ROWS = 10_000
_TEXT_ENDINGS = (".txt", ".text", ".md")
_EXPANSION = 4  # a row as text or compressed takes about this much more in memory


@checked
def load_data(
    source: object,
    *,
    context: str | None = None,
    kinds: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    splits: tuple[float, float, float] | None = None,
    image_size: Count | None = None,
    window: Count | None = None,
    rate: Count | None = None,
    strict: bool = False,
    stream: bool | None = None,
    seed: Seed = 0,
) -> Data:
    """A data set, from wherever it is.

    Arguments:
        source: A name (see `data_names`); ``hf:NAME`` for one of the Hugging Face hub; a path to a
            CSV, TSV, Parquet, JSON lines, .npy, .npz, text or sound file or to a folder of images
            or of recordings; or a tensor, an array, a table of pandas, a mapping of arrays, or a
            pair of examples and labels.
        context: What examples are conditioned on: a column of a table, or ``label``.
        kinds: The kinds of columns, where they should not be inferred: ``real``, ``positive``,
            ``discrete``, ``categorical``, or ``text`` for sentences.
        drop: The columns to leave out.
        splits: The fractions of train, validation and test. None takes the official splits, or
            else 0.7, 0.1 and 0.2 by seed.
        image_size: The side to scale and crop images to.
        window: The characters of a text that make one example, or the samples of sound; None
            takes 64, or 1,024.
        rate: The samples a second that recordings are brought to; None takes the most common.
        strict: Whether an image or a recording that cannot be read is an error rather than left
            out and counted.
        stream: Whether the examples stay on disk; None decides by the memory that is free.
        seed: The seed of the split, and of a synthetic set.

    Returns:
        The data set.

    Raises:
        PthetaError: There is no such source, or what it holds cannot be used; the message says
            where and what to do.

    Example:
        >>> data = load_data("moons", seed=1)
        >>> data.space, len(data.train)
        (Real(shape=(2,), layout='vector', kind='real'), 7000)
    """
    if isinstance(source, Data):
        return source
    path = None if isinstance(source, str) and source in SYNTHETIC else _existing(source)
    if image_size is not None and not (path is not None and path.is_dir()):
        raise PthetaError("a size is for folders of images, which this source is not.")
    origin: dict[str, Any] = {}
    if isinstance(source, str) or path is not None:
        # a file is found again from any folder
        origin = {
            "source": str(source) if path is None else str(path.resolve()),
            "context": context,
            "kinds": dict(kinds or {}),
            "drop": list(drop),
            "splits": None if splits is None else list(splits),
            "image_size": image_size,
            "window": window,
            "rate": rate,
            "strict": strict,
            "stream": stream,
            "seed": seed,
        }
    if isinstance(source, str) and source in SYNTHETIC:
        refuse_window(window, source)
        refuse_rate(rate, source)
        return replace(_synthetic(source, context, splits, seed), origin=origin)
    if path is not None and _stays_on_disk(path, stream):
        refuse_window(window, str(path))
        refuse_rate(rate, str(path))
        examples = stream_table(path, context, kinds or {}, drop)
    else:
        as_text = written_as_text(kinds or {})
        contents = _read(source, path, image_size, strict, stream, as_text=as_text)
        examples = interpret(contents, context, kinds or {}, drop, window, rate)
    if stream and not isinstance(examples.x, MappedRows):
        note = (
            "It is in memory whole: CSV, TSV, Parquet and .npy files and folders of images can "
            "stay on disk, and nothing else."
        )
        examples = replace(examples, notes=(*examples.notes, note))
    name = examples.where if path is None else str(source)
    return replace(assemble(name, examples, context, splits, seed), origin=origin)


@checked
def load_rows(
    source: object,
    space: Space,
    columns: tuple[str, ...] = (),
    context_space: Categorical | Real | None = None,
    context_name: str | None = None,
    *,
    image_size: Count | None = None,
) -> Split:
    """All rows of a source, in order, in a space that is known: to score them.

    Arguments:
        source: As for `load_data`.
        space: The space of the examples.
        columns: The names of the values of an example, or of the column of sentences, where they
            have names. Other columns of a table are left out.
        context_space: The space of the context, or None.
        context_name: The name of the context in the source.
        image_size: The side to scale and crop images to.

    Returns:
        The examples, their context, and the names of the files that they are of. A category that
        was not known has the code ``categories``, and other values outside the space stay outside:
        `Space.contains` is false there.

    Raises:
        PthetaError: Columns are missing or shapes differ; the message names both sides.
    """
    if isinstance(source, str) and source in SYNTHETIC:
        contents = _draw(source, 0)[0]
    else:
        path = _existing(source)
        channels = space.shape[0] if space.layout == "image" else None
        as_text = _written_as_text(space, columns, context_space, context_name)
        contents = _read(
            source,
            path,
            image_size,
            strict=True,
            stream=False,
            channels=channels,
            as_text=as_text,
        )
    notes: tuple[str, ...] = ()
    if isinstance(contents, Sounds):
        contents = conform_audio(contents, space)
        notes = contents.notes
    if isinstance(contents, Frame) and end_of(space) is not None:
        given = None if context_space is None else context_name
        contents = sentences_of(contents, given, columns[0] if columns else None)
        notes = contents.notes
    names = contents.names if isinstance(contents, Arrays) else {}
    if context_space is None:
        return Split(_conform(contents, space, columns), notes=notes, names=names)
    name = context_name or "label"
    context = _context_of(contents, context_space, name)
    if isinstance(contents, Frame):
        contents = replace(contents, frame=contents.frame.drop(columns=name))
    return Split(_conform(contents, space, columns), context, notes, names)


def data_names() -> dict[str, str]:
    """The data sets that have names, and what each is, in a line."""
    synthetic = {name: f"synthetic: {set_.title}" for name, set_ in SYNTHETIC.items()}
    standard = {name: set_.title for name, set_ in STANDARD.items()}
    return {
        "digits": "scikit-learn's handwritten digits, 8 x 8, 17 levels",
        **synthetic,
        **standard,
    }


def _synthetic(name: str, context: str | None, splits: Fractions | None, seed: int) -> Data:
    contents, truth = _draw(name, seed)
    if context is not None:
        note = "The known density is that of all parts together, so it is left out here."
        contents, truth = replace(contents, notes=(note,)), None
    return assemble(name, interpret(contents, context), context, splits, seed, truth)


def _draw(name: str, seed: int) -> tuple[Arrays, Truth | None]:
    planar = SYNTHETIC[name].make()
    with seeded(seed):
        x, part = planar.sample(_ROWS)
    labels = {"label": part.numpy()} if planar.parts > 1 else {}
    contents = Arrays(where=name, x=x.numpy(), labels=labels, space=Real((2,)))
    return contents, truth_of(SYNTHETIC[name], planar)


def _digits() -> Arrays:
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    x = found.images.astype(np.uint8)[:, None]
    space = Discrete((1, 8, 8), 17, layout="image")
    return Arrays(where="digits", x=x, labels={"label": found.target}, space=space)


def _existing(source: object) -> Path | None:
    """The path that a source names, or None where it is a name or lies in memory."""
    if isinstance(source, Path):
        path = source
    elif not isinstance(source, str) or source in data_names() or source.startswith("hf:"):
        return None
    else:
        path = Path(source).expanduser()
    if not str(source):
        raise PthetaError("the name of the data is empty. Give a name or a path.")
    if path.exists():
        return path
    looks_like_name = not path.suffix and len(path.parts) == 1
    hint = nearest(str(source), data_names()) if looks_like_name else "Check the path."
    raise PthetaError(f"there is no file or folder {source}. {hint}")


def _ends(path: Path, endings: Sequence[str]) -> bool:
    return path.name.lower().endswith(tuple(endings))


def _stays_on_disk(path: Path, stream: bool | None) -> bool:
    if path.is_dir() or not _ends(path, TABLE_ENDINGS) or _ends(path, (".jsonl", ".ndjson")):
        return False
    return stream or (stream is None and not fits_in_memory(_EXPANSION * path.stat().st_size))


def _npy_stays_on_disk(path: Path, stream: bool | None) -> bool:
    if not _ends(path, (".npy",)):
        return False
    return stream or (stream is None and not fits_in_memory(path.stat().st_size))


def _read(
    source: object,
    path: Path | None,
    image_size: int | None,
    strict: bool,
    stream: bool | None,
    channels: int | None = None,
    as_text: Sequence[str] = (),
) -> Contents:
    if path is not None:
        return _read_path(path, image_size, strict, stream, channels, as_text)
    if isinstance(source, str):
        if source.startswith("hf:"):
            return from_hub(source.removeprefix("hf:"))
        return _digits() if source == "digits" else read_standard(source)
    return _from_memory(source)


def _read_path(
    path: Path,
    image_size: int | None,
    strict: bool,
    stream: bool | None,
    channels: int | None,
    as_text: Sequence[str],
) -> Contents:
    if path.is_dir():
        if _holds_sound(path, image_size):
            return read_audio(path, strict=strict)
        return read_images(path, image_size, strict=strict, channels=channels, stream=stream)
    if _ends(path, AUDIO_ENDINGS):
        return read_audio(path, strict=strict)
    if _ends(path, TABLE_ENDINGS):
        return Frame(where=str(path), frame=read_table(path, as_text), notes=header_notes(path))
    if _ends(path, ARRAY_ENDINGS):
        return read_array(path, mapped=_npy_stays_on_disk(path, stream))
    if _ends(path, _TEXT_ENDINGS):
        return read_text(path)
    raise PthetaError(
        f"{path} has an ending that is not known. Files ending in "
        f"{', '.join((*TABLE_ENDINGS, *ARRAY_ENDINGS, '.txt', *AUDIO_ENDINGS))} are read, and "
        "folders of images or recordings."
    )


def _holds_sound(folder: Path, image_size: int | None) -> bool:
    recordings = files_of(folder, AUDIO_ENDINGS)
    images = files_of(folder, IMAGE_ENDINGS) if recordings else []
    if images:
        raise PthetaError(
            f"{folder} holds {len(images)} image{'s'[: len(images) != 1]} "
            f"({few((each.name for each in images), 1)}) and {len(recordings)} "
            f"recording{'s'[: len(recordings) != 1]} ({few((each.name for each in recordings), 1)})"
            ". Give a folder of one kind."
        )
    if recordings and image_size is not None:
        raise PthetaError(f"a size is for folders of images, and {folder} holds recordings.")
    return bool(recordings)


def _from_memory(source: object) -> Contents:
    import pandas as pd

    match source:
        case pd.DataFrame():
            return Frame(where="the table", frame=tidy(source, "the table"))
        case Mapping():
            return from_mapping({str(k): v for k, v in source.items()}, "the mapping")
        case tuple() if len(source) == 2:
            examples, labels = source
            return from_mapping({"x": examples, "label": labels}, "the pair")
        case Tensor() | np.ndarray() | Sequence():
            return from_values(source, "the array")
        case _:
            raise PthetaError(
                f"data cannot be a {type(source).__name__}. Give a name, a path, a tensor, an "
                "array or a table of pandas."
            )


def _conform(contents: Contents, space: Space, columns: tuple[str, ...]) -> Tensor:
    match contents:
        case Frame(frame=frame, where=where):
            wanted = _columns_of(space, columns)
            if wanted is None:
                return conform_array(Arrays(where=where, x=_matrix(contents)), space)
            codes = encode(frame, wanted, where)
            fits = isinstance(space, Discrete | Categorical) and bool(space.contains(codes).all())
            return codes if isinstance(space, Discrete) and not fits else codes.to(space.dtype)
        case Text(text=text, where=where) if isinstance(space, Categorical) and END in space.labels:
            return conform_sentences(lines_of(text), space, where)
        case Text():
            return conform_text(contents, space)
        case Sentences(sentences=sentences, where=where):
            return conform_sentences(sentences, space, where)
        case Arrays():
            return conform_array(contents, space)
        case _:
            raise TypeError(f"unexpected contents {type(contents).__name__}")


def _written_as_text(
    space: Space,
    columns: tuple[str, ...],
    context_space: Categorical | Real | None,
    context_name: str | None,
) -> tuple[str, ...]:
    """The columns of categories and of sentences."""
    of_table = space.columns if isinstance(space, Table) else ()
    found = [column.name for column in of_table if isinstance(column.space, Categorical)]
    if end_of(space) is not None:
        found += columns
    if isinstance(context_space, Categorical):
        found.append(context_name or "label")
    return tuple(found)


def _columns_of(space: Space, columns: tuple[str, ...]) -> tuple[Column, ...] | None:
    if isinstance(space, Table):
        return space.columns
    if len(columns) != space.features:
        return None
    match space:
        case Real() | Positive():
            return tuple(Column(name, Real()) for name in columns)
        case Discrete():
            scalar = Discrete(levels=space.levels, low=space.low)
            return tuple(Column(name, scalar) for name in columns)
        case _:
            return None


def _matrix(contents: Frame) -> Any:
    columns = [Column(name, Real()) for name in contents.frame.columns]
    return encode(contents.frame, columns, contents.where).numpy()


def _context_of(contents: Contents, space: Categorical | Real, name: str) -> Tensor:
    import pandas as pd

    match contents:
        case Sentences(given=given, where=where) if name in given:
            if not isinstance(space, Categorical) or END not in space.labels:
                raise PthetaError(f"{where} holds sentences, but {space.describe()} is expected.")
            return known_sentences(given[name], space, f"'{name}' of {where}")
        case Frame(frame=frame):
            available: Mapping[str, Any] = {str(column): frame[column] for column in frame}
        case Arrays(labels=labels):
            available = {label: pd.Series(values) for label, values in labels.items()}
        case _:
            available = {}
    if name not in available:
        raise PthetaError(
            f"{contents.where} has no '{name}', which the model is conditioned on"
            f"{f'; it has {quoted(available)}' if available else ''}. Give it as a column."
        )
    return encode_context(available[name], space, name, contents.where)
