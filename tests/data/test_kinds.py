import math

import numpy as np
import pandas as pd
import pytest
import torch

from ptheta.data.kinds import decide, space_of
from ptheta.data.load import load_data
from ptheta.data.summary import Summary
from ptheta.errors import PthetaError
from ptheta.spaces import Binary, Categorical, Column, Discrete, Positive, Real, Table


def column_of(values, kind=None):
    found = Summary("c", "the table", kind)
    found.update(pd.Series(values))
    return decide(found)[0]


def notes_of(values):
    found = Summary("c", "the table")
    found.update(pd.Series(values))
    return decide(found)[1]


@pytest.mark.parametrize(
    ("values", "space"),
    [
        ([True, False, True], Discrete()),
        ([0, 1, 1], Discrete()),
        ([0.0, 1.0, 1.0], Discrete()),
        ([1, 2, 1], Discrete(levels=2, low=1)),
        ([-1, 1, 1], Discrete(levels=3, low=-1)),
        ([3.5, 7.0, 7.0], Real()),
        (["b", "a", "b"], Categorical(categories=2, labels=("a", "b"))),
        ([3, 5, 8, 3], Discrete(levels=6, low=3)),
        ([0.5, 1.5, 2.25], Real()),
        (list(range(65)), Real()),  # more than 64 different whole numbers
        ([0, 1, 300], Real()),  # a range beyond 256
        (pd.to_datetime(["2020-01-01", "2020-01-02", "2020-03-01"]), Real()),
        (pd.Categorical(["x", "y", "x"]), Categorical(categories=2, labels=("x", "y"))),
    ],
)
def test_kind_is_inferred(values, space):
    assert column_of(values) == Column("c", space)


@pytest.mark.parametrize("values", [[1.5, None, 2.5, 0.1], [1, None, 4, 7], ["a", None, "b"]])
def test_gaps_are_part_of_the_kind(values):
    assert column_of(values).missing


@pytest.mark.parametrize(
    ("kind", "values", "space"),
    [
        ("real", [0, 1, 2], Real()),
        ("real", ["1.5", "2", None], Real()),
        ("positive", [1, 2, 3], Positive()),
        ("discrete", [0, 3000, 7], Discrete(levels=3001)),
        ("categorical", [10, 9, 2], Categorical(categories=3, labels=("2", "9", "10"))),
        ("categorical", [7, 7], Categorical(categories=1, labels=("7",))),
    ],
)
def test_kind_can_be_given(kind, values, space):
    assert column_of(values, kind).space == space


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("real", ["1", "two", "3"], "row 2 holds 'two'.*categorical"),
        ("positive", [1.0, -2.0], "cannot be positive: its smallest value is -2"),
        ("discrete", [0.5, 1.0], "cannot be discrete: it holds fractions"),
        ("discrete", [0, 10**7], "10000001 levels"),
        ("number", [1, 2], "cannot be of kind 'number'"),
        (None, [4.0, 4.0], "constant: every value is 4.*--drop c.*--kind c=categorical"),
        (None, ["a", "a"], "constant"),
        (None, [None, None], "no values at all"),
        (None, [1.0, math.inf, 2.0], "infinite number in row 2"),
        (None, [f"id{i}" for i in range(100)], "like an identifier.*--drop c"),
        (None, [f"w{i % 1500}" for i in range(5000)], "1500 different texts"),
        (None, [*map(str, range(100)), "n/k"], "numbers, but also text: 'n/k'"),
        (None, [[1], [2]], "neither numbers nor text"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_fix(kind, values, message):
    with pytest.raises(PthetaError, match=message):
        column_of(values, kind)


def test_notes_warn_of_identifiers_spikes_and_whole_numbers():
    assert "like an identifier" in notes_of(range(100, 150))[0]
    assert "0 in 90%" in notes_of([0.0] * 90 + [x / 7 for x in range(1, 11)])[0]
    assert "whole numbers and is taken as real" in notes_of([x * x for x in range(100)])[0]
    assert notes_of([x / 7 for x in range(100)]) == ()


@pytest.mark.parametrize(
    ("spaces", "missing", "space"),
    [
        ([Real(), Real()], False, Real((2,))),
        ([Positive(), Positive()], False, Positive((2,))),
        ([Discrete(), Discrete()], False, Binary((2,))),
        ([Real(), Discrete()], False, Table),
        ([Discrete(levels=3), Discrete(levels=3)], False, Table),
        ([Real(), Real()], True, Table),
    ],
)
def test_alike_columns_make_a_vector_and_others_a_table(spaces, missing, space):
    columns = [Column(str(i), s, missing) for i, s in enumerate(spaces)]
    found = space_of(columns)
    assert isinstance(found, Table) if space is Table else found == space


def test_columns_that_float32_cannot_hold_make_a_table_of_float64():
    days = pd.date_range("2024-01-01", periods=90, freq="s")
    data = load_data(pd.DataFrame({"time": days, "x": np.random.default_rng(0).normal(size=90)}))
    assert isinstance(data.space, Table)
    seconds = torch.cat([split.x[:][:, 0] for split in (data.train, data.validation, data.test)])
    assert sorted(seconds.tolist()) == [1704067200.0 + i for i in range(90)]


@pytest.mark.parametrize(
    ("values", "space"),
    [([3.5, 7.0], Real()), ([10, 20], Discrete(levels=11, low=10)), ([0, 4000], Real())],
)
def test_two_numbers_are_a_number_that_every_family_can_take(values, space):
    summary = Summary("height", "rows.csv", None)
    summary.update(pd.Series(values * 10))
    column, notes = decide(summary)
    assert column.space == space
    assert any("two values only" in note for note in notes) == (space == Real())


def test_rounded_numbers_are_noted_once_for_all_columns():
    rounded = np.random.default_rng(0).integers(0, 9, (200, 2)) / 10
    frame = pd.DataFrame({"a": rounded[:, 0], "b": rounded[:, 1], "c": np.arange(200) / 7})
    (note,) = load_data(frame).notes
    assert "Real numbers that repeat, as rounded ones do, in 'a', 'b':" in note
