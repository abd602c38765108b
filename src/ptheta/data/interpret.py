"""From contents to examples: kinds are inferred, values become codes."""

from __future__ import annotations

__all__ = ["interpret", "stream_table"]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ptheta.data.arrays import interpret_array
from ptheta.data.audio import refuse_rate, sound_windows
from ptheta.data.contents import Arrays, Contents, Frame, Sentences, Sounds, Text, quoted
from ptheta.data.dataset import MappedRows
from ptheta.data.encoding import context_space_of, encode, encode_context
from ptheta.data.kinds import decide, space_of, written_as_text
from ptheta.data.pairs import read_as_text, sentences_of
from ptheta.data.sentences import interpret_sentences
from ptheta.data.splits import Examples, refuse_few
from ptheta.data.streaming import file_key, mapped_array
from ptheta.data.summary import Summary
from ptheta.data.tables import header_notes, read_chunks
from ptheta.data.text import interpret_text, refuse_window
from ptheta.errors import PthetaError, nearest
from ptheta.spaces import Categorical, Column, Real, Space

if TYPE_CHECKING:
    import pandas as pd

_Contexts = dict[str, tuple[Tensor, Categorical | Real]]


def interpret(
    contents: Contents,
    context: str | None = None,
    kinds: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    window: int | None = None,
    rate: int | None = None,
) -> Examples:
    """The examples of contents, in a space that is inferred.

    Arguments:
        contents: What a reader handed over.
        context: The column of a table that examples are conditioned on, or None.
        kinds: The kinds of columns of a table that a person asked for.
        drop: The columns of a table to leave out.
        window: The characters of a text that make one example, or the samples of sound; None
            takes 64, or 1,024.
        rate: The samples a second of sound; None takes the most common rate.

    Raises:
        PthetaError: A column cannot be used, columns are named where there are none, a window is
            asked for where there is no text and no sound, or a rate where there is no sound.
    """
    if not isinstance(contents, Text | Sounds):
        refuse_window(window, contents.where)
    if not isinstance(contents, Sounds):
        refuse_rate(rate, contents.where)
    match contents:
        case Frame():
            return _interpret_frame(contents, context, kinds or {}, drop)
        case Text():
            _refuse_columns(contents, kinds, drop)
            return interpret_text(contents, window)
        case Sentences():
            _refuse_columns(contents, kinds, drop)
            return interpret_sentences(contents)
        case Sounds():
            _refuse_columns(contents, kinds, drop)
            arrays, owners, _ = sound_windows(contents, window, rate)
            examples = _with_contexts(interpret_array(arrays), arrays)
            return replace(examples, owners=owners, ordered=owners is None)
        case Arrays():
            _refuse_columns(contents, kinds, drop)
            return _with_contexts(interpret_array(contents), contents)
        case _:
            raise TypeError(f"unexpected contents {type(contents).__name__}")


def _refuse_columns(
    contents: Contents, kinds: Mapping[str, str] | None, drop: Sequence[str]
) -> None:
    named = [*(kinds or {}), *drop]
    if named:
        raise PthetaError(
            f"{contents.where} is no table, so there is no column {quoted(named)}. Kinds and "
            "columns to drop are for tables."
        )


def _with_contexts(examples: Examples, contents: Arrays) -> Examples:
    import pandas as pd

    contexts: _Contexts = {}
    for name, values in contents.labels.items():
        contexts[name] = _context(pd.Series(values), name, contents.where, {})
    return replace(examples, contexts=contexts)


def _context(
    values: pd.Series[Any], name: str, where: str, kinds: Mapping[str, str]
) -> tuple[Tensor, Categorical | Real]:
    found = Summary(name, where, kinds.get(name))
    found.update(values)
    space = context_space_of(decide(found)[0], where)
    return encode_context(values, space, name, where), space


