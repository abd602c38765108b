"""Annealed importance sampling against constants that are known."""

import math

import pytest
import torch

from ptheta.inference.gibbs import BlockGibbs
from ptheta.inference.importance import LogRatio, annealed_importance
from ptheta.inference.kernels import Target
from ptheta.inference.langevin import MALA
from ptheta.models.energy.rbm import RBM, TemperedRBM
from ptheta.models.energy.units import BinaryUnits, CategoricalUnits, GaussianUnits
from ptheta.random import seeded

UNITS = {
    "binary": lambda: BinaryUnits((20,)),
    "categorical": lambda: CategoricalUnits((6,), 3),
    "gaussian": lambda: GaussianUnits((4,)),
}


def stirred(kind):
    with seeded(0), torch.no_grad():
        rbm = RBM(UNITS[kind](), 6).double()
        for parameter in rbm.parameters():
            parameter.add_(0.7 * torch.randn_like(parameter))
    return rbm


def target_at(rbm):
    return lambda beta: Target(TemperedRBM(rbm, beta))


BETAS = torch.linspace(0, 1, 201).tolist()


@pytest.mark.parametrize("kind", UNITS)
@torch.no_grad()
def test_the_constant_of_a_machine_is_within_its_error_and_is_bracketed(kind):
    torch.manual_seed(0)
    rbm = stirred(kind)
    exact = rbm.log_partition().item()
    start = TemperedRBM(rbm, 0.0)
    log_z = start.log_partition_at_start().item()
    up = annealed_importance(target_at(rbm), BlockGibbs(), start.start(1000), BETAS)
    assert 0 < up.error < 0.1
    assert abs(log_z + up.value - exact) < 4 * up.error
    # backwards from draws of the machine itself, by long chains
    x = start.start(1000)
    for _ in range(500):
        x = rbm.gibbs(x)
    down = annealed_importance(target_at(rbm), BlockGibbs(), x, BETAS[::-1])
    spread = [r.log_weights.std().item() / 1000**0.5 for r in (up, down)]
    # the means of logs bound the constant from below and from above
    assert log_z + up.log_weights.mean().item() < exact + 4 * spread[0]
    assert log_z - down.log_weights.mean().item() > exact - 4 * spread[1]
    assert abs(log_z - down.value - exact) < 4 * down.error


@torch.no_grad()
def test_the_first_density_has_the_constant_that_is_said():
    rbm = RBM(BinaryUnits((4,)), 3).double()
    for parameter in rbm.parameters():
        parameter.add_(torch.randn_like(parameter))
    rbm.visible.fitted.copy_(torch.randn(4))
    start = TemperedRBM(rbm, 0.0)
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 4)
    total = start.unnormalized_log_prob(every).logsumexp(dim=0)
    torch.testing.assert_close(start.log_partition_at_start(), total)


def test_langevin_chains_anneal_between_gaussians():
    torch.manual_seed(0)
    narrow = 0.5

    def between(beta):
        precision = (1 - beta) + beta / narrow**2
        return lambda x: -precision * x.square().sum(dim=1) / 2

    found = annealed_importance(between, MALA(0.1), torch.randn(4000, 2), BETAS[::2])
    assert abs(found.value - 2 * math.log(narrow)) < 4 * found.error


def test_equal_weights_have_no_error_and_one_beta_is_refused():
    ratio = LogRatio(torch.full((10,), 3.0))
    assert ratio.value == pytest.approx(3.0)
    assert ratio.error == pytest.approx(0.0)
    with pytest.raises(ValueError, match="from one beta to another, and got 1"):
        annealed_importance(lambda beta: None, MALA(0.1), torch.zeros(1, 1), [0.0])


@pytest.mark.slow
@torch.no_grad()
def test_the_constant_of_a_machine_of_the_size_of_mnist_is_within_its_error():
    torch.manual_seed(0)
    rbm = RBM(BinaryUnits((784,)), 15).double()
    rbm.weight.mul_(10)
    rbm.visible.bias.uniform_(-2, 0)
    rbm.visible.fitted.copy_(rbm.visible.bias)
    start = TemperedRBM(rbm, 0.0)
    betas = torch.linspace(0, 1, 1001).tolist()
    found = annealed_importance(target_at(rbm), BlockGibbs(), start.start(200), betas)
    log_z = start.log_partition_at_start().item() + found.value
    assert found.error < 0.2
    assert abs(log_z - rbm.log_partition().item()) < 4 * found.error


@pytest.mark.parametrize("betas", [[0.0, math.nan], [0.0, 1.5], [-0.5, 1.0]])
def test_betas_are_from_zero_to_one(betas):
    rbm = stirred("binary")
    with pytest.raises(ValueError, match="betas are from 0"):
        annealed_importance(target_at(rbm), BlockGibbs(), rbm.start(3), betas)


def test_annealing_takes_a_chain_at_least():
    rbm = stirred("binary")
    with pytest.raises(ValueError, match="expected a chain at least"):
        annealed_importance(target_at(rbm), BlockGibbs(), rbm.start(0), BETAS)


def test_betas_do_not_turn_back():
    rbm = stirred("binary")
    with pytest.raises(ValueError, match="these turn back"):
        annealed_importance(target_at(rbm), BlockGibbs(), rbm.start(3), [0.0, 0.9, 0.2, 1.0])


def test_one_chain_does_not_tell_its_error():
    assert LogRatio(torch.zeros(1)).error == math.inf
