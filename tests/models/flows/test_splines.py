import math
from decimal import Decimal, localcontext

import pytest
import torch

from ptheta.models.flows.splines import RationalQuadratic, _Bin, _solve

SPLINE = RationalQuadratic(bins=5, bound=3.0)


def coefficients(*shape, scale=2.0):
    return scale * torch.randn(SPLINE.size, *shape, dtype=torch.float64)


def knots(raw):
    """The knots and their slopes, as the paper's section 3.1 makes them of coefficients."""
    room = 2 * 3.0
    widths, heights = (
        room * (1e-3 + (1 - 5e-3) * torch.softmax(part, 0)) for part in (raw[:5], raw[5:10])
    )
    edges = [torch.cat([torch.zeros(1), part.cumsum(0)]) - 3.0 for part in (widths, heights)]
    inner = torch.nn.functional.softplus(raw[10:]) + 1e-3
    return *edges, torch.cat([torch.ones(1), inner, torch.ones(1)])


def by_formula(x, raw):
    """Equations 4 and 5 of the paper, for one number within the box."""
    left, foot, slopes = knots(raw)
    k = min(int((x >= left[1:]).sum()), 4)
    width, height = left[k + 1] - left[k], foot[k + 1] - foot[k]
    s, d, e = height / width, slopes[k], slopes[k + 1]
    xi = (x - left[k]) / width
    bend = s + (e + d - 2 * s) * xi * (1 - xi)
    z = foot[k] + height * (s * xi**2 + d * xi * (1 - xi)) / bend
    slope = s**2 * (e * xi**2 + 2 * s * xi * (1 - xi) + d * (1 - xi) ** 2) / bend**2
    return z, slope.log()


def test_it_is_the_spline_of_the_paper():
    raw = coefficients(40)
    x = torch.linspace(-2.99, 2.99, 40, dtype=torch.float64)
    z, log_slope = SPLINE.inverse(x, raw)
    expected = [by_formula(x[i], raw[:, i]) for i in range(40)]
    torch.testing.assert_close(z, torch.stack([value for value, _ in expected]))
    torch.testing.assert_close(log_slope, torch.stack([slope for _, slope in expected]))


def test_it_goes_through_its_knots_with_their_slopes():
    raw = coefficients(1)
    left, foot, slopes = knots(raw[:, 0])
    z, log_slope = SPLINE.inverse(left[1:-1], raw.expand(-1, 4))
    torch.testing.assert_close(z, foot[1:-1])
    torch.testing.assert_close(log_slope.exp(), slopes[1:-1])
    x, log_slope = SPLINE.forward(foot[1:-1], raw.expand(-1, 4))
    torch.testing.assert_close(x, left[1:-1])
    torch.testing.assert_close(log_slope.exp(), 1 / slopes[1:-1])


@pytest.mark.parametrize("scale", [0.0, 1.0, 20.0])
def test_it_increases_everywhere(scale):
    x = torch.linspace(-4, 4, 5001, dtype=torch.float64)
    raw = coefficients(1, scale=scale).expand(-1, len(x))
    assert (SPLINE.inverse(x, raw)[0].diff() > 0).all()
    assert (SPLINE.forward(x, raw)[0].diff() > 0).all()


def test_tails_are_the_identity_and_meet_the_box_smoothly():
    raw = coefficients(4)
    for edge in (torch.tensor([-3.0, 3.0, -50.0, 1e30]).double(),):
        for way in (SPLINE.inverse, SPLINE.forward):
            value, log_slope = way(edge, raw)
            assert torch.equal(value, edge)
            assert torch.equal(log_slope, torch.zeros(4).double())
    inside = torch.tensor([-3.0, 3.0]).double() * (1 - 1e-9)
    _, log_slope = SPLINE.inverse(inside, coefficients(2))
    torch.testing.assert_close(log_slope, torch.zeros(2).double(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [0.0, 30.0, 1e30])
def test_coefficients_of_any_size_leave_it_finite(size):
    signs = torch.randint(-1, 2, (SPLINE.size, 500)).float()
    x = torch.linspace(-3.5, 3.5, 500)
    for way in (SPLINE.inverse, SPLINE.forward):
        value, log_slope = way(x, size * signs)
        assert value.isfinite().all()
        assert log_slope.isfinite().all()


def test_one_bin_of_equal_sides_is_the_identity():
    x = torch.linspace(-3, 3, 50)
    z, log_slope = RationalQuadratic(bins=1, bound=3.0).inverse(x, torch.randn(2, 50))
    torch.testing.assert_close(z, x)
    torch.testing.assert_close(log_slope, torch.zeros(50), rtol=0, atol=1e-5)


def test_the_integral_of_the_slope_is_the_height_of_the_box():
    x = torch.linspace(-3, 3, 200_001, dtype=torch.float64)
    _, log_slope = SPLINE.inverse(x, coefficients(1).expand(-1, len(x)))
    assert math.isclose(torch.trapezoid(log_slope.exp(), x).item(), 6.0, rel_tol=1e-4)


@pytest.mark.parametrize("size", [1.0, 1e14, 1e20, 1e30])
def test_beyond_the_box_the_slope_is_1_and_coefficients_have_none_however_large(size):
    signs = torch.randint(-1, 2, (SPLINE.size, 300)).float()
    raw = (size * signs).requires_grad_()
    x = torch.tensor([3.0, -3.0, 4.0, -1e15, 1e30, -1e30]).repeat(50).requires_grad_()
    for way in (SPLINE.inverse, SPLINE.forward):
        value, log_slope = way(x, raw)
        by_x, by_raw = torch.autograd.grad(value.sum() + log_slope.sum(), (x, raw))
        assert torch.equal(by_x, torch.ones_like(x))
        assert torch.equal(by_raw, torch.zeros_like(raw))


def test_the_root_keeps_its_digits_at_knots_of_any_slope():
    sizes = torch.logspace(-3, 12, 6)
    # none but a half balances two slopes, where their rounding alone would move the root
    shares = torch.tensor([1e-20, 3e-5, 0.3, 0.5, 1 - 2**-10, 1 - 2**-23])
    start, end, slope, share = torch.cartesian_prod(sizes, sizes, sizes[:3], shares).unbind(1)
    one = torch.ones_like(share)
    xi, rest = _solve(share, _Bin(0 * one, one, 0 * one, slope, slope, start, end))
    exact = [
        root_by_formula(*map(float, row)) for row in zip(share, slope, start, end, strict=True)
    ]
    eps = torch.finfo(torch.float32).eps
    for found, expected in zip((xi, rest), zip(*exact, strict=True), strict=True):
        # no more than what its few operations round
        torch.testing.assert_close(
            found.double(), torch.tensor(expected, dtype=torch.float64), rtol=16 * eps, atol=0.0
        )


def root_by_formula(share, slope, start, end):
    """The paper's equations 6 to 8 for a bin of height and width s and 1, and 1 less the root."""
    with localcontext() as context:
        context.prec = 120
        t, s, d, e = (Decimal(value) for value in (share, slope, start, end))
        excess = d + e - 2 * s
        a, b, c = (s - d) + t * excess, d - t * excess, -s * t
        root = 2 * c / (-b - (b * b - 4 * a * c).sqrt())
        return float(root), float(1 - root)
