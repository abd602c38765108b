import math

import pytest
import torch

from ptheta.models.diffusion.paths import (
    Cosine,
    Even,
    Straight,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
    log_noise,
)

T = torch.linspace(0.01, 1, 50, dtype=torch.float64)


def test_variance_is_preserved_exactly_or_kept_below():
    for path in (VariancePreserving(), Cosine()):
        variance = path.alpha(T).square() + path.sigma(T).square()
        torch.testing.assert_close(variance, torch.ones_like(T))
    below = SubVariancePreserving()
    torch.testing.assert_close(below.sigma(T), 1 - below.alpha(T).square())
    torch.testing.assert_close(below.alpha(T), VariancePreserving().alpha(T))


def test_a_thousand_levels_are_the_linear_schedule_of_ddpm():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    kept = (1 - betas).cumprod(dim=0)
    path = VariancePreserving()
    found = path.alpha(path.times().double()).square()
    # continuous time is the limit of the product, which is less by half the squares of the betas;
    # and a sum is off its integral by less than half its last term
    lost = betas.square().cumsum(dim=0) / 2
    torch.testing.assert_close((found / kept).log(), lost, atol=0.01, rtol=0)
    assert lost[-1] < 0.07


def test_examples_go_to_their_noise_in_a_straight_line():
    path = Straight(sigma_min=0.1)
    x, eps = torch.tensor(3.0, dtype=torch.float64), torch.tensor(-1.0, dtype=torch.float64)
    way = path.alpha(T) * x + path.sigma(T) * eps
    torch.testing.assert_close(way.diff().diff(), torch.zeros(48, dtype=torch.float64))
    assert path.alpha(torch.ones(())) == 0
    assert path.sigma(torch.ones(())) == 1
    assert path.sigma(torch.zeros(())) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "path", [VariancePreserving(levels=300), Cosine(), Straight(), VarianceExploding()], ids=repr
)
def test_even_levels_are_steps_of_one_size_in_the_log_of_the_noise(path):
    even = Even(path, levels=40)
    times = even.times().double()
    noise = log_noise(path, times)
    steps = noise.diff()
    assert (times.diff() > 0).all()
    assert times[0].item() == pytest.approx(path.times()[0].item())
    # times are kept in single precision, which at the least noise is a part of a step
    torch.testing.assert_close(steps, steps.mean().expand(39), rtol=1e-2, atol=0)
    torch.testing.assert_close(even.alpha(T), path.alpha(T))
    torch.testing.assert_close(even.sigma(T), path.sigma(T))


def test_the_log_of_the_noise_ends_where_data_are_a_hundredth():
    noise = log_noise(Straight(), torch.ones(1))
    assert noise.item() == pytest.approx(math.log(100))


@pytest.mark.parametrize(
    "make",
    [
        lambda: VariancePreserving(beta_0=2.0, beta_1=1.0),
        lambda: SubVariancePreserving(beta_0=-1.0),
        lambda: Cosine(offset=0.5),
        lambda: Straight(sigma_min=0.0),
        lambda: VariancePreserving(levels=1),
        lambda: Even(Cosine(), levels=1),
    ],
)
def test_paths_that_go_nowhere_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()
