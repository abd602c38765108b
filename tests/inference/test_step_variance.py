"""Steps back whose variance the denoiser says, against Gaussian data, of which it is known."""

import math

import pytest
import torch
from analytic import GaussianDenoiser
from torch.distributions import Normal, kl_divergence

from ptheta.inference.denoising import ancestral, spaced, widening
from ptheta.inference.diffusing import WithReverseChain
from ptheta.inference.variational import step_divergence
from ptheta.models.diffusion.denoiser import SpreadDenoiser
from ptheta.models.diffusion.paths import Cosine, Straight, VarianceExploding, VariancePreserving
from ptheta.networks.residual import ResidualMLP
from ptheta.noising import Prediction
from ptheta.objectives.hybrid_denoising import HybridDenoising
from ptheta.objectives.score_matching import MultiLevelDenoisingScoreMatching
from ptheta.objectives.types import Batch

PATHS = [VarianceExploding(0.02, 20.0), VariancePreserving(), Cosine(), Straight()]
each_path = pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
MEAN, STD = [0.5, -1.0], [0.3, 0.9]


def step(path, t, s, std):
    """The least variance of a step back, and that which data of a deviation have."""
    alpha_t, sigma_t, alpha_s, sigma_s = path.alpha(t), path.sigma(t), path.alpha(s), path.sigma(s)
    least = (sigma_s / sigma_t) ** 2 * (sigma_t**2 - (alpha_t / alpha_s * sigma_s) ** 2)
    marginal = alpha_s**2 * std**2 + sigma_s**2
    covariance = alpha_t / alpha_s * marginal
    return least, marginal - covariance**2 / (alpha_t**2 * std**2 + sigma_t**2)


class Knowing(GaussianDenoiser):
    """Says the variance of steps between given times as it is."""

    def __init__(self, mean, std, path, times):
        super().__init__(mean, std, path)
        self.times = times.double().sort().values

    def predict(self, x, context=None, *, t):
        found = super().predict(x, context, t=t)
        t = torch.as_tensor(t).double().expand(len(x))
        before = self.times[(torch.searchsorted(self.times, t - 1e-9) - 1).clamp(min=0)]
        t, before = t[:, None], before[:, None]
        least, right = step(self.path, t, before, self.log_std.exp().double())
        spread = (right / least).log() / widening(self.path, t, before)
        return found._replace(spread=spread.nan_to_num().to(x))


@each_path
def test_the_most_variance_is_that_of_data_of_unit_variance(path):
    t, s = torch.tensor([0.9, 0.5]).double(), torch.tensor([0.4, 0.45]).double()
    least, most = step(path, t, s, 1.0)
    torch.testing.assert_close(widening(path, t, s), (most / least).log())


def test_of_a_path_that_keeps_the_variance_they_are_those_of_the_papers():
    path = VariancePreserving(levels=1000)
    t, s = path.times()[500].double(), path.times()[499].double()
    kept_t, kept_s = path.alpha(t) ** 2, path.alpha(s) ** 2
    beta = 1 - kept_t / kept_s
    posterior = (1 - kept_s) / (1 - kept_t) * beta
    torch.testing.assert_close(widening(path, t, s), (beta / posterior).log())


@each_path
@torch.no_grad()
def test_with_the_right_variances_a_few_steps_follow_gaussian_data_exactly(path):
    torch.manual_seed(0)
    n, times = 40_000, spaced(path, 4)
    model = Knowing(MEAN, STD, path, times)
    mean, std = model.noised(times[0])
    noise = mean + std * torch.randn(n, 2)
    x = ancestral(lambda x, t: model.predict(x, t=t), path, noise, times)
    # what is drawn is the mean given the last level, whose deviation this is
    _, last = model.noised(times[-1])
    alpha, sigma = path.alpha(times[-1]), path.sigma(times[-1])
    expected = alpha * torch.tensor(STD) ** 2 / last
    assert ((x.std(dim=0) / expected - 1).abs() < 4 / math.sqrt(2 * n)).all()
    assert ((x.mean(dim=0) - torch.tensor(MEAN)).abs() < 4 * expected / math.sqrt(n)).all()
    narrow = ancestral(lambda x, t: GaussianDenoiser.predict(model, x, t=t), path, noise, times)
    assert (narrow.std(dim=0) < 0.97 * expected).any()
    assert sigma > 0


@each_path
def test_the_divergence_of_a_step_is_that_of_two_gaussians(path):
    torch.manual_seed(0)
    x, noised = torch.randn(5, 3).double(), torch.randn(5, 3).double()
    found = Prediction(torch.randn(5, 3).double(), noised, torch.rand(5, 3).double())
    t, s = torch.tensor(0.8).double().expand(5), torch.tensor(0.3).double().expand(5)
    least, most = step(path, t[:, None], s[:, None], 1.0)
    kept = (path.sigma(s) ** 2 - least[:, 0]).sqrt() / path.sigma(t)
    of_data = (path.alpha(s) - kept * path.alpha(t))[:, None]
    for spread in (found.spread, None):
        share = torch.zeros(5, 3).double() if spread is None else spread
        deviation = (least ** (1 - share) * most**share).sqrt()
        expected = kl_divergence(
            Normal(of_data * x, least.sqrt()), Normal(of_data * found.data, deviation)
        ).sum(dim=1)
        found_here = step_divergence(found._replace(spread=spread), path, x, t, s)
        torch.testing.assert_close(found_here, expected)


