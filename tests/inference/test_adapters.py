import math

import pytest
import torch
from torch import nn

from ptheta.errors import PthetaError
from ptheta.inference.adapters import NormalisedWithMCMC, WithMCMC
from ptheta.inference.langevin import MALA, ULA
from ptheta.inference.metropolis import RandomWalk
from ptheta.models.energy.self_normalised import SelfNormalised
from ptheta.models.latent.covariances import Full
from ptheta.models.latent.gmm import GaussianMixture
from ptheta.protocols import capabilities


class Gaussian(nn.Module):
    """Variance v about a mean that is the context, or 0."""

    def __init__(self, variance):
        super().__init__()
        self.variance = variance

    def unnormalized_log_prob(self, x, context=None):
        mean = 0 if context is None else context
        return -(x - mean).square().sum(dim=1) / (2 * self.variance)

    def score(self, x, context=None):
        return -(x - (0 if context is None else context)) / self.variance


def test_chains_sample_the_energy_and_add_nothing_but_sample():
    torch.manual_seed(0)
    energy = Gaussian(0.25)
    model = WithMCMC(energy, MALA(0.05, target=0.574), (3,), steps=200)
    x = model.sample(20_000)
    # 60,000 independent values: 4 standard errors of their variance
    assert abs(x.var() / 0.25 - 1) < 4 * math.sqrt(2 / 60_000)
    assert capabilities(model) == ("sample", "unnormalized_log_prob", "score")
    torch.testing.assert_close(model.score(x), energy.score(x))
    torch.testing.assert_close(model.unnormalized_log_prob(x), energy.unnormalized_log_prob(x))


def test_a_constant_starts_at_what_the_noise_says_and_chains_at_its_draws():
    torch.manual_seed(0)
    energy = SelfNormalised(Gaussian(0.25))
    noise = GaussianMixture(3, 1, Full())
    model = NormalisedWithMCMC(energy, MALA(0.05), noise, (3,), steps=1)
    x = torch.randn(5000, 3) @ torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    model.initialize(x)
    log_z = 1.5 * math.log(2 * math.pi * 0.25)
    # 10,000 weights whose standard deviation is 2.4 times their mean
    assert abs(energy.log_normalizer.item() - log_z) < 4 * 2.4 / 100
    expected = -2 * x.square().sum(dim=1) - energy.log_normalizer
    torch.testing.assert_close(model.log_prob_estimate(x), expected)
    assert capabilities(model) == ("sample", "log_prob_estimate", "unnormalized_log_prob", "score")
    start = model.start(20_000)
    # 4 standard errors of the entries of a covariance matrix, of which the largest is 4
    torch.testing.assert_close(start.T.cov(), x.T.cov(), atol=4 * 4 * (2 / 20_000) ** 0.5, rtol=0)


def test_context_reaches_every_chain():
    torch.manual_seed(0)
    context = torch.tensor([[-50.0], [50.0]]).repeat(50, 1)
    x = WithMCMC(Gaussian(1.0), MALA(0.5), (1,), steps=300).sample(100, context)
    assert (x.sign() == context.sign()).all()
    assert (x - context).abs().max() < 6


def test_jump_goes_to_the_mean_of_the_data():
    # data at 0, smoothed by noise of 0.5: every draw jumps to 0
    torch.manual_seed(0)
    model = WithMCMC(Gaussian(0.25), MALA(0.1), (2,), steps=10, jump=0.5)
    torch.testing.assert_close(model.sample(100), torch.zeros(100, 2))


def test_chains_that_run_away_are_no_draws():
    class Rising(torch.nn.Module):
        def unnormalized_log_prob(self, x, context=None):
            return x.pow(4).sum(dim=1)

        def score(self, x, context=None):
            return 4 * x**3

    torch.manual_seed(0)
    with pytest.raises(PthetaError, match="of 10 chains have run away.*such as MALA"):
        WithMCMC(Rising(), ULA(0.5), (2,), steps=50).sample(10)


def test_chains_that_are_on_their_way_out_are_no_draws():
    class Slope(torch.nn.Module):
        def unnormalized_log_prob(self, x, context=None):
            return x.square().sum(dim=1)

        def score(self, x, context=None):
            return 2 * x

    torch.manual_seed(0)
    # by (1 + 2 h)^200 = 17,000: far out, though every value is finite
    with pytest.raises(PthetaError, match="of 10 chains have run away, to a hundred times"):
        WithMCMC(Slope(), ULA(0.025), (2,)).sample(10)
    assert WithMCMC(Slope(), ULA(0.025), (2,)).sample(0).shape == (0, 2)


@pytest.mark.parametrize("kernel", [ULA, MALA, RandomWalk])
@pytest.mark.parametrize("step_size", [0.0, -0.1, float("nan"), float("inf")])
def test_a_kernel_has_a_step_above_zero(kernel, step_size):
    with pytest.raises(ValueError, match="the step of a kernel is a number above 0"):
        kernel(step_size)
