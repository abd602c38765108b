import math

import pytest
import torch

from ptheta.models.heads import Head, on_reals
from ptheta.models.heads.continuous import (
    ExponentialMixtureKind,
    GaussianMixtureKind,
    HistogramKind,
)
from ptheta.models.heads.discrete import BernoulliKind, LogisticMixtureKind, SoftmaxKind
from ptheta.spaces import Binary, Categorical, Column, Discrete, Positive, Real, Table

MIXED = Table(
    (
        Column("colour", Categorical(categories=3)),
        Column("size", Real(), missing=True),
        Column("flag", Discrete(levels=2)),
        Column("grade", Discrete(levels=20)),
        Column("weight", Real()),
    )
)


@pytest.mark.parametrize(
    ("kind", "levels"),
    [
        (BernoulliKind(), 2),
        (SoftmaxKind(5), 5),
        (LogisticMixtureKind(2, 1), 2),
        (LogisticMixtureKind(17, 4), 17),
        (LogisticMixtureKind(1000, 3), 1000),
    ],
)
def test_masses_sum_to_one_over_the_support(kind, levels):
    parameters = 3 * torch.randn(50, kind.size, 1)
    total = kind.log_prob(parameters, torch.arange(levels).reshape(-1, 1, 1)).exp().sum(dim=0)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", [GaussianMixtureKind(1), GaussianMixtureKind(4), HistogramKind(8)])
def test_densities_integrate_to_one(kind):
    # scales are softplus of unit normals, above 0.02: the grid of 0.002 resolves them
    parameters = torch.randn(20, kind.size, 1).double()
    x = torch.linspace(-30, 30, 30001, dtype=torch.float64).reshape(-1, 1, 1)
    total = kind.log_prob(parameters, x).exp().sum(dim=0) * (60 / 30000)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=2e-3)


def test_a_mixture_of_exponentials_is_the_textbooks_and_lives_on_positive_values():
    kind = ExponentialMixtureKind(2, min_rate=0.5)
    parameters = torch.tensor([0.0, math.log(3), math.log(math.e - 1), math.log(math.e**2 - 1)])
    rates = 1.5, 2.5  # softplus gives 1 and 2, above the smallest rate
    x = torch.linspace(0.001, 30, 300_001, dtype=torch.float64)
    density = kind.log_prob(parameters.double().reshape(4, 1), x[:, None]).exp()[:, 0]
    expected = sum(w * r * torch.exp(-r * x) for w, r in zip((0.25, 0.75), rates, strict=True))
    torch.testing.assert_close(density, expected)
    n = 40_000
    drawn = kind.draw(parameters.reshape(4, 1).expand(-1, n), torch.rand(2, n))
    assert (drawn > 0).all()
    mean = 0.25 / rates[0] + 0.75 / rates[1]
    assert kind.centre(parameters.reshape(4, 1)).item() == pytest.approx(mean, rel=1e-5)
    # five standard errors
    assert abs(drawn.mean() - mean) < 5 * drawn.std() / math.sqrt(n)


def test_fitted_exponentials_are_near_the_data():
    x = 7 * torch.empty(4000, 1).exponential_()
    kind = ExponentialMixtureKind(5)
    scaled = x / x.mean()
    # an exponential of mean one has entropy 1; a start within 0.2 of it is one
    assert -kind.log_prob(kind.fit(scaled), scaled).mean() < 1.2


def test_a_rounded_logistic_is_the_mass_of_its_cell():
    # one component at level 5 with scale softplus(0) * 5.5 + 0.05
    kind = LogisticMixtureKind(12, 1)
    parameters = torch.tensor([0.0, 5 / 5.5 - 1, 0.0]).reshape(3, 1).double()
    scale = math.log(2) * 5.5 + 0.05
    cdf = lambda v: 1 / (1 + math.exp(-(v - 5) / scale))  # noqa: E731
    cells = [(0, cdf(0.5)), (7, cdf(7.5) - cdf(6.5)), (11, 1 - cdf(10.5))]
    for level, expected in cells:
        found = kind.log_prob(parameters, torch.tensor([level])).exp().item()
        assert found == pytest.approx(expected, rel=1e-6)


def test_a_rounded_logistic_is_finite_with_gradient_far_from_its_mass():
    kind = LogisticMixtureKind(256, 2)
    parameters = torch.tensor([0.0, 0.0, -1.0, -1.0, -40.0, -40.0]).reshape(6, 1).requires_grad_()
    log_p = kind.log_prob(parameters, torch.tensor([[0], [128], [255]]))
    log_p.sum().backward()
    assert log_p.isfinite().all()
    assert parameters.grad is not None
    assert parameters.grad.isfinite().all()


