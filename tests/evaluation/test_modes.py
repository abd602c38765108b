"""Modes covered, counted by hand."""

import torch

from ptheta.data.dataset import Truth
from ptheta.evaluation.modes import modes_covered

CENTRES = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
TRUTH = Truth(lambda x: x.sum(dim=1), 0.0, CENTRES, mode_radius=1.0)


def test_modes_and_strays_are_counted() -> None:
    # 40 + 40 + 16 near three modes, 1 near the last, 3 near none
    near = torch.cat([CENTRES[i].repeat(n, 1) for i, n in enumerate((40, 40, 16, 1))])
    samples = torch.cat([near + 0.5, torch.full((3, 2), 5.0)])
    found = modes_covered(samples, TRUTH)
    assert found is not None
    # a fifth of an equal share is 5 of 100 samples: one stray does not cover the fourth mode
    assert (found.covered.value, found.of) == (3, 4)
    assert found.near.value == 0.97
    assert found.covered.low == found.covered.high == 3


def test_a_mode_on_the_edge_of_coverage_widens_the_interval() -> None:
    samples = torch.cat([CENTRES[i].repeat(n, 1) for i, n in enumerate((30, 30, 35, 5))])
    found = modes_covered(samples, TRUTH)
    assert found is not None
    assert (found.covered.low, found.covered.high) == (3, 4)


def test_without_known_modes_there_is_no_count() -> None:
    assert modes_covered(torch.zeros(5, 2), Truth(lambda x: x.sum(dim=1), 0.0)) is None
