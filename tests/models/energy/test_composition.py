"""Products and mixtures of energies against densities that are known."""

import pytest
import torch
from torch import nn

from ptheta.inference.adapters import WithMCMC
from ptheta.inference.langevin import MALA
from ptheta.models.energy.composition import Given, Mixture, Product
from ptheta.protocols import capabilities


class Gaussian(nn.Module):
    def __init__(self, mean, variance):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.variance = variance

    def unnormalized_log_prob(self, x, context=None):
        return -(x - self.mean).square().sum(dim=1) / (2 * self.variance)


ONE, TWO = Gaussian([0.0, 2.0], 1.0), Gaussian([3.0, -1.0], 0.5)
# precisions add, and means are weighed by them
BOTH = Gaussian([2.0, 0.0], 1 / 3)


def gaps(a, b, x):
    """By how much two log-densities differ, less a constant."""
    difference = a.unnormalized_log_prob(x) - b.unnormalized_log_prob(x)
    return (difference - difference.mean()).abs().max().item()


def test_a_product_of_gaussians_is_the_known_gaussian():
    x = torch.randn(100, 2)
    product = Product([ONE, TWO])
    assert gaps(product, BOTH, x) < 1e-4
    assert capabilities(product) == ("unnormalized_log_prob", "score")
    torch.testing.assert_close(product.score(x), (BOTH.mean - x) * 3)


def test_chains_sample_a_product():
    torch.manual_seed(0)
    x = WithMCMC(Product([ONE, TWO]), MALA(0.1, target=0.574), (2,), steps=200).sample(20_000)
    error = (1 / 3 / 20_000) ** 0.5
    assert ((x.mean(dim=0) - BOTH.mean).abs() < 4 * error).all()
    assert ((x.var(dim=0) * 3 - 1).abs() < 4 * (2 / 20_000) ** 0.5).all()


def test_what_is_multiplied_in_can_be_divided_out_again():
    x = torch.randn(100, 2)
    assert gaps(Product([Product([ONE, TWO]), TWO], [1.0, -1.0]), ONE, x) < 1e-4
    # half of a Gaussian's logarithm is a Gaussian of twice the variance
    assert gaps(Product([TWO], [0.5]), Gaussian([3.0, -1.0], 1.0), x) < 1e-4


def test_a_mixture_adds_densities():
    x = torch.randn(100, 2)
    mixture = Mixture([ONE, TWO], [0.2, 0.8])
    expected = 0.2 * ONE.unnormalized_log_prob(x).exp() + 0.8 * TWO.unnormalized_log_prob(x).exp()
    torch.testing.assert_close(mixture.unnormalized_log_prob(x).exp(), expected)
    share = (0.2 * ONE.unnormalized_log_prob(x).exp() / expected)[:, None]
    score = share * (ONE.mean - x) + (1 - share) * (TWO.mean - x) * 2
    torch.testing.assert_close(mixture.score(x), score)


@pytest.mark.parametrize("kind", [Product, Mixture])
def test_each_density_needs_a_weight(kind):
    with pytest.raises(ValueError, match="a weight for each of 2 densities, got 1"):
        kind([ONE, TWO], [1.0])
    with pytest.raises(ValueError, match="expected a density at least"):
        kind([])


def test_a_mixture_has_no_negative_part():
    with pytest.raises(ValueError, match="must be above 0"):
        Mixture([ONE, TWO], [1.0, -0.5])


class Shifted(nn.Module):
    """A Gaussian of unit variance whose mean of one value is the context."""

    def __init__(self, place):
        super().__init__()
        self.place = place

    def unnormalized_log_prob(self, x, context=None):
        mean = torch.zeros_like(x)
        mean[:, self.place] = context.to(x)
        return -(x - mean).square().sum(dim=1) / 2


class Standard(nn.Module):
    def unnormalized_log_prob(self, x, context=None):
        return -x.square().sum(dim=1) / 2


def test_attributes_learned_apart_are_asked_for_together():
    # each density conditions one value, and that of all data is divided out once
    across, along = Given(Shifted(0), torch.tensor(2.0)), Given(Shifted(1), torch.tensor(-1.0))
    both = Product([across, along, Standard()], [1.0, 1.0, -1.0])
    x = torch.randn(100, 2)
    assert gaps(both, Gaussian([2.0, -1.0], 1.0), x) < 1e-4
    torch.testing.assert_close(both.score(x), torch.tensor([2.0, -1.0]) - x)
    torch.testing.assert_close(across.score(x), torch.tensor([2.0, 0.0]) - x)


def test_weights_may_be_whole_numbers_and_densities_of_doubles():
    x = torch.randn(100, 2)
    torch.testing.assert_close(
        Product([ONE, TWO], [1, -1]).unnormalized_log_prob(x),
        ONE.unnormalized_log_prob(x) - TWO.unnormalized_log_prob(x),
    )
    found = Mixture([ONE, TWO], [1, 3]).unnormalized_log_prob(x.double())
    expected = Mixture([ONE, TWO], [1.0, 3.0]).unnormalized_log_prob(x)
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", [Product, Mixture])
def test_weights_are_finite(kind, weight):
    with pytest.raises(ValueError, match="weights must be finite"):
        kind([ONE], [weight])


@pytest.mark.parametrize("thing", [nn.Linear(2, 1), lambda x: x, "rbm"])
def test_what_is_no_density_is_refused(thing):
    with pytest.raises(ValueError, match="expected modules with `unnormalized_log_prob`, got"):
        Product([ONE, thing])


def test_what_has_no_weight_does_not_count_even_where_nothing_is_possible():
    class Nowhere(Gaussian):
        def unnormalized_log_prob(self, x, context=None):
            return torch.full((len(x),), -torch.inf)

    x = torch.randn(5, 2)
    found = Product([ONE, Nowhere([0.0, 0.0], 1.0)], [1.0, 0.0]).unnormalized_log_prob(x)
    torch.testing.assert_close(found, ONE.unnormalized_log_prob(x))