@pytest.mark.parametrize(
    "kind",
    [
        BernoulliKind(),
        SoftmaxKind(4),
        LogisticMixtureKind(9, 3),
        GaussianMixtureKind(3),
        GaussianMixtureKind(1),
        HistogramKind(16),
    ],
)
def test_draws_have_the_entropy_of_the_density(kind):
    # the mean of log p over draws, against the same mean over stratified noise: both estimate
    # the negative entropy; 5 standard errors of 20,000 draws
    n = 20_000
    parameters = torch.randn(kind.size, 1)
    x = kind.draw(parameters.expand(-1, n), torch.rand(2, n))
    log_p = kind.log_prob(parameters, x.unsqueeze(-1)).squeeze(-1)
    support = _support(kind)
    if support is None:
        grid = torch.linspace(-40, 40, 400_001)
        each = kind.log_prob(parameters, grid.unsqueeze(-1)).squeeze(-1).double()
        expected = (each.exp() * each.clamp(min=-700)).sum() * (80 / 400_000)
    else:
        each = kind.log_prob(parameters, support.unsqueeze(-1)).squeeze(-1)
        expected = (each.exp() * each).sum()
    assert abs(log_p.mean() - expected) < 5 * log_p.std() / math.sqrt(n) + 1e-3


def _support(kind):
    match kind:
        case BernoulliKind():
            return torch.arange(2)
        case SoftmaxKind():
            return torch.arange(kind.categories)
        case LogisticMixtureKind():
            return torch.arange(kind.levels)
        case _:
            return None


@pytest.mark.parametrize("kind", [SoftmaxKind(6), LogisticMixtureKind(6, 3)])
def test_draws_follow_each_mass(kind):
    n = 20_000
    parameters = torch.randn(kind.size, 1)
    x = kind.draw(parameters.expand(-1, n), torch.rand(2, n)).long()
    share = torch.bincount(x, minlength=6) / n
    p = kind.log_prob(parameters, torch.arange(6).unsqueeze(-1)).squeeze(-1).exp()
    assert ((share - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all()


def test_extreme_uniforms_stay_inside():
    for kind in (LogisticMixtureKind(30, 2), GaussianMixtureKind(2), HistogramKind(4)):
        x = kind.draw(torch.zeros(kind.size, 2), torch.tensor([[0.0, 0.99999994]]).expand(2, 2))
        assert x.isfinite().all()


def test_parameters_and_values_broadcast_over_particles():
    head = Head(Discrete((3,), 20), components=2)
    parameters, x = torch.randn(7, 5, head.features), torch.randint(0, 20, (5, 3))
    many = head(parameters).log_prob(x)
    assert many.shape == (7, 5)
    torch.testing.assert_close(many[3], head(parameters[3]).log_prob(x))


def test_mixed_values_sum_over_columns_and_a_missing_one_adds_nothing():
    head = Head(on_reals(MIXED), components=2)
    parameters = torch.randn(4, head.features)
    x = torch.tensor([[2, 0.5, 1, 7, -1.0]], dtype=torch.float64).expand(4, 5).clone()
    each = head(parameters).log_prob_values(x)
    torch.testing.assert_close(head(parameters).log_prob(x), each.sum(dim=1))
    gap = x.clone()
    gap[:, 1] = math.nan
    missing = head(parameters).log_prob(gap)
    torch.testing.assert_close(missing, each.sum(dim=1) - each[:, 1])


def test_gradient_passes_a_missing_value_by():
    head = Head(MIXED)
    parameters = torch.randn(2, head.features, requires_grad=True)
    head(parameters).log_prob(torch.full((2, 5), math.nan, dtype=torch.float64)).sum().backward()
    assert torch.equal(parameters.grad, torch.zeros_like(parameters))


def test_owner_says_which_value_a_parameter_moves():
    head = Head(MIXED, components=2)
    x = torch.tensor([[1, -0.3, 1, 4, 0.8]], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda p: head(p).log_prob_values(x).squeeze(0), torch.randn(1, head.features)
    ).squeeze(1)
    moved = jacobian.abs() > 0
    own = head.owner == torch.arange(5).unsqueeze(1)
    assert torch.equal(moved & ~own, torch.zeros_like(own))
    assert moved.any(dim=1).all()
    assert head.sizes == (3, 6, 1, 6, 6)


def test_draws_and_centres_lie_in_a_mixed_space():
    head = Head(MIXED)
    distribution = head(3 * torch.randn(40, head.features))
    for x in (distribution.sample(), distribution.centre()):
        assert x.shape == (40, 5)
        assert x.dtype == MIXED.dtype
        assert MIXED.contains(x).all()
    assert distribution.sample((3,)).shape == (3, 40, 5)


def test_fitted_parameters_give_the_marginals():
    space = Table((Column("a", Binary(())), Column("b", Categorical(categories=3))))
    x = torch.tensor([[0, 0], [1, 0], [1, 2], [math.nan, 0]], dtype=torch.float64)
    head = Head(space)
    each = head(head.fit(x)).log_prob_values(torch.tensor([[1.0, 0.0]]).double()).exp()
    # two of three are 1, three of four are 0, each with half a count of smoothing
    torch.testing.assert_close(each, torch.tensor([[2.5 / 4, 3.5 / 5.5]]))


def test_fitted_mixtures_are_near_the_data():
    x = torch.randn(4000, 1)
    head = Head(Real((1,)), components=8)
    # a standard Gaussian has entropy 1.419; a start within 0.2 of it is one
    assert -head(head.fit(x)).log_prob(x).mean() < 1.419 + 0.2


def test_positive_values_are_exponentials_unless_they_are_made_real():
    assert isinstance(Head(Positive((2,))).kinds[0], ExponentialMixtureKind)
    assert on_reals(Table((Column("a", Positive(), True),))) == Table((Column("a", Real(), True),))
