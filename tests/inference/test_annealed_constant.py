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


def test_the_constant_is_bracketed_from_both_ends():
    machine = stirred(RBM(BinaryUnits((8,)), 5))
    model = MachineWithGibbs(machine, AnnealedConstant(temperatures=300), steps=50)
    found = model.log_partition_bracket()
    exact = machine.log_partition().item()
    assert found.low == model.constant.of(machine)
    assert found.low - 4 * found.low_error < exact < found.high + 4 * found.high_error
    assert abs(found.high - exact) < 4 * found.high_error


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


def test_too_few_temperatures_weigh_a_machine_too_light_and_too_heavy_backwards():
    torch.manual_seed(0)
    machine = stirred(RBM(BinaryUnits((8,)), 5))
    with torch.no_grad():
        machine.weight.mul_(2)
    exact = machine.log_partition().item()
    lows, highs = [], []
    for _ in range(160):  # the same machine under other names, for other noise
        order = torch.randperm(8)
        with torch.no_grad():
            machine.weight.copy_(machine.weight[:, order])
            machine.visible.bias.copy_(machine.visible.bias[order])
            machine.visible.fitted.copy_(machine.visible.fitted[order])
        found = AnnealedConstant(temperatures=1, chains=5).bracket(machine, steps=100)
        lows.append(found.low)
        highs.append(found.high)
    low, high = torch.tensor(lows), torch.tensor(highs)
    assert low.mean() < exact - 4 * low.std() / math.sqrt(len(low))
    assert high.mean() > exact + 4 * high.std() / math.sqrt(len(high))


def test_the_constant_of_a_deep_machine_is_bracketed_too():
    torch.manual_seed(0)
    dbm = stirred(DBM(BinaryUnits((8,)), (5, 4)))
    model = DeepWithGibbs(dbm, AnnealedConstant(temperatures=300), steps=500)
    found, exact = model.log_partition_bracket(), dbm.machine.log_partition().item()
    assert abs(found.low - exact) < 4 * found.low_error
    assert abs(found.high - exact) < 4 * found.high_error
