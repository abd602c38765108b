"""Single values of a table's columns: numbers, texts and labels, as they were written."""

from __future__ import annotations

__all__ = ["is_date", "is_number", "label_of", "numbers", "type_of"]

from typing import TYPE_CHECKING, Any

import numpy as np

from ptheta.errors import PthetaError

if TYPE_CHECKING:
    import pandas as pd


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

    if is_date(values):
        return (values - pd.Timestamp(0, tz=getattr(values.dt, "tz", None))).dt.total_seconds()
    found = pd.to_numeric(values, errors="coerce")
    odd = np.flatnonzero((found.isna() & values.notna()).to_numpy())
    if len(odd):
        raise PthetaError(
            f"column '{name}' of {where} needs numbers, but row {int(odd[0]) + first + 1} holds "
            f"{str(values.iloc[int(odd[0])])!r}. Mend it, leave it empty, or fit the column as a "
            f"category (--kind {name}=categorical)."
        )
    return found


def type_of(present: pd.Series[Any], name: str, where: str) -> str:
    """What the values of a column are: ``boolean``, ``number`` or ``text``.

    Arguments:
        present: The values that are not missing.
        name: The column's name.
        where: What messages call the table.

    Raises:
        PthetaError: They are of no such type.
    """
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


def is_date(values: pd.Series[Any]) -> bool:
    """Whether a column holds dates or times."""
    import pandas as pd

    return pd.api.types.is_datetime64_any_dtype(values)


def is_number(value: object) -> bool:
    """Whether a value can be read as a number."""
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def label_of(value: object) -> str:
    """A value as text, so that 3, 3.0 and '3' are one category."""
    if isinstance(value, bool | np.bool_):
        return str(value)
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
