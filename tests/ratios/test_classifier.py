"""The classifier two-sample test: chance where nothing differs, power where something does."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ptheta.ratios.classifier import classifier_test


def normal(n: int, features: int, seed: int) -> Tensor:
    return torch.randn(n, features, generator=torch.Generator().manual_seed(seed))


def test_chance_and_level_where_the_samples_are_alike() -> None:
    found = [
        classifier_test(normal(50, 2, 2 * s), normal(50, 2, 2 * s + 1), seed=s) for s in range(25)
    ]
    accuracy = np.array([f.accuracy for f in found])
    # the spread of one accuracy is at most sqrt(2) times the binomial's 0.05
    assert accuracy.mean() == pytest.approx(0.5, abs=4 * 0.0707 / math.sqrt(25))
    # 25 tests at level 0.05: Binomial(25, 0.05) passes 5 with probability 1e-3
    assert sum(f.p_value <= 0.05 for f in found) <= 5
    assert sum(f.low <= 0.5 <= f.high for f in found) >= 20


@pytest.mark.slow
def test_level_over_many_samples() -> None:
    p = np.array(
        [
            classifier_test(normal(100, 3, 2 * s), normal(100, 3, 2 * s + 1), seed=s).p_value
            for s in range(200)
        ]
    )
    # Binomial(200, 0.05): sd 0.0154, four of them
    assert (p <= 0.05).mean() <= 0.05 + 4 * 0.0154


def test_finds_what_only_a_combination_shows() -> None:
    x, y = normal(300, 2, 0), normal(300, 2, 1)
    # a correlation of 0.9 leaves each column as it was
    y[:, 1] = 0.9 * y[:, 0] + math.sqrt(1 - 0.81) * y[:, 1]
    found = classifier_test(x, y)
    assert found.p_value < 0.001
    assert found.low > 0.5


def test_finds_what_only_one_value_shows() -> None:
    x, y = normal(300, 20, 0), normal(300, 20, 1)
    y[:, 7] = y[:, 7].round(decimals=0)
    found = classifier_test(x, y)
    # every value of one column is a whole number: trees see it, a smooth network does not
    assert found.accuracy > 0.6


def test_the_bayes_accuracy_of_a_shift_is_not_passed() -> None:
    # N(0, 1) and N(2, 1) are told apart with probability Phi(1) = 0.841 at best
    found = classifier_test(normal(500, 1, 0), normal(500, 1, 1) + 2)
    bayes = 0.5 * (1 + math.erf(1 / math.sqrt(2)))
    # 1000 rows, counted as 500: sd 0.0164
    assert found.accuracy == pytest.approx(bayes, abs=0.05)
    assert found.low < bayes < found.high + 0.02


def test_the_same_seed_gives_the_same_figure() -> None:
    x, y = normal(60, 2, 0), normal(80, 2, 1)
    assert classifier_test(x, y, seed=5) == classifier_test(x, y, seed=5)


def test_unequal_lengths_leave_chance_at_one_half() -> None:
    # a classifier that always names the longer sample would be right 10 times in 11
    found = classifier_test(normal(40, 2, 0), normal(400, 2, 1))
    assert found.accuracy < 0.75


def test_shapes_and_values_are_checked() -> None:
    with pytest.raises(ValueError, match="at least 5 rows"):
        classifier_test(torch.zeros(4, 1), torch.zeros(9, 1))
    with pytest.raises(ValueError, match="not finite"):
        classifier_test(torch.full((9, 1), math.nan), torch.zeros(9, 1))
