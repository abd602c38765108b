import math

import torch

from ptheta.networks.features import Features
from ptheta.spaces import Categorical, Column, Discrete, Real, Table

TABLE = Table(
    (
        Column("a", Real(), missing=True),
        Column("b", Categorical(categories=3)),
        Column("c", Discrete(levels=5)),
        Column("d", Categorical(categories=2), missing=True),
    )
)


def test_each_kind_has_its_features():
    features = Features(TABLE)
    x = torch.tensor([[0.25, 2, 4, 0]], dtype=torch.float64)
    found = features(x)[0]
    by_owner = [found[features.owner == d].tolist() for d in range(4)]
    assert by_owner == [[0.25, 0], [0, 0, 1], [1], [1, 0, 0]]


def test_a_gap_is_zero_and_marked():
    features = Features(TABLE)
    x = torch.tensor([[math.nan, 0, 0, math.nan]], dtype=torch.float64)
    found = features(x)[0]
    assert found[features.owner == 0].tolist() == [0, 1]
    assert found[features.owner == 3].tolist() == [0, 0, 1]
    assert found.dtype == torch.float32


def test_one_value_alone_has_the_features_that_it_has_among_others():
    features = Features(Discrete((2, 3), 4), one_hot_levels=4)
    x = torch.randint(0, 4, (7, 2, 3), dtype=torch.uint8)
    whole = features(x)
    for d, encode in enumerate(features.by_value()):
        alone = encode(x.flatten(1)[:, d].float())
        assert torch.equal(alone.t(), whole[:, features.owner == d])


def test_levels_span_minus_one_to_one():
    assert Features(Discrete((2,), 256))(torch.tensor([[0, 255]])).tolist() == [[-1, 1]]
