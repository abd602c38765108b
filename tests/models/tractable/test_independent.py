import math

import pytest
import torch

from ptheta.models.tractable.independent import Independent
from ptheta.spaces import Binary, Categorical, Column, Discrete, Real, Table
from ptheta.testing.examples import example_rows, states


def fitted(space, x, context_space=None, context=None):
    model = Independent(space, context_space)
    model.counts.copy_(model.count(x, context))
    return model


def test_masses_are_counts_with_half_a_count_of_smoothing():
    x = torch.tensor([[0], [2], [2], [3]])
    model = fitted(Discrete((1,), 5), x)
    expected = torch.tensor([1.5, 0.5, 2.5, 1.5, 0.5]).double() / 6.5
    torch.testing.assert_close(model.log_prob(torch.arange(5).unsqueeze(1)).exp(), expected)


@pytest.mark.parametrize(
    "space",
    [
        Binary((6,)),
        Discrete((1, 2, 2), 5, layout="image"),
        Table((Column("a", Categorical(categories=3), True), Column("b", Discrete(levels=40)))),
    ],
)
def test_masses_sum_to_one(space):
    model = fitted(space, example_rows(space, 200))
    assert model.log_prob(states(space)).exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_the_density_integrates_to_one_and_is_positive_far_away():
    x = torch.cat([torch.randn(500, 1) * 0.1 - 1, torch.randn(500, 1) * 0.3 + 1])
    model = fitted(Real((1,)), x)
    # the integral over t = sigmoid(u) has bounded terms: an even grid of 2**16 cells suffices
    t = (torch.arange(2**16) + 0.5).double() / 2**16
    u = torch.logit(t)
    total = (model.log_prob(u.unsqueeze(1)).double().exp() / (t * (1 - t))).mean()
    assert total.item() == pytest.approx(1, abs=1e-4)
    assert model.log_prob(torch.tensor([[1e4], [-1e4]])).isfinite().all()


def test_a_histogram_finds_as_many_bins_as_the_data_bear():
    # a standard logistic is flat on the histogram's scale: one bin; two narrow peaks need many
    flat = torch.logit(torch.rand(2000, 1))
    log_p = fitted(Real((1,)), flat).log_prob(torch.linspace(-4, 4, 100).unsqueeze(1))
    expected = torch.distributions.TransformedDistribution(
        torch.distributions.Uniform(0, 1), [torch.distributions.SigmoidTransform().inv]
    ).log_prob(torch.linspace(-4, 4, 100).double())
    torch.testing.assert_close(log_p, expected, rtol=0, atol=0.05)
    peaks = torch.cat([torch.randn(1000, 1) * 0.05 - 1, torch.randn(1000, 1) * 0.05 + 1])
    gain = fitted(Real((1,)), peaks).log_prob(peaks).mean()
    # the true entropy is 0.5 log(2 pi e 0.05^2) + log 2 = -0.884; one bin would give -1.6
    assert gain > 0.884 - 0.15


def test_missing_values_are_left_out_and_marginalised():
    space = Table((Column("a", Discrete(levels=3), True), Column("b", Real(), True)))
    x = torch.tensor([[0, 0.1], [math.nan, 0.2], [0, math.nan]], dtype=torch.float64)
    model = fitted(space, x)
    nothing = torch.full((1, 2), math.nan, dtype=torch.float64)
    assert model.log_prob(nothing).item() == 0
    zero = torch.tensor([[0, math.nan]], dtype=torch.float64)
    assert model.log_prob(zero).exp().item() == pytest.approx(2.5 / 3.5)


def test_each_class_has_its_own_marginals():
    x = torch.tensor([[0], [0], [1]])
    context = torch.tensor([0, 0, 1])
    model = fitted(Binary((1,)), x, Categorical(categories=3), context)
    found = model.log_prob(torch.zeros(3, 1), torch.tensor([0, 1, 2])).exp()
    torch.testing.assert_close(found, torch.tensor([2.5 / 3, 0.5 / 2, 0.5 / 1]).double())
    assert model.sample(4, torch.tensor([0, 1, 2, 0])).shape == (4, 1)
    with pytest.raises(ValueError, match="context"):
        model.log_prob(torch.zeros(3, 1))


def test_counts_of_batches_add_up():
    space = Table((Column("a", Discrete(levels=3)), Column("b", Real())))
    x = example_rows(space, 50)
    model = Independent(space)
    assert torch.equal(model.count(x[:20]) + model.count(x[20:]), model.count(x))


def test_draws_follow_the_histogram():
    # 5 standard errors of 20,000 draws in each of the four bins of a coarse histogram
    n = 20_000
    model = fitted(Real((1,)), torch.randn(400, 1) + 1)
    drawn = model.sample(n).sigmoid().mul(4).long().flatten()
    p = model.parameters_of_classes()[0].exp().reshape(4, -1).sum(dim=1)
    share = torch.bincount(drawn, minlength=4) / n
    assert ((share - p).abs() < 5 * (p * (1 - p) / n).sqrt() + 1e-6).all()


def test_bins_are_a_power_of_two():
    with pytest.raises(ValueError, match="power of two"):
        Independent(Real((1,)), bins=100)
