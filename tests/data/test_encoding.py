import math

import pandas as pd
import pytest
import torch

from ptheta.data.encoding import decode, encode, encode_context
from ptheta.errors import PthetaError
from ptheta.spaces import Categorical, Column, Discrete, Real, Table

FRAME = pd.DataFrame(
    {
        "size": [1.5, None, 3.25],
        "grade": [4, 6, None],
        "city": ["Bonn", None, "Aachen"],
        "member": [1, 0, 1],
    }
)
COLUMNS = (
    Column("size", Real(), missing=True),
    Column("grade", Discrete(levels=3, low=4), missing=True),
    Column("city", Categorical(categories=2, labels=("Aachen", "Bonn")), missing=True),
    Column("member", Discrete()),
)


def test_encode_makes_codes_and_decode_goes_back():
    codes = encode(FRAME, COLUMNS, "the table")
    expected = [[1.5, 0, 1, 1], [math.nan, 2, math.nan, 0], [3.25, math.nan, 0, 1]]
    torch.testing.assert_close(codes, torch.tensor(expected).double(), equal_nan=True)
    back = decode(codes, COLUMNS)
    pd.testing.assert_frame_equal(back, FRAME, check_dtype=False)
    assert pd.api.types.is_integer_dtype(back["grade"].dtype)


def test_values_not_seen_before_lie_outside_the_space():
    frame = pd.DataFrame(
        {
            "size": [1.0, 1.0, 1.0, None],
            "grade": [4, 9, 3, 4],
            "city": ["Köln", "Bonn", "Bonn", "Bonn"],
            "member": [0, 1, 0, 1],
        }
    )
    codes = encode(frame, COLUMNS, "the table")
    assert codes[0, 2] == 2  # the number of categories
    assert Table(COLUMNS).contains(codes).tolist() == [False, False, False, True]


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(PthetaError, match=r"no column 'city'; it has 'size', 'grade', 'member'"):
        encode(FRAME.drop(columns="city"), COLUMNS, "the table")


def test_one_and_one_point_zero_and_text_one_are_one_category():
    space = Categorical(categories=2, labels=("1", "2"))
    for values in ([1, 2], [1.0, 2.0], ["1", "2"]):
        codes = encode(pd.DataFrame({"a": values}), [Column("a", space)], "t")
        assert codes.tolist() == [[0.0], [1.0]]


def test_categories_without_labels_are_read_by_their_codes():
    column = Column("side", Categorical(categories=3))
    frame = pd.DataFrame({"side": [2, 0, 3]})
    assert encode(frame, [column], "t")[:, 0].tolist() == [2, 0, 3]
    given = encode_context(frame["side"][:2], Categorical(categories=3), "side", "t")
    assert given.tolist() == [2, 0]
    with pytest.raises(PthetaError, match="'3' in row 1; it must be one of 0, 1, 2"):
        encode_context(frame["side"][2:], Categorical(categories=3), "side", "t")
