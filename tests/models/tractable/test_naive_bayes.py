import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, GaussianNB

from ptheta.models.tractable.naive_bayes import NaiveBayes
from ptheta.spaces import Binary, Categorical, Column, Discrete, Real, Table
from ptheta.testing.examples import example_context, example_rows, states

CLASSES = Categorical(categories=3)


def fitted(space, x, context, classes=CLASSES, **settings):
    model = NaiveBayes(space, classes, **settings)
    model.take(model.count(x, context))
    return model


def joint(model, x):
    """log p(x, class) of each class, with shape (rows, classes)."""
    labels = range(len(model.rows))
    each = [model.log_prob(x, torch.full((len(x),), label)) for label in labels]
    return torch.stack(each, dim=1) + (model.rows / model.rows.sum()).log()


def agree(model, peer, x):
    peers = torch.from_numpy(peer.predict_joint_log_proba(x.numpy()))
    torch.testing.assert_close(joint(model, x), peers, rtol=0, atol=1e-6)
    expected = torch.from_numpy(peer.predict_log_proba(x.numpy()))
    torch.testing.assert_close(model.class_log_prob(x), expected, rtol=0, atol=1e-6)


def wine():
    x, y = load_wine(return_X_y=True)
    x = torch.from_numpy((x - x.mean(axis=0)) / x.std(axis=0))
    return x, torch.from_numpy(y)


@pytest.mark.parametrize("smoothing", [1e-9, 1e-2])
def test_gaussians_agree_with_scikit_learn(smoothing):
    x, y = wine()
    model = fitted(Real((13,)), x, y, var_smoothing=smoothing)
    # every column has variance 1, so the largest variance, which the peer scales by, is 1 too
    agree(model, GaussianNB(var_smoothing=smoothing).fit(x.numpy(), y.numpy()), x)


@pytest.mark.parametrize("alpha", [1.0, 0.1])
def test_bernoullis_agree_with_scikit_learn(alpha):
    x, y = example_rows(Binary((6,)), 200), example_context(CLASSES, 200)
    model = fitted(Binary((6,)), x, y, alpha=alpha)
    agree(model, BernoulliNB(alpha=alpha).fit(x.numpy(), y.numpy()), x)


@pytest.mark.parametrize("space", [Categorical((4,), 5), Discrete((4,), 7)])
def test_categories_and_levels_agree_with_scikit_learn(space):
    x, y = example_rows(space, 300), example_context(CLASSES, 300)
    codes = space.categories if isinstance(space, Categorical) else space.levels
    peer = CategoricalNB(alpha=0.5, min_categories=codes).fit(x.numpy(), y.numpy())
    agree(fitted(space, x, y, alpha=0.5), peer, x)


def test_a_mixed_table_is_the_product_of_its_parts():
    parts = Real((1,)), Categorical((1,), 4), Binary((1,))
    xs = [example_rows(part, 100, seed=i).double() for i, part in enumerate(parts)]
    y = example_context(CLASSES, 100)
    table = Table(
        (Column("a", Real()), Column("b", Categorical(categories=4)), Column("c", Discrete()))
    )
    whole = fitted(table, torch.cat(xs, dim=1), y)
    alone = [fitted(part, x, y) for part, x in zip(parts, xs, strict=True)]
    found = whole.log_prob(torch.cat(xs, dim=1), y)
    expected = sum(model.log_prob(x, y) for model, x in zip(alone, xs, strict=True))
    torch.testing.assert_close(found, expected)


def test_missing_values_are_left_out_of_counts_and_marginalised():
    space = Table((Column("a", Real(), missing=True), Column("b", Discrete(levels=3), True)))
    x = torch.tensor([[1.0, 0], [3.0, math.nan], [math.nan, 2], [0.5, 1]], dtype=torch.float64)
    y = torch.tensor([0, 0, 0, 1])
    model = fitted(space, x, y, Categorical(categories=2))
    gap = torch.tensor([[math.nan, 2.0]], dtype=torch.float64)
    # two of class 0 have a level: one of them 2; of class 1 one, which is not
    found = model.log_prob(gap.expand(2, -1), torch.tensor([0, 1])).exp()
    torch.testing.assert_close(found, torch.tensor([2 / 5, 1 / 4], dtype=torch.float64))
    expected = torch.tensor([[3 / 4 * 2 / 5, 1 / 4 * 1 / 4]], dtype=torch.float64)
    torch.testing.assert_close(model.class_log_prob(gap).exp(), expected / expected.sum())
    alone = torch.tensor([[2.0, math.nan]], dtype=torch.float64)
    law = torch.distributions.Normal(2.0, math.sqrt(1 + 1e-9))
    found = model.log_prob(alone, torch.tensor([0]))
    torch.testing.assert_close(found.float(), law.log_prob(torch.tensor([2.0])))


