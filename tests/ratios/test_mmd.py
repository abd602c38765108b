"""The maximum mean discrepancy: unbiased, the same in blocks, and a test of the level it states."""

import math

import pytest
import torch
from torch import Tensor

from ptheta.ratios.mmd import median_bandwidths, mmd, mmd_test


def normal(n: int, features: int, seed: int, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, features, generator=generator) + shift


def by_definition(x: Tensor, y: Tensor, bandwidths: list[float]) -> float:
    z = torch.cat([x, y]).double()
    squares = (z[:, None] - z).square().sum(dim=2)
    kernel = sum(torch.exp(-squares / (2 * b * b)) for b in bandwidths) / len(bandwidths)
    n, m = len(x), len(y)
    within_x = (kernel[:n, :n].sum() - n) / (n * (n - 1))
    within_y = (kernel[n:, n:].sum() - m) / (m * (m - 1))
    return (within_x + within_y - 2 * kernel[:n, n:].mean()).item()


@pytest.mark.parametrize(("n", "m"), [(2, 3), (256, 255), (300, 700), (513, 1300)])
@pytest.mark.parametrize("bandwidths", [[0.5, 1.0, 2.0], [1.3], [0.7, 1.9, 4.0]])
def test_blocks_equal_the_definition(n: int, m: int, bandwidths: list[float]) -> None:
    x, y = normal(n, 3, 0), normal(m, 3, 1, 0.3)
    # float32 kernels, sums in float64: the error of a mean of n*m of them
    assert mmd(x, y, bandwidths=bandwidths).item() == pytest.approx(
        by_definition(x, y, bandwidths), abs=2e-7
    )


def test_far_from_the_origin_keeps_its_digits() -> None:
    x, y = normal(200, 2, 0).double() + 1e5, normal(200, 2, 1, 0.3).double() + 1e5
    near = mmd(x - 1e5, y - 1e5, bandwidths=[1.0]).item()
    assert mmd(x, y, bandwidths=[1.0]).item() == pytest.approx(near, abs=1e-7)


def test_mean_is_zero_where_the_distributions_are_equal() -> None:
    draws = torch.tensor(
        [
            mmd(normal(40, 2, 2 * s), normal(60, 2, 2 * s + 1), bandwidths=[1.0]).item()
            for s in range(400)
        ]
    )
    z = draws.mean() / (draws.std() / math.sqrt(len(draws)))
    assert abs(z) < 4  # 400 draws; four standard errors of their mean
    assert (draws < 0).any()  # a biased estimate never falls below zero


def test_closed_form_of_two_gaussians() -> None:
    # for N(0, 1), N(d, 1) and bandwidth b, with s = b^2 + 2:
    # MMD^2 = 2 b / sqrt(s) (1 - exp(-d^2 / (2 s)))
    shift, bandwidth = 1.0, 1.0
    s = bandwidth**2 + 2
    truth = 2 * bandwidth / math.sqrt(s) * (1 - math.exp(-(shift**2) / (2 * s)))
    draws = torch.tensor(
        [
            mmd(
                normal(200, 1, 2 * i), normal(200, 1, 2 * i + 1, shift), bandwidths=[bandwidth]
            ).item()
            for i in range(200)
        ]
    )
    z = (draws.mean() - truth) / (draws.std() / math.sqrt(len(draws)))
    assert abs(z) < 4  # 200 draws


def test_bandwidths_are_about_the_median_distance() -> None:
    x, y = torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0]])
    # distances 1, 2, 3
    assert median_bandwidths(x, y, factors=[1.0, 2.0]) == [2.0, 4.0]
    same = torch.zeros(5, 1)
    assert median_bandwidths(same, same, factors=[1.0]) == [1.0]
    assert median_bandwidths(same, torch.full((1, 1), 7.0), factors=[1.0]) == [7.0]


def test_the_permutation_test_keeps_its_level() -> None:
    # 300 tests at level 0.1 reject Binomial(300, 0.1): sd 0.0173, four of them 0.069
    p = torch.tensor(
        [
            mmd_test(normal(20, 2, 2 * s), normal(30, 2, 2 * s + 1), 99, seed=s).p_value
            for s in range(300)
        ]
    )
    assert (p <= 0.1).double().mean().item() == pytest.approx(0.1, abs=0.069)
    assert (p <= 0.5).double().mean().item() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(300))


def test_the_permutation_test_finds_a_shift_and_a_change_of_shape() -> None:
    x = normal(200, 2, 0)
    assert mmd_test(x, normal(200, 2, 1, 0.5)).p_value == 1 / 201
    # the same mean and variances, another correlation
    turned = normal(200, 2, 1) @ torch.tensor([[1.0, 0.0], [0.9, math.sqrt(1 - 0.81)]]).T
    assert mmd_test(x, turned).p_value == 1 / 201


def test_the_test_statistic_is_the_estimate() -> None:
    x, y = normal(50, 3, 0), normal(70, 3, 1, 0.2)
    assert mmd_test(x, y, 10).statistic == pytest.approx(mmd(x, y).item(), abs=1e-6)


def test_equal_rows_are_never_told_apart() -> None:
    assert mmd_test(torch.zeros(20, 2), torch.zeros(20, 2)).p_value == 1.0


def test_the_test_takes_no_more_rows_than_asked() -> None:
    x, y = normal(500, 2, 0), normal(500, 2, 1)
    found = mmd_test(x, y, 50, seed=3, rows=30)
    assert found == mmd_test(x, y, 50, seed=3, rows=30)
    assert found.statistic != mmd_test(x, y, 50, seed=4, rows=30).statistic


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 4)),
        (torch.zeros(1, 2), torch.zeros(3, 2)),
        (torch.zeros(3), torch.zeros(3)),
    ],
)
def test_shapes_are_checked(x: Tensor, y: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected two samples with shapes \(n, features\)"):
        mmd(x, y)


def test_values_must_be_finite() -> None:
    with pytest.raises(ValueError, match="not finite"):
        mmd(torch.full((3, 1), math.nan), torch.zeros(3, 1))
