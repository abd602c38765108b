"""Precision, recall, density and coverage against their definitions, row by row."""

import math

import pytest
import torch
from torch import Tensor

from ptheta.evaluation.prdc import overlap


def normal(n: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def by_definition(samples: Tensor, real: Tensor, k: int) -> tuple[float, float, float, float]:
    def radius(x: Tensor, i: int) -> float:
        others = torch.cat([x[:i], x[i + 1 :]])
        return (others - x[i]).norm(dim=1).sort().values[k - 1].item()

    def inside(y: Tensor, x: Tensor, i: int) -> bool:
        return (y - x[i]).norm().item() <= radius(x, i)

    samples, real = samples.double(), real.double()
    balls = [[inside(s, real, i) for i in range(len(real))] for s in samples]
    precision = sum(any(row) for row in balls) / len(samples)
    density = sum(sum(row) for row in balls) / (k * len(samples))
    coverage = sum(any(row[i] for row in balls) for i in range(len(real))) / len(real)
    recall = sum(any(inside(r, samples, i) for i in range(len(samples))) for r in real) / len(real)
    return precision, recall, density, coverage


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.0, 0.6), (10.0, 1.0)])
def test_figures_equal_the_definitions(k: int, shift: float, scale: float) -> None:
    samples, real = normal(25, 0, scale) + shift, normal(30, 1)
    found = overlap(samples, real, neighbours=k, halves=2)
    expected = by_definition(samples, real, k)
    assert tuple(figure.value for figure in found) == pytest.approx(expected, abs=1e-12)


def test_the_data_itself_gets_full_marks() -> None:
    real = normal(100, 0)
    found = overlap(real, real)
    assert found.precision.value == found.recall.value == found.coverage.value == 1.0


def test_a_collapsed_sample_is_precise_and_covers_nothing() -> None:
    # every sample is one real row: precise, but a single point reaches only its neighbours
    real = normal(200, 0)
    found = overlap(real[:1].repeat(200, 1), real)
    assert found.precision.value == 1.0
    assert found.recall.value <= 1 / 200
    assert found.coverage.value < 0.1


def test_half_of_the_modes_is_about_half_of_the_coverage() -> None:
    real = torch.cat([normal(200, 0), normal(200, 1) + 50])
    found = overlap(normal(400, 2), real)
    assert found.precision.value > 0.9
    assert found.coverage.value == pytest.approx(0.5, abs=0.05)
    assert found.coverage.low <= 0.5 <= found.coverage.high


def test_coverage_of_two_equal_distributions_is_known() -> None:
    # Naeem et al. 2020, lemma 2: for n real and m samples of one distribution the mean coverage is
    # 1 - (n-1)...(n-k) / ((n+m-1)...(n+m-k))
    n, k = 200, 5
    truth = 1 - math.prod(n - i for i in range(1, k + 1)) / math.prod(
        2 * n - i for i in range(1, k + 1)
    )
    draws = torch.tensor(
        [
            overlap(normal(n, 2 * s), normal(n, 2 * s + 1), halves=2).coverage.value
            for s in range(60)
        ]
    )
    z = (draws.mean() - truth) / (draws.std() / math.sqrt(len(draws)))
    assert abs(z) < 4  # 60 draws
    density = torch.tensor(
        [overlap(normal(n, 2 * s), normal(n, 2 * s + 1), halves=2).density.value for s in range(60)]
    )
    # the mean density of the data itself is 1
    assert abs(density.mean() - 1) < 4 * density.std() / math.sqrt(60)


def test_intervals_hold_the_mean_as_often_as_they_say() -> None:
    found = [overlap(normal(150, 2 * s) + 0.7, normal(150, 2 * s + 1), seed=s) for s in range(60)]
    for name in ("density", "coverage"):
        figures = [getattr(f, name) for f in found]
        mean = sum(f.value for f in figures) / len(figures)
        # 57 of 60 expected; Binomial(60, 0.95) falls below 50 with probability 1e-4
        assert sum(f.low <= mean <= f.high for f in figures) >= 50


def test_too_few_rows_and_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 12 rows of each, got 11"):
        overlap(torch.zeros(11, 2), torch.zeros(50, 2))
    with pytest.raises(ValueError, match="not finite"):
        overlap(torch.full((50, 2), math.nan), torch.zeros(50, 2))
