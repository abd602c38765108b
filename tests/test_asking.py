"""Rows are checked before a model is asked, and taken so many at a time."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import ptheta
from ptheta.asking import rows_of
from ptheta.data.dataset import MappedRows, Split
from ptheta.density import densities, draw
from ptheta.errors import PthetaError
from ptheta.evaluation.evaluate import evaluate
from ptheta.heldout import ClassFigure
from ptheta.recipes.registry import build
from ptheta.spaces import Categorical, Column, Discrete, Real, Table
from ptheta.tasks.classify import classify
from ptheta.tasks.impute import impute
from ptheta.testing.examples import example_rows

TWO = Categorical(categories=2)
PEOPLE = Table(
    (
        Column("height", Real()),
        Column("grade", Discrete(levels=3, low=1)),
        Column("colour", Categorical((), 2, ("blue", "red"))),
    )
)
LONG = 2**16


def verbs(space):
    """What takes rows, as functions of these."""
    told = build("naive-bayes", space, TWO).model
    scored = build("made", space).model
    filled = build("eonade", space).model
    return {
        "classify": lambda x: classify(told, x, space=space),
        "densities": lambda x: densities(scored, x, space=space).values,
        "impute": lambda x: impute(filled, x, space=space),
    }


class Counter(nn.Module):
    """Two classes and a density, each told from the sum of a row; it counts the rows it sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def log_prob(self, x, context=None):
        self.seen.append(len(x))
        return x.double().sum(dim=1)

    def class_log_prob(self, x):
        return torch.stack([self.log_prob(x), -x.double().sum(dim=1)], dim=1)


class Bound(Counter):
    log_prob = None

    def elbo(self, x, context=None, *, particles=1):
        self.seen.append(len(x))
        return x.double().sum(dim=1)


def test_arrays_lists_and_tables_are_read_as_they_were_written():
    table = pd.DataFrame({"colour": ["red", "blue"], "height": [1.5, 1.8], "grade": [1, 3]})
    codes = torch.tensor([[1.5, 0, 1], [1.8, 2, 0]], dtype=torch.float64)
    assert torch.equal(rows_of(table, PEOPLE), codes)
    assert torch.equal(rows_of([[1.5, 1, 1], [1.8, 3, 0]], PEOPLE), codes)
    grades = rows_of(np.array([[1, 3], [2, 2]]), Discrete((2,), 3, low=1))
    assert grades.tolist() == [[0, 2], [1, 1]]
    assert rows_of(codes, PEOPLE) is codes


@pytest.mark.parametrize("verb", ["classify", "densities", "impute"])
@pytest.mark.parametrize("space", [Real((3,)), PEOPLE])
def test_an_array_has_the_figures_of_its_tensor(verb, space):
    ask, x = verbs(space)[verb], example_rows(space, 5)
    low = torch.tensor([0, space is PEOPLE, 0])
    expected = ask(x)
    for written in ((x + low).numpy(), (x + low).tolist()):
        torch.testing.assert_close(ask(written), expected)


@pytest.mark.parametrize("verb", ["classify", "densities", "impute"])
@pytest.mark.parametrize("space", [Real((3,)), PEOPLE])
def test_rows_of_another_shape_are_a_sentence(verb, space):
    ask = verbs(space)[verb]
    for x, shape in ((torch.ones(4, 2), r"\(4, 2\)"), (torch.ones(3), r"\(3,\)")):
        with pytest.raises(PthetaError, match=rf"with shape \(rows, 3\), got shape {shape}\. Give"):
            ask(x)
    with pytest.raises(PthetaError, match="holds examples of shape 2, but .* is expected"):
        ask(np.ones((4, 2)))
    with pytest.raises(PthetaError, match=r"x cannot be 'people\.csv'.*ptheta\.load_rows"):
        ask("people.csv")
    with pytest.raises(PthetaError, match="x cannot be a float. Give a tensor, an array"):
        ask(1.5)


def test_a_table_without_a_column_is_named():
    with pytest.raises(PthetaError, match="has no column 'grade', 'colour'; it has 'height'"):
        densities(build("made", PEOPLE).model, pd.DataFrame({"height": [1.0]}), space=PEOPLE)


