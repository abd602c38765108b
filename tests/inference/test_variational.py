import math

import pytest
import torch
from analytic import GaussianDenoiser

from ptheta.inference.diffusing import WithReverseChain
from ptheta.models.diffusion.paths import Cosine, VarianceExploding, VariancePreserving

MEAN, STD = [0.2, -0.4], [0.5, 0.9]


def bound(model, x, levels=64):
    return WithReverseChain(model, (2,), levels=levels).elbo(x).detach()


def expected_surprise(model):
    """The mean of the negative bound over the data: all its terms are of Gaussians."""
    path = model.path
    times = path.times().double()
    alpha, sigma = path.alpha(times)[:, None], path.sigma(times)[:, None]
    mean, variance = model.mean.detach().double(), (2 * model.log_std.detach().double()).exp()
    left = variance * sigma**2 / (alpha**2 * variance + sigma**2)  # of the data, given the level
    ratios = (alpha / sigma) ** 2
    steps = ((ratios[:-1] - ratios[1:]) / 2 * left[1:]).sum()
    first = (left[0] * ratios[0] / 2 + (2 * math.pi / ratios[0]).log() / 2).sum()
    share = sigma[-1] ** 2 / (alpha[-1] ** 2 + sigma[-1] ** 2)
    squares = mean**2 + variance
    last = (share * (1 + ratios[-1] * squares) - 1 - share.log()).sum() / 2
    return (first + steps + last).item()


@pytest.mark.parametrize(
    "make", [VariancePreserving, Cosine, lambda levels: VarianceExploding(0.02, 20.0, levels)]
)
def test_it_is_the_sum_over_the_chain_and_bounds_the_density(make):
    torch.manual_seed(0)
    entropy = sum(math.log(2 * math.pi * math.e * s**2) / 2 for s in STD)
    gaps = []
    for levels in (20, 1000):
        model = GaussianDenoiser(MEAN, STD, make(levels=levels))
        x = model.drawn(20_000)
        surprise = -bound(model, x)
        expected = expected_surprise(model)
        error = surprise.std().item() / math.sqrt(len(x))
        assert abs(surprise.mean().item() - expected) < 4 * error
        gaps.append(expected - entropy)
    # finer steps leave less to the Gaussians of the chain; those of equal length in t leave
    # half of Euler's constant for each value however many they are
    assert 0 < gaps[1] < gaps[0]
    assert gaps[1] < 0.9


def test_the_levels_that_are_drawn_leave_it_right_in_the_mean():
    torch.manual_seed(0)
    model = GaussianDenoiser(MEAN, STD, VariancePreserving(levels=30))
    x = torch.tensor([[0.3, 0.1]]).expand(4000, 2)
    few, many = bound(model, x, 2), bound(model, x, 40)
    error = (few.var() / 4000 + many.var() / 4000).sqrt()
    assert abs(few.mean() - many.mean()) < 4 * error
    assert few.var() > 5 * many.var()


def test_a_worse_denoiser_has_a_lower_bound():
    torch.manual_seed(0)
    path = VariancePreserving()
    right = GaussianDenoiser(MEAN, STD, path)
    x = right.drawn(5000)
    wrong = GaussianDenoiser([0.6, 0.0], STD, path)
    found = []
    for model in (right, wrong):
        torch.manual_seed(1)  # the same noise for both
        found.append(bound(model, x))
    gap = found[0] - found[1]
    assert gap.mean() > 10 * gap.std() / math.sqrt(5000)


def test_noise_at_the_end_is_the_standard_normal():
    # what a thousand steps leave of the data, in nats of divergence for an example of size one
    for path in (VariancePreserving(), Cosine()):
        one = torch.ones((), dtype=torch.float64)
        kept = path.alpha(one).square() / (path.alpha(one).square() + path.sigma(one).square())
        assert kept < 2e-4


def test_particles_are_levels_of_which_some_are_drawn_anyway():
    times = []
    model = GaussianDenoiser(MEAN, STD, VariancePreserving(levels=100))
    predict = model.predict

    def counted(x, context=None, *, t):
        times.append(t)
        return predict(x, context, t=t)

    model.predict = counted
    chain = WithReverseChain(model, (2,), levels=4)
    evaluations = []
    for particles in (1, 3, 9):
        times.clear()
        chain.elbo(torch.zeros(2, 2), particles=particles)
        evaluations.append(len(times))
    # besides the levels, the first step of the chain is looked at each time
    assert evaluations == [5, 5, 10]
