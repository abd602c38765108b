"""Tempered transitions of small machines, against sums over all their states."""

import pytest
import torch

from ptheta.errors import PthetaError
from ptheta.inference.gibbs import BlockGibbs
from ptheta.inference.kernels import Target, run
from ptheta.inference.tempering import TemperedTransitions
from ptheta.models.energy.rbm import RBM
from ptheta.models.energy.units import BinaryUnits
from ptheta.recipes.registry import build
from ptheta.spaces import Binary

EVERY = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 4)
PLACES = torch.tensor([8.0, 4, 2, 1], dtype=torch.float64)


def test_they_leave_the_machine_invariant():
    torch.manual_seed(0)
    machine = RBM(BinaryUnits((4,)), 3).double()
    with torch.no_grad():
        for parameter in machine.parameters():
            parameter.add_(1.5 * torch.randn_like(parameter))
    probabilities = machine.unnormalized_log_prob(EVERY).softmax(dim=0).detach()
    n = 200_000
    start = EVERY[torch.multinomial(probabilities, n, replacement=True)]
    kernel, target = TemperedTransitions([0.7, 0.3, 0.0]), Target(machine)
    state = kernel.step(target, kernel.init(target, start))
    # a rule that took all, or none, would be no test
    assert 0.1 < state.acceptance < 0.9
    assert (state.x != start).any(dim=1).double().mean() > 0.2
    found = (state.x @ PLACES).long().bincount(minlength=16) / n
    error = (probabilities * (1 - probabilities) / n).sqrt()
    assert ((found - probabilities).abs() < 4.5 * error).all()


def test_they_leave_a_mode_that_sweeps_do_not():
    torch.manual_seed(0)
    # all units on or all off, and both alike: 8 visible units in the field of 4 hidden ones
    machine = RBM(BinaryUnits((8,)), 4)
    with torch.no_grad():
        machine.weight.fill_(3.0)
        machine.visible.bias.fill_(-6.0)
        machine.hidden_bias.fill_(-12.0)
    machine.requires_grad_(False)
    target, start = Target(machine), torch.zeros(2000, 8)
    betas = torch.linspace(1.0, 0.0, 11)[1:].tolist()
    shares = []
    for kernel, steps in ((BlockGibbs(), 20 * 10), (TemperedTransitions(betas), 10)):
        state = run(kernel, target, kernel.init(target, start), steps)
        shares.append((state.x.mean(dim=1) > 0.5).double().mean().item())
    assert shares[0] < 0.1
    assert shares[1] == pytest.approx(0.5, abs=0.1)


def test_a_machine_learns_with_them_and_contrastive_divergence_has_no_use_for_them():
    algorithm = build("rbm", Binary((4,)), settings={"tempering": 3})
    assert isinstance(algorithm.learner.objective.kernel, TemperedTransitions)
    with pytest.raises(PthetaError, match="chains that live on: leave out tempering or obj"):
        build("rbm", Binary((4,)), settings={"tempering": 3, "objective": "cd"})


@pytest.mark.parametrize("betas", [[], [0.2, 0.9], [1.0, 0.5], [0.5, -1.0]])
def test_levels_out_of_order_are_refused(betas):
    with pytest.raises(ValueError, match="betas that descend from below 1"):
        TemperedTransitions(betas)