@pytest.mark.parametrize("verb", ["classify", "densities", "impute"])
def test_of_no_rows_there_are_no_figures(verb):
    found = verbs(Real((3,)))[verb](torch.empty(0, 3))
    assert found.shape == {"classify": (0, 2), "densities": (0,), "impute": (1, 0, 3)}[verb]


def test_a_conditional_model_asks_for_its_context_in_a_sentence():
    space = Real((2,))
    model, x = build("eonade", space, TWO).model, torch.zeros(3, 2)
    gaps = torch.tensor([[0.0, torch.nan]]).expand(3, -1)
    for ask in (
        lambda c: draw(model, 3, c),
        lambda c: densities(model, x, c, space=space),
        lambda c: impute(model, gaps, c, space=space),
    ):
        with pytest.raises(PthetaError, match=r"is conditional .*: give context=.*\.$"):
            ask(None)
        for rows in (2, 4):
            with pytest.raises(PthetaError, match=rf"expected 3 rows of context.*\({rows},\)"):
                ask(torch.zeros(rows, dtype=torch.int64))
    with pytest.raises(PthetaError, match="fitted without context, but a context is given"):
        draw(build("made", space).model, 3, torch.zeros(3))


def test_a_run_is_measured_on_data_of_its_own_space():
    g = np.random.default_rng(0)
    y = g.integers(0, 2, 100)
    x = (g.normal(size=(100, 2)) + y[:, None]).astype(np.float32)
    given, plain = ptheta.load_data((x, y), context="label"), ptheta.load_data(x)
    run = ptheta.fit(given, "made", steps=1)
    with pytest.raises(PthetaError, match="given 2 categories.* was loaded without context. Name"):
        evaluate(run, plain)
    with pytest.raises(PthetaError, match="vector 2.* is real numbers, vector 1.* differ in kind"):
        evaluate(run, ptheta.load_data((x[:, :1], y), context="label"))
    with pytest.raises(PthetaError, match="given 2 categories.* given 3 categories"):
        evaluate(run, replace(given, context_space=Categorical(categories=3)))
    with pytest.raises(PthetaError, match=r"model cannot be .* Give its \.model\."):
        classify(run, x, space=run.space)
    # what has no context looks at none
    alone = ptheta.fit(plain, "made", steps=1)
    assert evaluate(alone, given).likelihood is not None


def test_long_rows_are_taken_few_at_a_time():
    space, x = Real((LONG,)), torch.randn(9, LONG)
    model = Counter()
    found = densities(model, x, space=space).values
    assert model.seen == [4, 4, 1]
    torch.testing.assert_close(found, x.double().sum(dim=1), rtol=0, atol=0)
    assert torch.equal(densities(model, x, space=space, batch_size=9).values, found)
    model.seen.clear()
    told = classify(model, x, space=space)
    assert model.seen == [4, 4, 1]
    assert torch.equal(told, classify(model, x, space=space, batch_size=2))
    model.seen.clear()
    classes = torch.randint(0, 2, (9,))
    expected = torch.where(classes == 0, found, -found).clamp(min=-1e6).mean().item()
    assert ClassFigure(Split(x, classes))(model) == pytest.approx(expected)
    assert model.seen == [4, 4, 1]


def test_particles_share_the_room_of_a_batch_where_there_are_some():
    space, x = Real((2,)), torch.randn(1500, 2)
    exact, bound = Counter(), Bound()
    densities(exact, x, space=space, particles=8)
    densities(bound, x, space=space, particles=8)
    assert exact.seen == [1000, 500]
    assert bound.seen == [125] * 12


def test_a_density_does_not_depend_on_the_batch():
    space = Discrete((1, 4, 4), 5, layout="image")
    model, x = build("gated-pixelcnn", space).model, example_rows(space, 7)
    whole = densities(model, x, space=space).values
    for size in (1, 3):
        found = densities(model, x, space=space, batch_size=size).values
        torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5)


def test_rows_on_disk_are_checked_and_read_a_batch_at_a_time():
    array = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    rows = MappedRows(array, torch.float32)
    space = Real((2,))
    model = build("made", space).model
    found = densities(model, rows, space=space, batch_size=4).values
    assert torch.equal(found, densities(model, torch.from_numpy(array), space=space,
                                        batch_size=4).values)  # fmt: skip
    with pytest.raises(PthetaError, match=r"got shape \(9, 2\)"):
        densities(build("made", Real((3,))).model, rows, space=Real((3,)))
