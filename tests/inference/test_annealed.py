import math

import pytest
import torch
from torch import nn

from ptheta.inference.annealed import annealed_langevin, matched_step
from ptheta.inference.diffusing import WithScoredDenoising
from ptheta.inference.kernels import run, value_and_score
from ptheta.inference.langevin import ULA
from ptheta.inference.predictions import from_data, from_score
from ptheta.models.diffusion.paths import VarianceExploding

CENTRES = torch.tensor([[-5.0, 0.0], [5.0, 0.0]])
WEIGHTS = torch.tensor([0.8, 0.2])
STD = 0.5
PATH = VarianceExploding(0.05, 20.0, levels=20)
LEVELS = PATH.times().flip(0)


def log_prob(x, sigma=0.0):
    variance = torch.as_tensor(STD**2 + sigma**2)
    squares = (x[:, None] - CENTRES).square().sum(dim=2)
    return (WEIGHTS.log() - squares / (2 * variance) - variance.log()).logsumexp(dim=1)


def predict(x, t):
    sigma = PATH.sigma(t)
    _, score = value_and_score(lambda at: log_prob(at, sigma), x)
    return from_score(x, score, PATH.alpha(t), sigma)


def share_left(x):
    return (x[:, 0] < 0).float().mean().item()


def test_mode_weights_are_right_where_plain_langevin_gets_them_wrong():
    torch.manual_seed(0)
    n = 4000
    kernel = ULA(0.05)
    plain = run(kernel, log_prob, kernel.init(log_prob, 20 * torch.randn(n, 2)), 400).x
    start = PATH.sigma_max * torch.randn(n, 2)
    x = annealed_langevin(predict, PATH, start, LEVELS, steps=20, step=matched_step(PATH.ratio, 20))
    # plain chains stay with the half in which they start
    assert abs(share_left(plain) - 0.5) < 0.05
    # 4 standard errors of a share of 4000 draws, and as much for the steps being finite
    assert abs(share_left(x) - 0.8) < 8 * math.sqrt(0.8 * 0.2 / n)
    near = torch.cdist(x, CENTRES).amin(dim=1)
    assert near.square().mean().sqrt() == pytest.approx(STD * math.sqrt(2), rel=0.1)


def test_last_step_takes_the_noise_of_the_last_level_off():
    point = torch.tensor([[2.0, -1.0]])
    path = VarianceExploding(0.5, 5.0, levels=10)
    torch.manual_seed(0)

    def of_a_point(x, t):
        return from_data(x, point.expand_as(x), path.alpha(t), path.sigma(t))

    start, levels = torch.randn(500, 2), path.times().flip(0)
    noisy, clean = (
        annealed_langevin(of_a_point, path, start, levels, denoise=denoise)
        for denoise in (False, True)
    )
    assert (noisy - point).std() > 0.4
    torch.testing.assert_close(clean, point.expand(500, 2))


class NoisedPoint(nn.Module):
    path = VarianceExploding(0.1, 5.0, levels=8)

    def predict(self, x, context=None, *, t):
        return from_data(x, context, self.path.alpha(t), self.path.sigma(t))

    def score(self, x, context=None, *, t=0.0):
        return (context - x) / self.path.sigma(torch.as_tensor(t)) ** 2


def test_joined_to_a_denoiser_it_goes_through_every_level_and_follows_the_context():
    context = torch.tensor([[1.0, 2.0], [-3.0, 4.0]])
    seen = []

    def sampler(predict, path, x, times):
        seen.extend(times.tolist())
        return annealed_langevin(predict, path, x, times, steps=3, step=0.2)

    path = NoisedPoint.path
    model = WithScoredDenoising(NoisedPoint(), (2,), sampler=sampler, steps=path.levels - 1)
    torch.testing.assert_close(model.sample(2, context), context)
    assert seen == path.times().flip(0).tolist()
    assert not model.sample(2, context).requires_grad
    torch.testing.assert_close(
        model.score(context + 0.1, context, t=0.0), torch.full((2, 2), -10.0), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("ratio", "steps"), [(1.1, 2), (1.4, 10)])
def test_matched_step_is_the_best_by_the_recursion_of_the_variance(ratio, steps):
    def excess(h):
        variance = ratio**2
        for _ in range(steps):
            variance = (1 - h) ** 2 * variance + 2 * h
        return abs(variance - 1)

    h = matched_step(ratio, steps)
    assert excess(h) <= min(excess(other) for other in (h / 2, h - 0.01, h + 0.01, 1.5 * h))
