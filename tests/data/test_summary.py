import numpy as np
import pandas as pd
import pytest

from ptheta.data.summary import Summary
from ptheta.errors import PthetaError


def test_summary_in_chunks_is_the_summary_of_all():
    values = pd.Series(np.random.default_rng(0).normal(1e6, 3.0, 1000))
    whole, parts = Summary("c", "t"), Summary("c", "t")
    whole.update(values)
    for start in range(0, 1000, 137):
        parts.update(values[start : start + 137])
    assert (parts.rows, parts.low, parts.high) == (1000, whole.low, whole.high)
    assert parts.mean == pytest.approx(values.mean())
    assert parts.spread == pytest.approx(1000 * values.var(ddof=0))
    assert parts.counts == whole.counts


def test_a_number_too_large_to_square_is_named_by_its_row():
    summary = Summary("a", "rows.csv", None)
    summary.update(pd.Series([1.0, 2.0]))
    with pytest.raises(PthetaError, match="'a' of rows.csv holds 1e\\+300 in row 4, .* too large"):
        summary.update(pd.Series([1.5, 1e300]))
