import math

import pytest
import torch

from ptheta.data.bridges import (
    Chain,
    Dequantise,
    Log,
    Logit,
    Scale,
    Standardise,
)
from ptheta.data.bridging import dequantising, scaling, standardising
from ptheta.errors import PthetaError
from ptheta.random import seeded
from ptheta.spaces import Binary, Categorical, Column, Discrete, Positive, Real, Table

MIXED = Table(
    (
        Column("a", Real()),
        Column("b", Positive()),
        Column("c", Discrete(levels=5)),
        Column("d", Real(), missing=True),
        Column("e", Categorical(categories=3)),
    )
)
NUMERIC = Table(MIXED.columns[:3])


@pytest.mark.parametrize("alpha", [-0.1, 0.0, 1e-9, 0.5, 0.7, math.nan])
def test_a_logit_has_a_margin(alpha):
    with pytest.raises(ValueError, match="the margin of a logit is from 1e-6 to below 0.5"):
        Logit(levels=4, alpha=alpha)


@pytest.mark.parametrize("alpha", [1e-6, 0.4999])
def test_a_logit_takes_levels_up_to_their_ends_and_back(alpha):
    x = torch.tensor([[0.0, 128.5, 256.0]])
    u, log_det = Logit(levels=256, alpha=alpha).to_reals(x)
    assert u.isfinite().all()
    assert log_det.isfinite().all()
    # near its ends the map is flat, and a margin of 1e-6 leaves three digits
    torch.testing.assert_close(Logit(256, alpha).to_data(u), x, rtol=1e-3, atol=1e-2)


def rows(space, n=200):
    """Examples of any space, seeded."""
    with seeded(0):
        if isinstance(space, Table):
            return torch.stack([rows(c.space, n).double() for c in space.columns], dim=1)
        shape = (n, *space.shape)
        if isinstance(space, Discrete):
            return torch.randint(space.levels, shape).to(space.dtype)
        if isinstance(space, Categorical):
            return torch.randint(space.categories, shape).to(space.dtype)
        values = 3 + 2 * torch.randn(shape)
        return values.exp() if isinstance(space, Positive) else values


SPACES = [
    Real((3,)),
    Positive((3,)),
    Binary((4,)),
    Discrete((1, 3, 2), 17, layout="image"),
    NUMERIC,
]


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.describe())
def test_dequantising_goes_there_and_back(space):
    bridge = dequantising(space)
    x = rows(space)
    bridge.initialize(x)
    u, log_det = bridge.to_reals(x)
    assert u.shape == (200, space.features)
    assert log_det.shape == (200,)
    back = bridge.to_data(u)
    assert back.dtype == space.dtype
    torch.testing.assert_close(back, x, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("space", [*SPACES, MIXED], ids=lambda s: s.describe())
def test_standardising_goes_there_and_back(space):
    bridge = standardising(space)
    x = rows(space)
    bridge.initialize(x)
    u, log_det = bridge.to_reals(x)
    torch.testing.assert_close(bridge.to_data(u).to(space.dtype), x, rtol=2e-6, atol=2e-6)
    assert log_det.shape == (200,)
    assert not bridge.stochastic


@pytest.mark.parametrize(
    "space", [Positive((3,)), Table((Column("a", Positive()), Column("b", Real())))]
)
def test_scaling_goes_there_and_back_with_a_mean_of_one(space):
    bridge = scaling(space)
    x = rows(space)
    bridge.initialize(x)
    u, _ = bridge.to_reals(x)
    torch.testing.assert_close(bridge.to_data(u).to(space.dtype), x, rtol=2e-6, atol=2e-6)
    assert u[:, 0].mean().item() == pytest.approx(1, abs=1e-5)
    assert bridge.to_data(torch.zeros(1, space.features))[0, 0] > 0


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.describe())
def test_what_is_dequantised_has_mean_zero_and_deviation_one(space):
    bridge = dequantising(space)
    x = rows(space)
    bridge.initialize(x)
    with seeded(1):
        u, _ = bridge.to_reals(x)
    # fresh noise moves the moments of 200 rows by less than 4 standard errors
    assert (u.mean(dim=0).abs() < 4 / math.sqrt(200)).all()
    assert ((u.std(dim=0) - 1).abs() < 0.2).all()


