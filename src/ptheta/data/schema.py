"""The kinds of a table's columns: inferred, encoded to numbers, decoded again.

A column is summed up in one pass, chunk by chunk where the table is larger than memory, and its
kind is decided from the summary alone.
"""

from __future__ import annotations

__all__ = [
    "KINDS",
    "Summary",
    "context_space_of",
    "decide",
    "decode",
    "encode",
    "encode_context",
    "numbers",
    "space_of",
]

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptheta.data.contents import few, quoted
from ptheta.errors import PthetaError, nearest
from ptheta.spaces import Binary, Categorical, Column, Discrete, Positive, Real, Space, Table

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("real", "positive", "discrete", "categorical", "text")

_MOST_LEVELS = 256
_LARGEST = 1e100  # its square is finite
_MOST_DISTINCT_LEVELS = 64
_MOST_CATEGORIES = 1000
_MOST_FORCED_LEVELS = 65536
_MOST_COUNTED = 100_000


class Summary:
    """What one pass over a column finds out about it.

    Arguments:
        name: The column's name.
        where: What messages call the table.
        kind: The kind that a person asked for, or None.
    """

    def __init__(self, name: str, where: str, kind: str | None = None) -> None:
        self.name = name
        self.where = where
        self.kind = kind
        self.rows = 0
        self.missing = 0
        self.text = False
        self.boolean = False
        self.whole = True
        self.low = math.inf
        self.high = -math.inf
        self.mean = 0.0
        self.spread = 0.0  # the sum of squared deviations from the mean
        self.counts: Counter[Any] = Counter()

    def update(self, values: pd.Series[Any]) -> None:
        """Takes in the next values of the column."""
        if self.kind in ("real", "positive", "discrete") or _is_date(values):
            values = numbers(values, self.name, self.where, self.rows)
        present = values.dropna()
        kind = _type_of(present, self.name, self.where)
        self.boolean |= kind == "boolean"
        self.text |= kind == "text"
        if kind != "text":
            self._measure(present.to_numpy(dtype=np.float64), values)
        if len(self.counts) <= _MOST_COUNTED:
            self.counts.update(present.value_counts().to_dict())
        self.rows += len(values)
        self.missing += len(values) - len(present)

    def _measure(self, present: NDArray[np.float64], values: pd.Series[Any]) -> None:
        if not len(present):
            return
        if not np.isfinite(present).all():
            raw = values.to_numpy(dtype=np.float64, na_value=np.nan)
            row = int(np.flatnonzero(np.isinf(raw))[0]) + self.rows + 1
            raise PthetaError(
                f"column '{self.name}' of {self.where} holds an infinite number in row {row}. "
                "Mend or remove that row, or leave it empty if the value is missing."
            )
        if (extreme := np.abs(present).max()) > _LARGEST:
            raw = values.to_numpy(dtype=np.float64, na_value=np.nan)
            row = int(np.flatnonzero(np.abs(raw) == extreme)[0]) + self.rows + 1
            raise PthetaError(
                f"column '{self.name}' of {self.where} holds {extreme:g} in row {row}, which is "
                "too large to compute with. Mend or remove that row, or scale the column."
            )
        self.whole &= bool((present == np.round(present)).all())
        self.low = min(self.low, float(present.min()))
        self.high = max(self.high, float(present.max()))
        before, now = self.rows - self.missing, len(present)
        shift = float(present.mean()) - self.mean
        self.spread += float(np.square(present - present.mean()).sum())
        self.spread += shift**2 * before * now / (before + now)
        self.mean += shift * now / (before + now)

    @property
    def present(self) -> int:
        """The number of values that are not missing."""
        return self.rows - self.missing

    @property
    def distinct(self) -> int:
        """The number of distinct values, as far as they are counted."""
        return len(self.counts)

    @property
    def unique(self) -> bool:
        """Whether nearly every value is another, as of identifiers and of sentences."""
        return self.distinct > 20 and self.distinct > 0.9 * self.present

    @property
    def rounded(self) -> bool:
        """Whether values repeat so often that they must be rounded: ten times on average."""
        return self.distinct <= min(_MOST_COUNTED, 0.1 * self.present)

    @property
    def exact_in_float32(self) -> bool:
        """Whether float32 keeps a thousandth of the standard deviation."""
        deviation = math.sqrt(self.spread / max(self.present, 1))
        return max(abs(self.low), abs(self.high)) * 2**-24 <= 1e-3 * deviation


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


