"""What one pass over a column finds out about it, chunk by chunk where the table is large."""

from __future__ import annotations

__all__ = ["MOST_COUNTED", "Summary"]

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ptheta.data.values import is_date, numbers, type_of
from ptheta.errors import PthetaError

if TYPE_CHECKING:
    import pandas as pd

MOST_COUNTED = 100_000  # distinct values, beyond which they are not told apart

_LARGEST = 1e100  # its square is finite


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
        if self.kind in ("real", "positive", "discrete") or is_date(values):
            values = numbers(values, self.name, self.where, self.rows)
        present = values.dropna()
        kind = type_of(present, self.name, self.where)
        self.boolean |= kind == "boolean"
        self.text |= kind == "text"
        if kind != "text":
            self._measure(present.to_numpy(dtype=np.float64), values)
        if len(self.counts) <= MOST_COUNTED:
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
        return self.distinct <= min(MOST_COUNTED, 0.1 * self.present)

    @property
    def exact_in_float32(self) -> bool:
        """Whether float32 keeps a thousandth of the standard deviation."""
        deviation = math.sqrt(self.spread / max(self.present, 1))
        return max(abs(self.low), abs(self.high)) * 2**-24 <= 1e-3 * deviation