@pytest.mark.parametrize(
    "bridge",
    [
        Standardise((3,), dtype=torch.float64),
        Logit(17),
        Log(torch.tensor([True, False, True])),
        Scale(torch.tensor([True, False, True]), torch.float64),
        Chain([Log(torch.ones(3, dtype=torch.bool)), Standardise((3,), dtype=torch.float64)]),
    ],
    ids=lambda b: type(b).__name__,
)
def test_log_det_is_that_of_the_jacobian(bridge):
    with seeded(2):
        x = 0.5 + 15 * torch.rand(5, 3, dtype=torch.float64)
    bridge.initialize(x)
    _, log_det = bridge.to_reals(x)
    for i in range(5):
        jacobian = torch.autograd.functional.jacobian(
            lambda row: bridge.to_reals(row[None])[0][0], x[i]
        )
        expected = torch.linalg.slogdet(jacobian.double()).logabsdet
        # Standardise hands out float32, which has seven digits
        assert float(log_det[i]) == pytest.approx(float(expected), abs=1e-5)


def test_missing_values_stay_missing_and_count_nothing():
    bridge = Standardise((2,), dtype=torch.float64)
    x = torch.tensor([[0.0, 10.0], [2.0, math.nan], [4.0, 14.0]], dtype=torch.float64)
    bridge.initialize(x)
    assert bridge.mean.tolist() == [2.0, 12.0]  # of the values that are there
    assert bridge.scale.tolist() == pytest.approx([math.sqrt(8 / 3), 2.0])
    u, log_det = bridge.to_reals(x)
    assert u.isnan().tolist() == [[False, False], [False, True], [False, False]]
    assert float(log_det[1]) == pytest.approx(-0.5 * math.log(8 / 3))
    assert float(log_det[0]) == pytest.approx(-0.5 * math.log(8 / 3) - math.log(2))
    torch.testing.assert_close(bridge.to_data(u), x, equal_nan=True, rtol=1e-6, atol=1e-6)


def test_standardise_leaves_alone_what_the_mask_leaves_out():
    bridge = Standardise((2,), torch.tensor([True, False]))
    x = torch.tensor([[0.0, 5.0], [2.0, 7.0]])
    bridge.initialize(x)
    u, log_det = bridge.to_reals(x)
    assert u.tolist() == [[-1.0, 5.0], [1.0, 7.0]]
    assert log_det.tolist() == [0.0, 0.0]


def test_standardise_leaves_the_scale_of_a_constant_alone():
    bridge = Standardise((1,))
    bridge.initialize(torch.full((4, 1), 7.0))
    u, log_det = bridge.to_reals(torch.tensor([[7.0]]))
    assert (u.item(), log_det.item()) == (0.0, 0.0)


def test_a_time_stamp_keeps_its_seconds_in_a_table():
    space = Table((Column("time", Real()), Column("x", Real())))
    seconds = 1.7e9 + torch.arange(100, dtype=torch.float64)
    x = torch.stack([seconds, seconds / 1e9], dim=1)
    bridge = dequantising(space)
    bridge.initialize(x)
    u, _ = bridge.to_reals(x)
    # float32 alone would hold a time stamp of today to 128 seconds
    assert (bridge.to_data(u)[:, 0] - seconds).abs().max() < 1e-4


def test_dequantised_levels_lie_in_their_cell_and_fall_back_into_it():
    bridge = Dequantise(torch.tensor([4, 0]), torch.float64)
    x = torch.tensor([[0.0, -1.5], [3.0, 2.5]]).double()
    u, log_det = bridge.to_reals(x)
    assert ((u - x)[:, 0] >= 0).all()
    assert ((u - x)[:, 0] < 1).all()
    assert (u[:, 1] == x[:, 1]).all()
    assert (log_det.expand(2) == 0).all()
    far = torch.tensor([[-7.0, 9.0], [99.0, 9.0]]).double()
    assert bridge.to_data(far).tolist() == [[0.0, 9.0], [3.0, 9.0]]


def test_centre_is_the_mean_of_the_noise():
    bridge = Dequantise(torch.tensor([4, 0]), torch.float64)
    u, _ = bridge.at_centre(torch.tensor([[2.0, 7.0]]))
    assert u.tolist() == [[2.5, 7.0]]


def test_categories_are_refused_by_name():
    with pytest.raises(PthetaError, match=r"columns 'e'"):
        dequantising(MIXED)


def test_gaps_are_refused_by_name():
    with pytest.raises(PthetaError, match=r"missing values .*columns 'd'"):
        dequantising(Table(MIXED.columns[:4]))


def test_a_logit_is_for_levels():
    space = Discrete((1, 2, 2), 17, layout="image")
    bridge = dequantising(space, 0.05)
    x = torch.randint(17, (40, 1, 2, 2)).to(torch.uint8)
    bridge.initialize(x)
    u, _ = bridge.to_reals(x)
    assert torch.equal(bridge.to_data(u), x)
    with pytest.raises(PthetaError, match="a logit is for levels, and this is real numbers"):
        dequantising(Real((2,)), 0.05)
