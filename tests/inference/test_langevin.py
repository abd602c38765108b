import math

import pytest
import torch

from ptheta.inference.kernels import run, value_and_score
from ptheta.inference.langevin import MALA, ULA

STD = torch.tensor([0.5, 2.0])
MEAN = torch.tensor([1.0, -2.0])
CHAINS = 40_000


def log_prob(x):
    return -((x - MEAN) / STD).square().sum(dim=1) / 2


def run_from_the_target(kernel, steps):
    torch.manual_seed(0)
    start = MEAN + STD * torch.randn(CHAINS, 2)
    return run(kernel, log_prob, kernel.init(log_prob, start), steps)


def assert_moments(x, variance):
    # chains are independent: 4 standard errors of a mean and of a variance of 40,000
    assert ((x.mean(dim=0) - MEAN).abs() < 4 * (variance / CHAINS).sqrt()).all()
    assert ((x.var(dim=0) / variance - 1).abs() < 4 * math.sqrt(2 / CHAINS)).all()


@pytest.mark.parametrize("step_size", [0.05, 0.4])
def test_mala_leaves_a_gaussian_as_it_is(step_size):
    state = run_from_the_target(MALA(step_size), 30)
    assert_moments(state.x, STD**2)
    assert 0.1 < state.acceptance < 0.999


def test_ula_has_the_bias_that_theory_gives():
    h = 0.1
    state = run_from_the_target(ULA(h), 400)
    biased = STD**2 / (1 - h / (2 * STD**2))
    assert biased[0] / STD[0] ** 2 > 1.2  # far beyond the bound of the test
    assert_moments(state.x, biased)


def test_mala_finds_the_target_from_afar():
    torch.manual_seed(0)
    kernel = MALA(0.2)
    state = run(kernel, log_prob, kernel.init(log_prob, torch.full((CHAINS, 2), 5.0)), 200)
    assert_moments(state.x, STD**2)


def test_mala_tunes_its_step_to_the_acceptance_asked_for():
    torch.manual_seed(0)
    kernel = MALA(1e-3, target=0.7)
    state = run(kernel, log_prob, kernel.init(log_prob, MEAN + STD * torch.randn(2000, 2)), 500)
    assert abs(state.acceptance - 0.7) < 0.05
    assert state.step_size > 0.05


def test_settled_mala_keeps_its_step():
    kernel = MALA(0.1, target=0.574).settled()
    state = run_from_the_target(kernel, 5)
    assert state.step_size == pytest.approx(0.1)
    assert ULA(0.1).settled() == ULA(0.1)


def test_mala_refuses_what_has_no_density():
    def inside(x):
        return torch.where(x.abs() < 1, torch.zeros_like(x), math.nan * x).sum(dim=1)

    torch.manual_seed(0)
    kernel = MALA(0.5)
    state = run(kernel, inside, kernel.init(inside, torch.zeros(500, 1)), 20)
    assert (state.x.abs() < 1).all()


@pytest.mark.parametrize("kernel", [ULA(0.01), MALA(0.01)])
def test_chains_of_any_shape(kernel):
    def images(x):
        return -x.square().flatten(1).sum(dim=1)

    state = run(kernel, images, kernel.init(images, torch.zeros(3, 1, 4, 4)), 2)
    assert state.x.shape == (3, 1, 4, 4)
    assert state.log_prob.shape == (3,)


def test_value_and_score_work_where_gradients_are_off():
    with torch.no_grad():
        value, score = value_and_score(log_prob, MEAN.expand(2, 2) + STD)
    torch.testing.assert_close(value, torch.full((2,), -1.0))
    torch.testing.assert_close(score, (-1 / STD).expand(2, 2))
    assert not value.requires_grad
    assert not score.requires_grad
