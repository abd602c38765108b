"""Features for metrics: every value of an example counts alike, whatever its kind and unit."""

import math

import pytest
import torch
from torch import Tensor

from ptheta.evaluation.features import MetricFeatures
from ptheta.spaces import Categorical, Column, Discrete, Positive, Real, Space, Table

MIXED = Table(
    (
        Column("metres", Real(), missing=True),
        Column("price", Positive()),
        Column("grade", Discrete(levels=5)),
        Column("colour", Categorical(categories=3)),
    )
)


def rows(n: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    metres = 1e6 * torch.randn(n, generator=g) + 3e7
    price = torch.exp(2 * torch.randn(n, generator=g))
    grade = torch.randint(5, (n,), generator=g)
    colour = torch.multinomial(torch.tensor([0.9, 0.05, 0.05]), n, replacement=True, generator=g)
    table = torch.stack([metres.double(), price.double(), grade.double(), colour.double()], dim=1)
    table[::4, 0] = math.nan
    return table


def test_every_value_of_a_table_counts_two_in_the_squared_distance() -> None:
    x = rows(4000)
    features = MetricFeatures(MIXED, x)(x)
    # metres, price, grade, three colours, and whether metres are missing
    assert features.shape == (4000, 7)
    owner = {"metres": [0], "price": [1], "grade": [2], "colour": [3, 4, 5], "missing": [6]}
    for positions in owner.values():
        total = features[:, positions].var(dim=0, unbiased=False).sum().item()
        # metres are the mean where they are missing, a quarter of the rows
        expected = 0.75 if positions == [0] else 1.0
        assert total == pytest.approx(expected, abs=1e-4)


def test_a_missing_value_is_the_mean_and_says_so() -> None:
    x = rows(100)
    features = MetricFeatures(MIXED, x)(x)
    assert features.isfinite().all()
    assert (features[::4, 0] == 0).all()
    assert features[::4, 6].unique().numel() == 1
    assert features[0, 6] != features[1, 6]


def test_the_scale_is_that_of_the_real_data() -> None:
    real = torch.tensor([[0.0], [2.0]])
    assert MetricFeatures(Real((1,)), real)(torch.tensor([[11.0]])).item() == pytest.approx(10)


def test_pixels_share_one_scale() -> None:
    space = Discrete((1, 1, 2), 17, layout="image")
    # one pixel varies between 0 and 16, the other is lit once in a hundred
    real = torch.zeros(100, 1, 1, 2, dtype=torch.uint8)
    real[::2, 0, 0, 0] = 16
    real[0, 0, 0, 1] = 1
    features = MetricFeatures(space, real)
    difference = features(real[:1]) - features(real[2:3])
    # alone, a pixel of such small variance would count ten times as much
    assert difference.abs().max() < 0.3
    assert features(real).var(dim=0, unbiased=False).sum().item() == pytest.approx(2, abs=1e-4)


@pytest.mark.parametrize(
    ("space", "real"),
    [
        (Real((2,)), torch.ones(5, 2)),
        (Categorical((2,), 3), torch.zeros(5, 2, dtype=torch.uint8)),
        (Categorical((), 4), torch.arange(4)),
        (Positive((1,)), torch.rand(5, 1) + 0.1),
    ],
)
def test_any_space_gives_finite_features(space: Space, real: Tensor) -> None:
    features = MetricFeatures(space, real)(real)
    assert features.shape[0] == len(real)
    assert features.isfinite().all()


def test_values_that_are_not_finite_stay_so() -> None:
    features = MetricFeatures(Real((1,)), torch.randn(5, 1))
    assert not features(torch.tensor([[math.inf], [math.nan]])).isfinite().any()
