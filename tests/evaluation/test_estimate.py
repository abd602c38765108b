"""Figures with their intervals."""

import math

import pytest
import torch

from ptheta.evaluation.estimate import Estimate, mean_of, share_of


def test_mean_has_the_normal_interval() -> None:
    found = mean_of(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    error = math.sqrt(5 / 3) / 2
    assert found.value == 2.5
    assert found.low == pytest.approx(2.5 - 1.96 * error)
    assert found.high == pytest.approx(2.5 + 1.96 * error)


def test_one_value_says_nothing_of_its_error() -> None:
    assert mean_of(torch.tensor([3.0])) == Estimate(3.0, -math.inf, math.inf)


def test_share_has_the_wilson_interval() -> None:
    found = share_of(torch.tensor([True] * 8 + [False] * 2))
    z = 1.959964
    centre = (0.8 + z**2 / 20) / (1 + z**2 / 10)
    half = z / (1 + z**2 / 10) * math.sqrt(0.8 * 0.2 / 10 + z**2 / 400)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-6)
    # none of ten does not mean never
    assert share_of(torch.zeros(10, dtype=torch.bool)).high > 0.2


def test_a_negative_factor_swaps_the_ends() -> None:
    assert Estimate(1.0, 0.0, 3.0).scaled(-2) == Estimate(-2.0, -6.0, 0.0)
