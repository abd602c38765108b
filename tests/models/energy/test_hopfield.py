"""Memories: energy never rises, cues find their patterns, and so many can be stored."""

import math

import pytest
import torch

from ptheta.models.energy.hopfield import HopfieldMemory, ModernHopfieldMemory


def patterns(count, values):
    return torch.randint(0, 2, (count, values)).float() * 2 - 1


def corrupted(x, share):
    return torch.where(torch.rand_like(x) < share, -x, x)


def test_a_sweep_never_raises_the_energy_and_ends_at_rest():
    torch.manual_seed(0)
    memory, cue = HopfieldMemory(patterns(8, 40)), patterns(50, 40)
    energies = [-memory.unnormalized_log_prob(memory.recall(cue, sweeps=k)) for k in range(6)]
    for before, after in zip(energies, energies[1:], strict=False):
        assert (after <= before + 1e-5).all()
    rest = memory.recall(cue, sweeps=100)
    assert torch.equal(memory.recall(rest, sweeps=1), rest)


def test_steps_of_the_modern_memory_never_raise_its_energy():
    torch.manual_seed(0)
    memory, cue = ModernHopfieldMemory(torch.randn(30, 10), beta=2.0), 3 * torch.randn(50, 10)
    energies = [-memory.unnormalized_log_prob(memory.recall(cue, steps=k)) for k in range(8)]
    for before, after in zip(energies, energies[1:], strict=False):
        assert (after <= before + 1e-4).all()


def recalled(memory_of, count, values):
    """The share of values that are right after recall from cues of which a tenth is wrong."""
    stored = patterns(count, values)
    found = memory_of(stored).recall(corrupted(stored, 0.1)).sign()
    return (found == stored).float().mean().item()


def test_recall_breaks_down_beyond_a_seventh_of_a_pattern_a_value():
    torch.manual_seed(0)
    curve = {load: recalled(HopfieldMemory, int(load * 400), 400) for load in (0.05, 0.1, 0.2, 0.4)}
    # well under 0.138 patterns a value all but a few per cent of the values come back
    assert curve[0.05] > 0.999
    assert curve[0.1] > 0.98
    # beyond, states drift off, and no longer even keep the nine tenths that were right
    assert curve[0.2] < 0.9
    assert curve[0.4] < curve[0.2]


def test_the_modern_memory_recalls_many_times_as_many_patterns_as_values():
    torch.manual_seed(0)
    assert recalled(lambda x: ModernHopfieldMemory(x, beta=1.0), 1000, 50) > 0.99


def test_what_are_no_patterns_is_refused():
    with pytest.raises(ValueError, match="patterns are rows of -1 and 1"):
        HopfieldMemory(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"patterns are rows, got shape \(3,\)"):
        HopfieldMemory(torch.ones(3))


def test_a_modern_memory_needs_a_matrix_and_a_temperature():
    with pytest.raises(ValueError, match=r"patterns are rows, got shape \(3,\)"):
        ModernHopfieldMemory(torch.ones(3))
    for beta in (0.0, math.inf):
        with pytest.raises(ValueError, match="beta must be above 0 and finite"):
            ModernHopfieldMemory(torch.ones(3, 2), beta=beta)


@pytest.mark.parametrize("kind", [HopfieldMemory, ModernHopfieldMemory])
def test_what_is_no_row_of_the_memory_is_refused(kind):
    memory = kind(torch.tensor([[1, 1, -1, -1, 1]]))
    for wrong in (torch.ones(2, 4), torch.ones(5)):
        with pytest.raises(ValueError, match="cues are rows of 5 values, got shape"):
            memory.recall(wrong)
        with pytest.raises(ValueError, match="states are rows of 5 values, got shape"):
            memory.unnormalized_log_prob(wrong)
    with pytest.raises(ValueError, match="cues hold values that are missing"):
        memory.recall(torch.full((1, 5), math.nan))
    with pytest.raises(ValueError, match="patterns are rows, got shape"):
        kind(torch.ones(0, 5))
    # whole numbers are numbers
    rest = memory.recall(torch.tensor([[1, -1, -1, -1, 1]]))
    torch.testing.assert_close(rest, torch.tensor([[1.0, 1.0, -1.0, -1.0, 1.0]]))


def test_bits_are_no_cue_of_a_memory_of_signs():
    memory = HopfieldMemory(torch.tensor([[1.0, 1.0, -1.0]]))
    with pytest.raises(ValueError, match="cues are rows of -1 and 1"):
        memory.recall(torch.tensor([[1.0, 0.0, 0.0]]))
