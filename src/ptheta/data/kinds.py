"""The kinds of a table's columns, decided from their summaries alone."""

from __future__ import annotations

__all__ = ["KINDS", "decide", "space_of", "written_as_text"]

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ptheta.data.contents import few
from ptheta.data.summary import MOST_COUNTED, Summary
from ptheta.data.values import is_number, label_of
from ptheta.errors import PthetaError, nearest
from ptheta.spaces import Binary, Categorical, Column, Discrete, Positive, Real, Space, Table

KINDS = ("real", "positive", "discrete", "categorical", "text")

_MOST_LEVELS = 256
_MOST_DISTINCT_LEVELS = 64
_MOST_CATEGORIES = 1000
_MOST_FORCED_LEVELS = 65536


def decide(found: Summary) -> tuple[Column, tuple[str, ...]]:
    """The kind of a column, from its summary.

    Texts are categories; whole numbers of which there are few are levels, binary where there are
    two side by side; other numbers are real.

    Arguments:
        found: The summary.

    Returns:
        The column, and notes for a person.

    Raises:
        PthetaError: The column is empty, constant, an identifier, or not of the kind asked for.
    """
    _refuse_emptiness(found)
    space, notes = _forced(found) if found.kind else _inferred(found)
    return Column(found.name, space, found.missing > 0), notes


def written_as_text(kinds: Mapping[str, str]) -> tuple[str, ...]:
    """The columns whose fields are kept as they are written: 00501 is another category than 501.

    Arguments:
        kinds: The kinds of columns that a person asked for.
    """
    return tuple(name for name, kind in kinds.items() if kind in ("categorical", "text"))


def _refuse_emptiness(found: Summary) -> None:
    here = f"column '{found.name}' of {found.where}"
    if found.present == 0:
        raise PthetaError(f"{here} holds no values at all. Drop it (--drop {found.name}).")
    if found.distinct == 1 and found.kind != "categorical":
        value = label_of(next(iter(found.counts)))
        raise PthetaError(
            f"{here} is constant: every value is {value}. Drop it (--drop {found.name}), or keep "
            f"it as a category (--kind {found.name}=categorical)."
        )


def _inferred(found: Summary) -> tuple[Real | Discrete | Categorical, tuple[str, ...]]:
    if found.text:
        _refuse_identifier(found)
        return _categories(found), ()
    if found.boolean:
        return Discrete(), ()
    span = found.high - found.low + 1
    if found.whole and found.distinct <= _MOST_DISTINCT_LEVELS and span <= _MOST_LEVELS:
        return Discrete(levels=int(span), low=int(found.low)), _identifier_note(found)
    return Real(), _real_notes(found)


def _forced(found: Summary) -> tuple[Real | Positive | Discrete | Categorical, tuple[str, ...]]:
    here = f"column '{found.name}' of {found.where}"
    span = found.high - found.low + 1
    match found.kind:
        case "real":
            return Real(), ()
        case "positive" if found.low <= 0:
            raise PthetaError(
                f"{here} cannot be positive: its smallest value is {label_of(found.low)}. "
                f"Use --kind {found.name}=real."
            )
        case "positive":
            return Positive(), ()
        case "discrete" if not found.whole or span > _MOST_FORCED_LEVELS:
            what = "holds fractions" if not found.whole else f"would need {span:.0f} levels"
            raise PthetaError(
                f"{here} cannot be discrete: it {what}. Use --kind {found.name}=real."
            )
        case "discrete":
            return Discrete(levels=int(span), low=int(found.low)), ()
        case "categorical":
            return _categories(found), ()
        case "text":
            raise PthetaError(
                f"{here} can be text only in a table that is read into memory whole (--no-stream)."
            )
        case _:
            raise PthetaError(
                f"column '{found.name}' cannot be of kind '{found.kind}'. "
                f"{nearest(str(found.kind), KINDS)}"
            )


def _refuse_identifier(found: Summary) -> None:
    if found.distinct <= _MOST_CATEGORIES and not found.unique:
        return
    here = f"column '{found.name}' of {found.where}"
    odd = [value for value in found.counts if not is_number(value)]
    if len(odd) <= 0.1 * found.distinct:
        raise PthetaError(
            f"{here} holds numbers, but also text: {few(map(repr, odd), 3)}. Mend those values or "
            f"leave them empty, or drop the column (--drop {found.name})."
        )
    raise PthetaError(
        f"{here} holds {found.distinct} different texts in {found.present} rows, like an "
        f"identifier. Drop it (--drop {found.name}), or keep it with "
        f"--kind {found.name}=categorical, or with --kind {found.name}=text if it is the one "
        "column to model."
    )


def _categories(found: Summary) -> Categorical:
    if len(found.counts) > MOST_COUNTED:
        raise PthetaError(
            f"column '{found.name}' of {found.where} has more than {MOST_COUNTED} different "
            f"values, too many for categories. Drop it (--drop {found.name})."
        )
    labels = tuple(dict.fromkeys(label_of(value) for value in _in_order(found.counts)))
    return Categorical(categories=len(labels), labels=labels)


def _in_order(values: Counter[Any]) -> list[Any]:
    if all(map(is_number, values)):
        return sorted(values, key=lambda value: (float(value), str(value)))
    texts = any(isinstance(value, str) for value in values)
    return sorted(values, key=label_of if texts else None)


def _identifier_note(found: Summary) -> tuple[str, ...]:
    if found.distinct == found.present == found.high - found.low + 1 and found.distinct > 20:
        return (
            f"Column '{found.name}' counts {label_of(found.low)} to {label_of(found.high)}, like "
            f"an identifier: consider dropping it (--drop {found.name}).",
        )
    return ()


def _real_notes(found: Summary) -> tuple[str, ...]:
    notes = list(_identifier_note(found))
    value, count = found.counts.most_common(1)[0]
    if found.distinct == 2:
        notes.append(
            f"Column '{found.name}' takes two values only and is taken as real, where likelihoods "
            f"will flatter; --kind {found.name}=categorical makes them categories."
        )
    elif count > 0.5 * found.present:
        notes.append(
            f"Column '{found.name}' is {label_of(value)} in {count / found.present:.0%} of the "
            "rows: as a real number it has no bounded density there, so likelihoods will flatter."
        )
    if found.whole and not notes:
        notes.append(
            f"Column '{found.name}' holds whole numbers and is taken as real; "
            f"--kind {found.name}=discrete makes them levels."
        )
    return tuple(notes)


def space_of(columns: Sequence[Column], exact_in_float32: bool = True) -> Space:
    """The space of rows of these columns: a plain vector where all are alike, else a table.

    Arguments:
        columns: The columns.
        exact_in_float32: Whether float32 holds the real columns; a table holds float64.
    """
    kinds = {column.space for column in columns}
    gaps = any(column.missing for column in columns)
    shape = (len(columns),)
    if not gaps and exact_in_float32 and kinds == {Real()}:
        return Real(shape)
    if not gaps and exact_in_float32 and kinds == {Positive()}:
        return Positive(shape)
    if not gaps and kinds == {Discrete()}:
        return Binary(shape)
    return Table(tuple(columns))