def _refuse_emptiness(found: Summary) -> None:
    here = f"column '{found.name}' of {found.where}"
    if found.present == 0:
        raise PthetaError(f"{here} holds no values at all. Drop it (--drop {found.name}).")
    if found.distinct == 1 and found.kind != "categorical":
        value = _label(next(iter(found.counts)))
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
                f"{here} cannot be positive: its smallest value is {_label(found.low)}. "
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
    odd = [value for value in found.counts if not _is_number(value)]
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
    if len(found.counts) > _MOST_COUNTED:
        raise PthetaError(
            f"column '{found.name}' of {found.where} has more than {_MOST_COUNTED} different "
            f"values, too many for categories. Drop it (--drop {found.name})."
        )
    labels = tuple(dict.fromkeys(_label(value) for value in _in_order(found.counts)))
    return Categorical(categories=len(labels), labels=labels)


def _in_order(values: Counter[Any]) -> list[Any]:
    texts = any(isinstance(value, str) for value in values)
    return sorted(values, key=_label if texts else None)


def _identifier_note(found: Summary) -> tuple[str, ...]:
    if found.distinct == found.present == found.high - found.low + 1 and found.distinct > 20:
        return (
            f"Column '{found.name}' counts {_label(found.low)} to {_label(found.high)}, like an "
            f"identifier: consider dropping it (--drop {found.name}).",
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
            f"Column '{found.name}' is {_label(value)} in {count / found.present:.0%} of the rows: "
            "as a real number it has no bounded density there, so likelihoods will flatter."
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


def encode(frame: pd.DataFrame, columns: Sequence[Column], where: str, first: int = 0) -> Tensor:
    """The rows of a table as numbers.

    Arguments:
        frame: The table, with at least these columns.
        columns: The columns to take, in order.
        where: What messages call the table.
        first: The number of rows that came before, for messages.

    Returns:
        Float64 values with shape (rows, columns): codes for levels and categories, NaN where a
        value is missing. A category that the column does not know has the code ``categories``, and
        a level outside its range a code outside 0 ... levels - 1: `Space.contains` is false there.

    Raises:
        PthetaError: A column is not there, or holds text where numbers are needed.
    """
    absent = [column.name for column in columns if column.name not in frame.columns]
    if absent:
        raise PthetaError(
            f"{where} has no column {quoted(absent)}; it has "
            f"{quoted(frame.columns)}. Rename or add what is missing."
        )
    codes = [_encode(frame[column.name], column, where, first) for column in columns]
    return torch.from_numpy(np.stack(codes, axis=1))


def _encode(values: pd.Series[Any], column: Column, where: str, first: int) -> NDArray[np.float64]:
    match column.space:
        case Categorical():
            return _category_codes(values, column.space)
        case Discrete(low=low):
            return _floats(numbers(values, column.name, where, first)) - low
        case _:
            return _floats(numbers(values, column.name, where, first))


def _category_codes(values: pd.Series[Any], space: Categorical) -> NDArray[np.float64]:
    known = {name: code for code, name in enumerate(space.names)}
    positions, unique = values.factorize()
    of = [known.get(_label(value), space.categories) for value in unique]
    return np.array([*of, np.nan])[positions]  # factorize gives -1, the last, where missing


def numbers(values: pd.Series[Any], name: str, where: str, first: int = 0) -> pd.Series[Any]:
    """A column as numbers, whatever it was read as.

    Arguments:
        values: The column.
        name: Its name.
        where: What messages call the table.
        first: The number of rows that came before, for messages.

    Raises:
        PthetaError: A value is text that is no number; the message names its row.
    """
    import pandas as pd

    if _is_date(values):
        return (values - pd.Timestamp(0, tz=getattr(values.dt, "tz", None))).dt.total_seconds()
    found = pd.to_numeric(values, errors="coerce")
    odd = np.flatnonzero((found.isna() & values.notna()).to_numpy())
    if len(odd):
        raise PthetaError(
            f"column '{name}' of {where} needs numbers, but row {int(odd[0]) + first + 1} holds "
            f"{str(values.iloc[int(odd[0])])!r}. Mend it, leave it empty, or use "
            f"--kind {name}=categorical."
        )
    return found


def context_space_of(column: Column, where: str) -> Categorical | Real:
    """The space of a column that examples are conditioned on: levels become categories.

    Arguments:
        column: The column.
        where: What messages call the table.

    Raises:
        PthetaError: Values are missing.
    """
    if column.missing:
        raise PthetaError(
            f"the context '{column.name}' of {where} has missing values. Fill them in, or choose "
            "another column as context."
        )
    match column.space:
        case Categorical():
            return column.space
        case Discrete(levels=levels, low=low):
            return Categorical((), levels, tuple(str(low + code) for code in range(levels)))
        case _:
            return Real((1,))


def encode_context(
    values: pd.Series[Any], space: Categorical | Real, name: str, where: str
) -> Tensor:
    """The context of each row: codes with shape (rows,), or reals with shape (rows, 1).

    Arguments:
        values: The column.
        space: The space of the context.
        name: The column's name.
        where: What messages call the table.

    Raises:
        PthetaError: A value is missing, or is a category that is not known.
    """
    column = Column(name, space if isinstance(space, Categorical) else Real())
    codes = torch.tensor(_encode(values, column, where, 0))
    if isinstance(space, Real):
        inside, allowed = codes.isfinite(), "numbers"
    else:
        inside, allowed = codes < space.categories, f"one of {few(space.names, 12)}"
    if not inside.all():
        row = int((~inside).nonzero()[0])
        raise PthetaError(
            f"the context '{name}' of {where} is {str(values.iloc[row])!r} in row {row + 1}; it "
            f"must be {allowed}."
        )
    return codes.float()[:, None] if isinstance(space, Real) else codes.long()


def decode(x: Tensor, columns: Sequence[Column]) -> pd.DataFrame:
    """The table that codes stand for: the inverse of `encode`.

    Arguments:
        x: The codes, with shape (rows, columns).
        columns: The columns.

    Returns:
        A table with labels, levels from their low end, and empty cells where values are missing.
    """
    import pandas as pd

    values = x.detach().cpu().double().numpy()
    return pd.DataFrame({c.name: _decode(values[:, i], c) for i, c in enumerate(columns)})


def _decode(values: NDArray[np.float64], column: Column) -> Any:
    import pandas as pd

    missing = np.isnan(values)
    if isinstance(column.space, Discrete | Categorical):
        codes = np.where(missing, 0, values).astype(np.int64)
        if isinstance(column.space, Categorical) and column.space.labels:
            labels = np.array(column.space.labels, dtype=object)[codes]
            return pd.Series(labels, dtype="str").mask(missing)
        low = column.space.low if isinstance(column.space, Discrete) else 0
        whole = pd.Series(codes + low)
        return whole.astype("Int64").mask(missing) if missing.any() else whole
    return values


def _type_of(present: pd.Series[Any], name: str, where: str) -> str:
    import pandas as pd

    kind = pd.api.types.infer_dtype(present, skipna=True)
    if kind == "categorical":
        kind = pd.api.types.infer_dtype(present.cat.categories, skipna=True)
    if kind == "boolean":
        return "boolean"
    if kind in ("integer", "floating", "mixed-integer-float", "decimal", "empty"):
        return "number"
    if kind in ("string", "mixed-integer", "date", "time", "datetime64", "datetime", "timedelta"):
        return "text"
    raise PthetaError(
        f"column '{name}' of {where} holds {kind} values, which are neither numbers nor text. "
        f"Drop it (--drop {name}), or write its parts as columns."
    )


def _is_date(values: pd.Series[Any]) -> bool:
    import pandas as pd

    return pd.api.types.is_datetime64_any_dtype(values)


def _floats(values: pd.Series[Any]) -> NDArray[np.float64]:
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _label(value: object) -> str:
    """A value as text, so that 3, 3.0 and '3' are one category."""
    if isinstance(value, bool | np.bool_):
        return str(value)
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