def _interpret_frame(
    contents: Frame, context: str | None, kinds: Mapping[str, str], drop: Sequence[str]
) -> Examples:
    frame, where = contents.frame, contents.where
    refuse_few(len(frame), where)
    names = _names(frame, where, context, kinds, drop)
    if read_as_text(contents, names, context, kinds):
        kept = contents.frame[[*names, *([] if context is None else [context])]]
        return interpret_sentences(sentences_of(replace(contents, frame=kept), context))
    summaries = {name: Summary(name, where, kinds.get(name)) for name in names}
    for name, summary in summaries.items():
        summary.update(frame[name])
    columns, space, notes = _decide_all(summaries)
    contexts: _Contexts = {}
    if context is not None:
        contexts[context] = _context(frame[context], context, where, kinds)
    return Examples(
        where=where,
        space=space,
        x=encode(frame, columns, where).to(space.dtype),
        contexts=contexts,
        columns=tuple(names),
        notes=(*contents.notes, *notes),
        parts=contents.parts,
        splits=contents.splits,
    )


def _names(
    frame: pd.DataFrame,
    where: str,
    context: str | None,
    kinds: Mapping[str, str],
    drop: Sequence[str],
) -> list[str]:
    known = [str(name) for name in frame.columns]
    for name in (*kinds, *drop, *([] if context is None else [context])):
        if name not in known:
            raise PthetaError(f"{where} has no column '{name}'. {nearest(name, known)}")
    names = [name for name in known if name not in drop and name != context]
    if not names:
        raise PthetaError(f"{where} has no column left to model. Drop fewer.")
    return names


def _decide_all(
    summaries: Mapping[str, Summary],
) -> tuple[tuple[Column, ...], Space, tuple[str, ...]]:
    decided = [decide(summary) for summary in summaries.values()]
    columns = tuple(column for column, _ in decided)
    exact = all(summary.exact_in_float32 for summary in summaries.values())
    notes = [note for _, found in decided for note in found]
    rounded = [c.name for c in columns if isinstance(c.space, Real) and summaries[c.name].rounded]
    if rounded:
        notes.append(
            f"Real numbers that repeat, as rounded ones do, in {quoted(rounded, 4)}: a density "
            "can rise without end at the values that repeat, so likelihoods will flatter."
        )
    return columns, space_of(columns, exact), tuple(notes)


def stream_table(
    path: Path, context: str | None, kinds: Mapping[str, str], drop: Sequence[str]
) -> Examples:
    """The examples of a table that stays on disk.

    The file is read twice, in chunks: once to find the kinds of its columns, once to write their
    codes to an array in the cache folder, which is then mapped into memory.

    Arguments:
        path: A CSV, TSV or Parquet file.
        context: The column that examples are conditioned on, or None; it is kept in memory.
        kinds: The kinds of columns that a person asked for.
        drop: The columns to leave out.

    Raises:
        PthetaError: A column cannot be used.
    """
    where = str(path)
    summaries: dict[str, Summary] = {}
    as_text = written_as_text(kinds)
    for chunk in read_chunks(path, as_text):
        names = _names(chunk, where, context, kinds, drop)
        if not summaries:
            wanted = [*names, *([] if context is None else [context])]
            summaries = {name: Summary(name, where, kinds.get(name)) for name in wanted}
        for name, summary in summaries.items():
            summary.update(chunk[name])
    if not summaries:
        raise PthetaError(f"{where} holds no rows. Give a file with examples.")
    rows = next(iter(summaries.values())).rows
    condition = summaries.pop(context) if context is not None else None
    columns, space, notes = _decide_all(summaries)

    def fill(out: NDArray[Any]) -> None:
        for start, chunk in _numbered(path, as_text):
            out[start : start + len(chunk)] = encode(chunk, columns, where, start).numpy()

    dtype = torch.empty(0, dtype=space.dtype).numpy().dtype
    array = mapped_array((*file_key(path), space), (rows, len(columns)), dtype, fill)
    contexts: _Contexts = {}
    if condition is not None and context is not None:
        known = context_space_of(decide(condition)[0], where)
        values = [
            encode_context(chunk[context], known, context, where)
            for chunk in read_chunks(path, as_text)
        ]
        contexts[context] = (torch.cat(values), known)
    return Examples(
        where=where,
        space=space,
        x=MappedRows(array, space.dtype),
        contexts=contexts,
        columns=tuple(summaries),
        notes=(
            *header_notes(path),
            *notes,
            f"{rows} rows stay on disk and are read as they are needed.",
        ),
    )


def _numbered(path: Path, as_text: Sequence[str]) -> Iterator[tuple[int, pd.DataFrame]]:
    start = 0
    for chunk in read_chunks(path, as_text):
        yield start, chunk
        start += len(chunk)
