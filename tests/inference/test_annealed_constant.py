"""Machines whose constant is estimated, against sums over all states."""

import math

import pytest
import torch

from ptheta.inference.annealed_constant import AnnealedConstant, DeepWithGibbs, MachineWithGibbs
from ptheta.models.energy.dbm import DBM
from ptheta.models.energy.rbm import RBM
from ptheta.models.energy.units import BinaryUnits
from ptheta.random import seeded

EVERY = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 8)


def stirred(model):
    with seeded(0), torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.7 * torch.randn_like(parameter))
    return model


def test_the_constant_is_within_its_error_of_the_sum():
    machine = stirred(RBM(BinaryUnits((8,)), 5))
    constant = AnnealedConstant(temperatures=300)
    error = constant.error(machine)
    assert 0 < error < 0.2
    assert abs(constant.of(machine) - machine.log_partition()) < 4 * error


def test_the_constant_is_of_the_weights_as_they_are_and_leaves_the_caller_his_noise():
    machine = stirred(RBM(BinaryUnits((8,)), 5))
    constant = AnnealedConstant(temperatures=50)
    state = torch.get_rng_state()
    first = constant.of(machine)
    assert torch.equal(torch.get_rng_state(), state)
    assert constant.of(machine) == first
    with torch.no_grad():
        machine.visible.bias.add_(1.0)
    second = constant.of(machine)
    assert second > first  # every state weighs more, or as much
    assert AnnealedConstant(temperatures=50).of(machine) == second
    # an estimate of the same machine in other digits
    assert constant.of(machine.double()).dtype == torch.float64


def test_probabilities_of_all_states_sum_to_one():
    machine = stirred(RBM(BinaryUnits((8,)), 5))
    constant = AnnealedConstant(temperatures=300)
    model = MachineWithGibbs(machine, constant)
    total = model.log_prob_estimate(EVERY).logsumexp(dim=0).item()
    assert abs(total) < 4 * constant.error(machine)


def test_those_of_a_bound_sum_to_less():
    torch.manual_seed(0)
    dbm = stirred(DBM(BinaryUnits((8,)), (5, 4)))
    constant = AnnealedConstant(temperatures=300)
    total = DeepWithGibbs(dbm, constant).log_prob_estimate(EVERY).logsumexp(dim=0).item()
    exact = dbm.unnormalized_elbo(EVERY).logsumexp(dim=0) - dbm.machine.log_partition()
    assert exact < 0
    assert total == pytest.approx(exact.item(), abs=4 * constant.error(dbm.machine))


def test_too_few_temperatures_weigh_a_machine_too_light():
    torch.manual_seed(0)
    machine = stirred(RBM(BinaryUnits((8,)), 5))
    with torch.no_grad():
        machine.weight.mul_(4)
    exact = machine.log_partition().item()
    at_once = [AnnealedConstant(temperatures=1, chains=5).of(machine).item()]
    with torch.no_grad():
        for _ in range(40):  # the same machine under other names, for other noise
            order = torch.randperm(8)
            machine.weight.copy_(machine.weight[:, order])
            machine.visible.bias.copy_(machine.visible.bias[order])
            machine.visible.fitted.copy_(machine.visible.fitted[order])
            at_once.append(AnnealedConstant(temperatures=1, chains=5).of(machine).item())
    found = torch.tensor(at_once)
    assert found.mean() < exact - 4 * found.std() / math.sqrt(len(found))
