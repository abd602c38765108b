"""Energies of codes, against sums over all states."""

import pytest
import torch
from torch import nn

from ptheta.models.energy.discrete import DiscreteEnergy
from ptheta.models.energy.units import BinaryUnits, CategoricalUnits

CASES = [
    pytest.param(lambda: BinaryUnits((2, 2)), 2, id="binary"),
    pytest.param(lambda: CategoricalUnits((4,), 3), 3, id="categories"),
]


def fitted(units, network):
    torch.manual_seed(0)
    energy = DiscreteEnergy(units, network(units.statistics_features)).double()
    codes = 2 if isinstance(units, BinaryUnits) else units.categories
    energy.initialize(torch.randint(codes, (20, *units.shape)))
    with torch.no_grad():
        units.bias.add_(torch.randn_like(units.bias))
    return energy


def states(units, codes):
    return torch.cartesian_prod(*[torch.arange(codes)] * 4).reshape(-1, *units.shape)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("make", "codes"), CASES)
def test_the_first_order_is_exact_where_the_tilt_is_linear(make, codes, beta):
    units = make()
    energy = fitted(units, lambda features: nn.Linear(features, 1))
    x, at = states(units, codes), energy.tempered(beta)
    value, changes = at.first_order(x)
    torch.testing.assert_close(value, at.unnormalized_log_prob(x).detach())
    for i in range(4):
        for code in range(codes):
            moved = x.flatten(1).clone()
            moved[:, i] = code
            expected = at.unnormalized_log_prob(moved.view_as(x)) - value
            torch.testing.assert_close(changes[:, i, code], expected.detach())
    assert not changes.requires_grad


@pytest.mark.parametrize(("make", "codes"), CASES)
def test_the_first_order_is_the_slope_of_the_network(make, codes):
    units = make()

    def network(features):
        return nn.Sequential(nn.Linear(features, 8), nn.Tanh(), nn.Linear(8, 1))

    energy = fitted(units, network)
    x = states(units, codes)[:7]
    at = units.statistics(x).requires_grad_()
    value = at @ units.bias + energy.tilt(at)
    (slope,) = torch.autograd.grad(value.sum(), at)
    _, changes = energy.first_order(x)
    for i in range(4):
        for code in range(codes):
            moved = x.flatten(1).clone()
            moved[:, i] = code
            step = units.statistics(moved.view_as(x)) - at
            torch.testing.assert_close(changes[:, i, code], (slope * step).sum(dim=1).detach())


@pytest.mark.parametrize(("make", "codes"), CASES)
def test_annealing_begins_at_values_as_they_were_fitted(make, codes):
    units = make()
    energy = fitted(units, lambda features: nn.Linear(features, 1))
    x, at = states(units, codes), energy.tempered(0.0)
    log_prob = at.unnormalized_log_prob(x)
    torch.testing.assert_close(log_prob.logsumexp(dim=0), at.log_partition_at_start())
    probabilities = (log_prob - at.log_partition_at_start()).exp().detach()
    n = 100_000
    drawn = at.start(n).flatten(1).long()
    found = (drawn * codes ** torch.arange(3, -1, -1)).sum(dim=1).bincount(minlength=len(x)) / n
    error = (probabilities * (1 - probabilities) / n).sqrt()
    assert ((found - probabilities).abs() < 4.5 * error + 4.5 / n).all()