def test_with_the_right_variances_the_bound_of_a_few_levels_is_tight():
    torch.manual_seed(0)
    path = VariancePreserving(levels=10)
    right = Knowing(MEAN, STD, path, path.times())
    least = GaussianDenoiser(MEAN, STD, path)
    x = right.drawn(20_000)
    entropy = sum(math.log(2 * math.pi * math.e * s**2) / 2 for s in STD)
    gaps, errors = [], []
    for model in (right, least):
        bound = WithReverseChain(model, (2,), levels=10).elbo(x).detach()
        gaps.append(-bound.mean().item() - entropy)
        errors.append(bound.std().item() / math.sqrt(len(x)))
    # all that is lost is lost at the ends: the first level takes its own noise for what is left
    # of the data, and the last takes the data for such of unit variance
    first, last, std = path.times()[0], path.times()[-1], torch.tensor(STD)
    noise = path.sigma(first) / path.alpha(first)
    left = std**2 * noise**2 / (std**2 + noise**2) / noise**2
    ended = torch.stack(right.noised(last))
    unit = (path.alpha(last) ** 2 + path.sigma(last) ** 2).sqrt()
    prior = kl_divergence(Normal(*ended), Normal(torch.zeros(2), unit)).sum()
    expected = (left - 1 - left.log()).sum() / 2 + prior
    assert abs(gaps[0] - expected) < 4 * errors[0]
    assert gaps[1] > gaps[0] + 0.5


def test_variances_are_learned_and_the_mean_does_not_learn_by_them():
    torch.manual_seed(0)
    path = VariancePreserving(levels=10)
    model = SpreadDenoiser(path, lambda told: ResidualMLP(2, 4, 32, condition_features=told))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    batch = Batch(torch.randn(64, 2))
    last = [p for p in model.network.parameters() if p.shape[:1] == (4,)]
    gradients = []
    for objective in (HybridDenoising(weight=1.0), MultiLevelDenoisingScoreMatching()):
        torch.manual_seed(1)
        gradients.append(torch.autograd.grad(objective.loss(model, batch).value, last))
    for hybrid, denoising in zip(*gradients, strict=True):
        torch.testing.assert_close(hybrid[:2], denoising[:2])
        assert (denoising[2:] == 0).all()
        assert (hybrid[2:] != 0).any()


def test_what_is_learned_of_gaussian_data_is_the_right_variance():
    torch.manual_seed(0)
    path = VariancePreserving(levels=6)
    truth = Knowing(MEAN, STD, path, path.times())

    class Fitted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.path = path
            self.logit = torch.nn.Parameter(torch.zeros(6, 2))

        def predict(self, x, context=None, *, t):
            at = torch.searchsorted(path.times(), t - 1e-6)
            return truth.predict(x, t=t)._replace(spread=torch.sigmoid(self.logit[at]))

    model, objective = Fitted(), HybridDenoising(weight=1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(600):
        optimizer.zero_grad()
        objective.loss(model, Batch(truth.drawn(1024))).value.backward()
        optimizer.step()
    times = path.times()[1:]
    right = truth.predict(torch.zeros(5, 2), t=times).spread
    torch.testing.assert_close(torch.sigmoid(model.logit[1:]), right, atol=0.03, rtol=0)


def test_a_denoiser_that_does_not_say_is_refused():
    model = GaussianDenoiser(MEAN, STD, VariancePreserving(levels=10))
    with pytest.raises(ValueError, match="does not say how wide steps back are"):
        HybridDenoising().loss(model, Batch(torch.zeros(4, 2)))


@torch.no_grad()
def test_the_bound_of_the_hybrid_is_the_sum_over_the_steps():
    torch.manual_seed(0)
    path = VariancePreserving(levels=6)
    times = path.times()
    model = Knowing(MEAN, STD, path, times)
    x = torch.tensor(MEAN) + torch.tensor(STD) * torch.randn(100_000, 2)
    found = HybridDenoising().loss(model, Batch(x)).terms["bound"].item()
    total = 0.0
    for s, t in zip(times[:-1], times[1:], strict=True):
        noised = path.alpha(t) * x + path.sigma(t) * torch.randn_like(x)
        at, before = t.expand(len(x)), s.expand(len(x))
        total += step_divergence(model.predict(noised, t=at), path, x, at, before).mean().item()
    # both are means over so many rows
    assert found == pytest.approx(total, rel=0.03)
