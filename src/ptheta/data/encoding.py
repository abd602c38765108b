"""Columns of a table as numbers, and back again."""

from __future__ import annotations

__all__ = ["context_space_of", "decode", "encode", "encode_context"]

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptheta.data.contents import few, quoted
from ptheta.data.values import is_number, label_of, numbers
from ptheta.errors import PthetaError
from ptheta.spaces import Categorical, Column, Discrete, Real

if TYPE_CHECKING:
    import pandas as pd


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
    of = [_code(label_of(value), known, space.categories) for value in unique]
    return np.array([*of, np.nan])[positions]  # factorize gives -1, the last, where missing


def _code(label: str, known: dict[str, int], unknown: int) -> int:
    """The code of a label as it is written, or else as another way of writing it is known."""
    ways = [label]
    if is_number(label):
        ways.append(label_of(float(label)))
    if (lower := label.lower()) in ("true", "false"):
        ways += [lower.capitalize(), str(int(lower == "true"))]
    return next((known[way] for way in ways if way in known), unknown)


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


def _floats(values: pd.Series[Any]) -> NDArray[np.float64]:
    return values.to_numpy(dtype=np.float64, na_value=np.nan)
