import math
from functools import partial

import pytest
import torch
from analytic import GaussianDenoiser

from ptheta.inference.denoising import spaced
from ptheta.inference.reverse_sde import euler_maruyama, predictor_corrector
from ptheta.models.diffusion.paths import (
    Cosine,
    Even,
    Straight,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)

PATHS = [
    VarianceExploding(0.02, 20.0),
    VariancePreserving(),
    SubVariancePreserving(),
    Cosine(),
    Even(VariancePreserving()),
]
MEAN, STD = [0.5, -1.0], [0.3, 1.2]


def drawn(sampler, path, steps, n):
    torch.manual_seed(0)
    model = GaussianDenoiser(MEAN, STD, path)
    one = torch.ones(())
    scale = (path.alpha(one).square() + path.sigma(one).square()).sqrt()
    with torch.no_grad():
        return sampler(
            lambda x, t: model.predict(x, t=t), path, scale * torch.randn(n, 2), spaced(path, steps)
        )


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
@pytest.mark.parametrize("sampler", [euler_maruyama, predictor_corrector])
def test_draws_of_many_steps_follow_the_data(path, sampler):
    n = 20_000
    x = drawn(sampler, path, 400, n)
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    # what noise keeps of the data at t = 1 is left out of the start, and steps are finite
    assert ((x.mean(dim=0) - mean).abs() < 4 * std / math.sqrt(n) + 0.01).all()
    assert ((x.std(dim=0) / std - 1).abs() < 4 / math.sqrt(2 * n) + 0.01).all()


def test_correction_takes_back_some_of_what_few_steps_are_off():
    path, n = Even(VariancePreserving()), 20_000

    def off(sampler):
        return (drawn(sampler, path, 20, n).std(dim=0) / torch.tensor(STD) - 1).abs().max()

    # a step takes back a share of about 2 r^2, a twentieth
    many = partial(predictor_corrector, corrections=15)
    assert off(many) < 0.8 * off(euler_maruyama) - 4 / math.sqrt(2 * n)


def test_langevin_steps_leave_the_law_of_their_level_as_it_is():
    # no step of the equation: t and s are the same but for the number of corrections
    path, n = VarianceExploding(0.1, 5.0), 40_000
    torch.manual_seed(0)
    model = GaussianDenoiser(MEAN, STD, path)
    t = torch.tensor(0.4)
    mean, std = model.noised(t)
    seen = []

    def predict(x, t):
        seen.append(x)
        return model.predict(x, t=t)

    with torch.no_grad():
        start = mean + std * torch.randn(n, 2)
        predictor_corrector(predict, path, start, torch.stack([t, t]), corrections=30, ratio=0.1)
    ends = seen[-1]
    assert ((ends.mean(dim=0) - mean).abs() < 4 * std / math.sqrt(n)).all()
    # a step of size h is off by a share of about h / (4 var), here 2 (0.1 sigma)^2 / (4 var)
    assert ((ends.std(dim=0) / std - 1).abs() < 4 / math.sqrt(2 * n) + 0.01).all()


@pytest.mark.parametrize("sampler", [euler_maruyama, predictor_corrector])
def test_times_are_in_order_and_begin_where_there_are_data(sampler):
    path = VariancePreserving()
    model = GaussianDenoiser(MEAN, STD, path)
    predict = partial(model.predict)
    with pytest.raises(ValueError, match="the times of a sampler descend"):
        sampler(lambda x, t: predict(x, t=t), path, torch.randn(5, 2), spaced(path, 10).flip(0))
    straight = Straight()
    with pytest.raises(ValueError, match="nothing of them left at the first time"):
        sampler(lambda x, t: predict(x, t=t), straight, torch.randn(5, 2), spaced(straight, 10))
