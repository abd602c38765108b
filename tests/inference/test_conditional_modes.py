"""Climbs by conditional modes: never down, and to where no single change improves."""

import pytest
import torch
from grids import evidence, stirred

from ptheta.inference.conditional_modes import iterated_conditional_modes
from ptheta.inference.conditionals import SupportsBlocks
from ptheta.inference.kernels import Target
from ptheta.models.energy.pairwise import PairwiseField

CASES = pytest.mark.parametrize(
    ("shape", "states"), [((5, 6), 2), ((4, 7), 3), ((1, 6, 5), 3), ((1, 9), 2)], ids=str
)


def case(shape, states, rows=40):
    torch.manual_seed(0)
    target = Target(stirred(shape, states, scale=1.5), evidence(rows, shape, states))
    return target, torch.randint(0, states, (rows, *shape), dtype=torch.uint8)


def log_probs_of_single_changes(target, x, states):
    """log p~ of each grid with one site changed, with shape (batch, changes)."""
    found = []
    for site in range(x[0].numel()):
        for state in range(states):
            other = x.flatten(1).clone()
            other[:, site] = state
            found.append(target(other.reshape(x.shape)))
    return torch.stack(found, dim=1)


@CASES
@torch.no_grad()
def test_no_sweep_lowers_the_log_density(shape, states):
    target, x = case(shape, states)
    values = [target(x)]
    for _ in range(12):
        x = iterated_conditional_modes(target, x, sweeps=1).x
        values.append(target(x))
    steps = torch.stack(values).diff(dim=0)
    # sums of some 60 terms in float64
    assert (steps > -1e-12).all()
    assert (steps[0] > 1).any()


@CASES
@torch.no_grad()
def test_it_ends_where_no_single_change_improves(shape, states):
    target, x = case(shape, states)
    found = iterated_conditional_modes(target, x)
    assert found.settled.all()
    assert found.x.dtype == torch.uint8
    best = log_probs_of_single_changes(target, found.x, states).max(dim=1).values
    assert (best <= target(found.x) + 1e-12).all()
    # where it starts, single changes do improve
    assert (log_probs_of_single_changes(target, x, states).max(dim=1).values > target(x)).any()


def test_a_value_between_equal_states_stays():
    x = torch.randint(0, 3, (5, 4, 4))
    found = iterated_conditional_modes(Target(PairwiseField((4, 4), 3)), x)
    assert torch.equal(found.x, x)
    assert found.settled.all()


def test_a_climb_cut_short_says_so():
    target, x = case((5, 6), 2)
    assert not iterated_conditional_modes(target, x, sweeps=1).settled.all()


def test_it_asks_for_blocks_and_conditionals():
    assert isinstance(PairwiseField((2, 2)), SupportsBlocks)
    assert not isinstance(torch.nn.Identity(), SupportsBlocks)


def test_no_sweep_is_refused():
    target, x = case((5, 6), 2)
    with pytest.raises(ValueError, match="expected one sweep or more, got 0"):
        iterated_conditional_modes(target, x, sweeps=0)
