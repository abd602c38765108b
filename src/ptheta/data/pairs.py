"""Sentences from tables: one column of text, and perhaps what each is given in another."""

from __future__ import annotations

__all__ = ["read_as_text", "sentences_of"]

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ptheta.data.contents import Frame, Sentences, quoted
from ptheta.data.summary import Summary
from ptheta.errors import PthetaError

if TYPE_CHECKING:
    import pandas as pd


def read_as_text(
    contents: Frame, names: Sequence[str], context: str | None, kinds: Mapping[str, str]
) -> bool:
    """Whether a table is to be read as sentences.

    It is where a kind is said to be text, or where one column is left to model and both it and the
    context hold texts nearly all of which differ, which as categories would tell nothing.

    Arguments:
        contents: The table.
        names: The columns to model.
        context: The column that they are conditioned on, or None.
        kinds: The kinds of columns that a person asked for.

    Raises:
        PthetaError: A column is said to be text, and there are others to model, or the context is
            said to be of another kind.
    """
    wanted = [*names, *([] if context is None else [context])]
    said = [name for name in wanted if kinds.get(name) == "text"]
    if said:
        if len(names) != 1 or any(kinds.get(name, "text") != "text" for name in wanted):
            raise PthetaError(
                f"column '{said[0]}' of {contents.where} can be text only where one column is left "
                f"to model, and the context is text too; there are {quoted(names)}. Drop the "
                "others with --drop."
            )
        return True
    if len(names) != 1 or context is None or any(name in kinds for name in wanted):
        return False
    return all(_differs(contents.frame[name], name, contents.where) for name in wanted)


def sentences_of(contents: Frame, context: str | None, name: str | None = None) -> Sentences:
    """The sentences of one column of a table, and what each is given in another.

    Arguments:
        contents: The table.
        context: The column of what each is given, or None.
        name: The column of the sentences; None takes the only one beside the context.

    Raises:
        PthetaError: A row has no text, or there is no such column.
    """
    columns = [str(column) for column in contents.frame.columns]
    absent = [each for each in (name, context) if each is not None and each not in columns]
    if absent:
        raise PthetaError(
            f"{contents.where} has no column {quoted(absent)} of sentences; it has "
            f"{quoted(columns)}. Rename what is missing."
        )
    left = [column for column in columns if column != context]
    name = name or _only(left, contents.where)
    others = [column for column in left if column != name]
    ignored = () if not others else (f"Not read: {quoted(others)}.",)
    given = {} if context is None else {context: _texts(contents, context)}
    beside = "" if context is None else f", given those of '{context}'"
    return Sentences(
        where=contents.where,
        sentences=_texts(contents, name),
        given=given,
        parts=contents.parts,
        splits=contents.splits,
        notes=(*contents.notes, f"Column '{name}' is read as sentences{beside}.", *ignored),
        column=name,
    )


def _only(columns: Sequence[str], where: str) -> str:
    if len(columns) != 1:
        raise PthetaError(
            f"{where} has {len(columns)} columns beside the context: {quoted(columns)}. "
            "Sentences are read from one, so leave out the others."
        )
    return columns[0]


def _differs(values: pd.Series[Any], name: str, where: str) -> bool:
    found = Summary(name, where)
    found.update(values)
    return found.text and found.unique


def _texts(contents: Frame, name: str) -> tuple[str, ...]:
    values = contents.frame[name]
    if values.isna().any():
        row = int(values.isna().to_numpy().nonzero()[0][0]) + 1
        raise PthetaError(
            f"column '{name}' of {contents.where} has no text in row {row}. Fill it in, or remove "
            "the row."
        )
    return tuple(map(str, values))