def test_the_joint_of_rows_and_classes_sums_to_one_and_gives_the_classes():
    space = Table((Column("a", Categorical(categories=3)), Column("b", Discrete(levels=4))))
    model = fitted(space, example_rows(space, 50), example_context(CLASSES, 50))
    table = joint(model, states(space)).exp()
    assert table.sum().item() == pytest.approx(1, abs=1e-12)
    by_enumeration = table / table.sum(dim=1, keepdim=True)
    torch.testing.assert_close(model.class_log_prob(states(space)).exp(), by_enumeration)


def test_gaussians_of_shared_variance_are_a_logistic_regression():
    # Ng & Jordan: w = (m1 - m0) / s^2, b = log(p1 / p0) + sum (m0^2 - m1^2) / 2 s^2
    x, y = wine()
    x, y = x[y < 2], y[y < 2]
    model = fitted(Real((13,)), x, y, Categorical(categories=2), shared=True)
    first, second = x[y == 0], x[y == 1]
    means = first.mean(dim=0), second.mean(dim=0)
    within = (first - means[0]).square().sum(dim=0) + (second - means[1]).square().sum(dim=0)
    variance = within / len(x) + 1e-9
    weight = (means[1] - means[0]) / variance
    bias = math.log(len(second) / len(first))
    bias += ((means[0].square() - means[1].square()) / (2 * variance)).sum().item()
    expected = torch.sigmoid(x @ weight + bias)
    torch.testing.assert_close(model.class_log_prob(x)[:, 1].exp(), expected, rtol=0, atol=1e-12)
    # and with variances of their own they are not: the log-odds are quadratic along a line
    own = fitted(Real((13,)), x, y, Categorical(categories=2))
    for found, straight in ((model, True), (own, False)):
        a, b, c = (torch.full((1, 13), t, dtype=torch.float64) for t in (0.0, 1.0, 2.0))
        odds = [found.class_log_prob(p) @ torch.tensor([-1.0, 1.0]).double() for p in (a, b, c)]
        bend = (odds[0] - 2 * odds[1] + odds[2]).abs().item()
        assert (bend < 1e-9) == straight


def test_bernoullis_are_a_logistic_regression():
    space, two = Binary((4,)), Categorical(categories=2)
    x, y = example_rows(space, 100), example_context(two, 100)
    model = fitted(space, x, y, two)
    n = torch.bincount(y).double()
    p = torch.stack([(x[y == c].double().sum(dim=0) + 1) / (n[c] + 2) for c in (0, 1)])
    logits, silent = p.logit(), (1 - p).log().sum(dim=1)
    weight, bias = logits[1] - logits[0], silent[1] - silent[0] + (n[1] / n[0]).log()
    expected = torch.sigmoid(states(space).double() @ weight + bias)
    torch.testing.assert_close(model.class_log_prob(states(space))[:, 1].exp(), expected)


def test_a_class_that_was_never_seen_has_probability_zero():
    x, y = torch.randn(20, 2), torch.arange(20) % 2
    model = fitted(Real((2,)), x, y)
    found = model.class_log_prob(x)
    assert (found[:, 2] == -math.inf).all()
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(20).double())
    # its density is that of the data together, so that it can still be drawn from
    standard = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(dim=1)
    torch.testing.assert_close(model.log_prob(x, torch.full((20,), 2)).float(), standard)
    assert model.sample(5, torch.full((5,), 2)).shape == (5, 2)


def test_what_is_constant_within_a_class_keeps_the_floor_as_its_variance():
    x = torch.tensor([[0.0], [0.0], [-1.0], [1.0]])
    model = fitted(Real((1,)), x, torch.tensor([0, 0, 1, 1]), Categorical(categories=2),
                   var_smoothing=1e-4)  # fmt: skip
    density = model.log_prob(torch.zeros(1, 1), torch.tensor([0])).exp().item()
    assert density == pytest.approx(1 / math.sqrt(2 * math.pi * 1e-4))


def test_counts_of_batches_add_up():
    x, y = example_rows(Real((3,)), 50), example_context(CLASSES, 50)
    model = NaiveBayes(Real((3,)), CLASSES)
    parts = model.count(x[:20], y[:20]) + model.count(x[20:], y[20:])
    torch.testing.assert_close(parts, model.count(x, y))


def test_draws_have_the_moments_of_their_class():
    x = torch.from_numpy(np.random.default_rng(0).normal([[1.0, -2.0]], [[0.5, 2.0]], (500, 2)))
    y = torch.arange(500) % 2
    model = fitted(Real((2,)), x, y, Categorical(categories=2))
    n = 20_000
    drawn = model.sample(n, torch.zeros(n, dtype=torch.long)).double()
    mean, scale = x[y == 0].mean(dim=0), x[y == 0].std(dim=0, correction=0)
    # five standard errors of the mean, and of the deviation
    assert ((drawn.mean(dim=0) - mean).abs() < 5 * scale / math.sqrt(n)).all()
    assert ((drawn.std(dim=0) - scale).abs() < 5 * scale / math.sqrt(2 * n)).all()
