import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

import ptheta
from ptheta.errors import PthetaError
from ptheta.recipes.registry import build
from ptheta.spaces import Binary, Categorical, Discrete, Real
from ptheta.tasks.classify import classify
from ptheta.testing.examples import example_context, example_rows, states

TWO = Categorical(categories=2)


def wine():
    from sklearn.datasets import load_wine

    x, y = load_wine(return_X_y=True)
    return ptheta.load_data((x, [("red", "white", "rose")[label] for label in y]), context="label")


def test_any_density_given_a_class_tells_classes_by_the_rule_of_bayes():
    space = Binary((3,))
    model = build("made", space, TWO).model
    x = states(space)
    with torch.no_grad():
        joint = torch.stack(
            [w * model.log_prob(x, torch.full((8,), c)).exp() for c, w in ((0, 0.25), (1, 0.75))],
            dim=1,
        ).double()
    found = classify(model, x, space=space, frequencies=[2, 6], batch_size=3)
    torch.testing.assert_close(found.exp(), joint / joint.sum(dim=1, keepdim=True), rtol=0,
                               atol=1e-6)  # fmt: skip


def test_bayes_by_hand_and_naive_bayes_are_the_same():
    data = wine()
    run = ptheta.fit(data, "naive-bayes")

    class Density(torch.nn.Module):
        """The same model, without its own way to tell classes."""

        def __init__(self, model):
            super().__init__()
            self.inner = model

        def log_prob(self, x, context=None):
            return self.inner.log_prob(x, context)

    own = classify(run.model, data.test.x, space=data.space)
    rule = classify(Density(run.model), data.test.x, space=data.space,
                    frequencies=run.class_counts)  # fmt: skip
    torch.testing.assert_close(own, rule, rtol=0, atol=1e-9)


def test_the_twins_agree_with_scikit_learn_from_end_to_end():
    data = wine()
    x, y = data.train.x.double(), data.train.context
    mean, scale = x.mean(dim=0), x.std(dim=0, correction=0)
    seen, unseen = (x - mean) / scale, (data.test.x.double() - mean) / scale
    # the default solver of the peer stops a millionth short, whatever its tolerance
    exact = LogisticRegression(C=3.0, solver="newton-cg", tol=1e-12, max_iter=1000)
    peers = {
        "naive-bayes": (GaussianNB(var_smoothing=1e-9), {"var_smoothing": 1e-9}),
        "logistic-regression": (exact, {"C": 3.0}),
    }
    for recipe, (peer, settings) in peers.items():
        run = ptheta.fit(data, recipe, settings=settings)
        expected = torch.from_numpy(peer.fit(seen.numpy(), y.numpy()).predict_proba(unseen.numpy()))
        found = classify(run.model, data.test.x, space=data.space)
        torch.testing.assert_close(found.exp(), expected, rtol=0, atol=1e-6)


def test_a_row_outside_has_no_figure_and_leaves_the_others_as_they_are():
    space = Discrete((2,), 3)
    x, y = example_rows(space, 30), example_context(TWO, 30)
    algorithm = build("naive-bayes", space, TWO)
    algorithm.model.model.take(algorithm.model.model.count(x, y))
    given = torch.tensor([[0, 1], [0, 3], [2, 2]])
    found = classify(algorithm.model, given, space=space)
    assert found[1].isnan().all()
    torch.testing.assert_close(found[[0, 2]].exp().sum(dim=1), torch.ones(2).double())
    assert classify(algorithm.model, given[1:2], space=space).shape == (1, 2)


def test_a_class_of_frequency_zero_has_probability_zero():
    model = build("made", Binary((2,)), TWO).model
    found = classify(model, torch.zeros(1, 2), space=Binary((2,)), frequencies=[0, 5])
    assert found.tolist() == [[-math.inf, 0.0]]


def test_what_cannot_tell_classes_is_refused():
    space = Real((2,))
    with pytest.raises(PthetaError, match="cannot tell classes: it offers sample"):
        classify(build("gan", space).model, torch.zeros(1, 2), space=space)
    with pytest.raises(PthetaError, match="frequencies=run.class_counts"):
        classify(build("made", space).model, torch.zeros(1, 2), space=space)
    with pytest.raises(PthetaError, match="fitted without context"):
        classify(build("made", space).model, torch.zeros(1, 2), space=space, frequencies=[1, 1])
    with pytest.raises(PthetaError, match="at least 0, and not all 0"):
        classify(build("made", space, TWO).model, torch.zeros(1, 2), space=space,
                 frequencies=[1, -1])  # fmt: skip


@pytest.mark.parametrize("recipe", ["naive-bayes", "logistic-regression"])
def test_the_twins_refuse_what_is_no_class(recipe):
    for context in (None, Real((1,)), Categorical((4,), 3)):
        with pytest.raises(PthetaError, match="needs the class of each row as context"):
            build(recipe, Real((2,)), context)
    with pytest.raises(PthetaError, match="one class"):
        build(recipe, Real((2,)), Categorical(categories=1))
