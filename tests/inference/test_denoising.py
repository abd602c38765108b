import math

import pytest
import torch
from analytic import GaussianDenoiser

from ptheta.inference.denoising import ancestral, ddim, heun, multistep, spaced
from ptheta.models.diffusion.paths import (
    Cosine,
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
    Straight(),
]
SAMPLERS = [ancestral, ddim, heun, multistep]
each_path = pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.__name__)
MEAN, STD = [0.5, -1.0], [0.3, 1.2]


def predicting(model):
    return lambda x, t: model.predict(x, t=t)


def noise(path, n, dtype=torch.float32):
    one = torch.ones((), dtype=dtype)
    scale = (path.alpha(one).square() + path.sigma(one).square()).sqrt()
    return scale * torch.randn(n, 2, dtype=dtype)


@each_path
@each_sampler
def test_data_at_a_point_are_drawn_exactly_in_any_number_of_steps(path, sampler):
    torch.manual_seed(0)
    model = GaussianDenoiser(MEAN, [1e-6, 1e-6], path)
    for steps in (1, 7):
        with torch.no_grad():
            x = sampler(predicting(model), path, noise(path, 50), spaced(path, steps))
        torch.testing.assert_close(x, torch.tensor(MEAN).expand(50, 2), atol=1e-5, rtol=0)


@each_path
@each_sampler
@torch.no_grad()
def test_draws_of_many_steps_follow_the_data(path, sampler):
    torch.manual_seed(0)
    n = 20_000
    model = GaussianDenoiser(MEAN, STD, path)
    x = sampler(predicting(model), path, noise(path, n), spaced(path, 300))
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    # what noise keeps of the data at t = 1 is left out of the start, and steps are finite
    assert ((x.mean(dim=0) - mean).abs() < 4 * std / math.sqrt(n) + 0.03).all()
    assert ((x.std(dim=0) / std - 1).abs() < 4 / math.sqrt(2 * n) + 0.02).all()


def probability_flow(model, x):
    """Where the flow takes noise, of which the last prediction is the mean of the data."""
    (mean_1, std_1), (mean_0, std_0) = model.noised(1.0), model.noised(model.path.times()[0])
    ends = mean_0 + (x - mean_1) * std_0 / std_1
    return model.predict(ends, t=model.path.times()[0]).data


@each_path
@pytest.mark.parametrize(("sampler", "order"), [(ddim, 1), (heun, 2), (multistep, 2)])
@torch.no_grad()
def test_the_error_of_the_probability_flow_falls_with_its_order(path, sampler, order):
    torch.manual_seed(0)
    model = GaussianDenoiser(MEAN, STD, path).double()
    x = noise(path, 100, torch.float64)
    expected = probability_flow(model, x)

    def error(steps):
        found = sampler(predicting(model), path, x, spaced(path, steps).double())
        return (found - expected).abs().mean()

    # twice the steps: half or a fourth of the error, as it is where steps are small
    fall = (error(400) / error(800)).log2()
    assert abs(fall - order) < 0.35


@torch.no_grad()
def test_noise_drawn_anew_leaves_the_law_of_every_level_as_it_is():
    # with data at a point the levels are Gaussians about it, for any share of fresh noise
    torch.manual_seed(0)
    path, n = VariancePreserving(), 40_000
    point = torch.tensor([2.0, -1.0])
    seen = {}

    def predict(x, t):
        seen[round(t.item(), 3)] = x
        return GaussianDenoiser(point, [1e-6, 1e-6], path).predict(x, t=t)

    start = path.alpha(torch.ones(())) * point + path.sigma(torch.ones(())) * torch.randn(n, 2)
    ddim(predict, path, start, torch.tensor([1.0, 0.6, 0.3]), eta=0.7)
    for t in (0.6, 0.3):
        sigma = path.sigma(torch.tensor(t))
        off = seen[t] - path.alpha(torch.tensor(t)) * point
        assert (off.mean(dim=0).abs() < 4 * sigma / math.sqrt(n)).all()
        assert ((off.std(dim=0) / sigma - 1).abs() < 4 / math.sqrt(2 * n)).all()


def test_times_go_from_noise_to_the_least_level():
    times = spaced(VariancePreserving(levels=100), 9)
    assert times.shape == (10,)
    assert (times[0].item(), times[-1].item()) == (1.0, pytest.approx(0.01))
    with pytest.raises(ValueError, match="one step or more"):
        spaced(VariancePreserving(), 0)


@each_sampler
def test_times_that_do_not_descend_are_refused(sampler):
    path = VariancePreserving()
    model = GaussianDenoiser(MEAN, STD, path)
    for times in (
        spaced(path, 10).flip(0),
        torch.tensor([0.9, 0.5, 0.6]),
        torch.tensor([1.0, math.nan]),
    ):
        with pytest.raises(ValueError, match="the times of a sampler descend"):
            sampler(predicting(model), path, noise(path, 5), times)


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan])
def test_no_more_than_all_noise_is_drawn_anew(eta):
    path = VariancePreserving()
    model = GaussianDenoiser(MEAN, STD, path)
    with pytest.raises(ValueError, match="eta is from 0 to 1"):
        ddim(predicting(model), path, noise(path, 5), spaced(path, 10), eta=eta)


@each_sampler
@torch.no_grad()
def test_a_time_that_stands_still_changes_nothing_but_what_is_drawn_anew(sampler):
    path, x = VariancePreserving(), torch.randn(5, 2)
    model = GaussianDenoiser(MEAN, STD, path)
    torch.manual_seed(0)
    still = sampler(predicting(model), path, x, torch.tensor([1.0, 0.7, 0.7, 0.4, 0.01]))
    if sampler is ancestral:
        assert still.isfinite().all()
    else:
        plain = sampler(predicting(model), path, x, torch.tensor([1.0, 0.7, 0.4, 0.01]))
        torch.testing.assert_close(still, plain)
