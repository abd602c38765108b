r"""Increasing splines of rational quadratics.

Between knots :math:`(x_k, z_k)` of slopes :math:`d_k`, with :math:`\xi = (x - x_k) / w_k` and
:math:`s_k = h_k / w_k` for a bin of width w and height h,

.. math:: z = z_k + \frac{h_k (s_k \xi^2 + d_k \xi (1 - \xi))}
    {s_k + (d_{k+1} + d_k - 2 s_k) \xi (1 - \xi)}
"""

__all__ = ["RationalQuadratic"]

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ptheta.models.flows.univariate import Univariate


@dataclass(frozen=True)
class RationalQuadratic(Univariate):
    """A spline of rational quadratics within a box, and the identity beyond it.

    Only the coefficients of the bin that a value lies in are worked out. To undo a spline
    multiplies what a value was rounded by by one over the slope, whatever the formula: in single
    precision a slope of 0.01 leaves about five digits, and one of 1e-6, which large coefficients
    make between two flat knots, none.

    References:
        Neural Spline Flows (Durkan, Bekasov, Murray & Papamakarios, 2019),
        https://arxiv.org/abs/1906.04032, section 3 and equations 4 to 8

    Arguments:
        bins: The number of bins.
        bound: The box is [-bound, bound].
        temper: What the logits of widths and heights are divided by, which slows them. The authors'
            code takes the square root of the number of hidden units.
        least: The least width and height of a bin, as a share of the box, and the least slope.

    Raises:
        ValueError: There are no bins or too many for their least width, or the bound or the temper
            is not above 0.

    Example:
        >>> spline = RationalQuadratic(bins=4)
        >>> x = torch.tensor([-9.0, 0.0, 9.0])
        >>> spline.inverse(x, torch.zeros(spline.size, 3))[0]
        tensor([-9.,  0.,  9.])
    """

    bins: int = 8
    bound: float = 5.0
    temper: float = 1.0
    least: float = 1e-3

    def __post_init__(self) -> None:
        if not self.least > 0:
            raise ValueError(f"a bin must have some of the box, got least={self.least}")
        if self.bins < 1 or self.bins * self.least >= 1:
            raise ValueError(
                f"expected from 1 to {math.ceil(1 / self.least) - 1} bins, each of at least "
                f"{self.least:g} of the box, got {self.bins}"
            )
        if not (0 < self.bound < math.inf and 0 < self.temper < math.inf):
            raise ValueError(
                f"the bound and the temper must be above 0, got {self.bound} and {self.temper}"
            )

    @property
    def size(self) -> int:
        return 3 * self.bins - 1

    def forward(self, z: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        inside = z.abs() < self.bound
        bin_, share = self._bin(z, inside, coefficients, by=1)
        xi, rest = _solve(share, bin_)
        x = torch.addcmul(bin_.left, bin_.width, xi)
        return torch.where(inside, x, z), torch.where(inside, -_log_slope(xi, rest, bin_), 0)

    def inverse(self, x: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        inside = x.abs() < self.bound
        bin_, xi = self._bin(x, inside, coefficients, by=0)
        rest = 1 - xi
        share = xi * torch.addcmul(bin_.slope * xi, bin_.start, rest) / _bend(xi * rest, bin_)
        z = torch.addcmul(bin_.foot, bin_.height, share)
        return torch.where(inside, z, x), torch.where(inside, _log_slope(xi, rest, bin_), 0)

    def _bin(
        self, values: Tensor, inside: Tensor, coefficients: Tensor, by: int
    ) -> tuple["_Bin", Tensor]:
        """The bin of each value, by its knots in x (by=0) or in z (by=1), and where in it it is."""
        # what lies beyond is taken for the lower corner, where all that follows has a gradient
        values = torch.where(inside, values, -self.bound)
        logits, slopes = coefficients.split((2 * self.bins, self.bins - 1))
        # (2, bins, ...): widths and heights at once
        logits = logits.unflatten(0, (2, self.bins)) / self.temper
        room = 2 * self.bound * (1 - self.least * self.bins)
        sizes = torch.softmax(logits, dim=1) * room + 2 * self.bound * self.least
        right = sizes.cumsum(dim=1)
        at = (values + self.bound >= right[by, :-1]).sum(dim=0, keepdim=True)
        both = at.expand(2, *at.shape)
        (width, height) = size = sizes.gather(1, both).squeeze(1)
        left, foot = right.gather(1, both).squeeze(1) - size - self.bound
        start, end = self._slopes(slopes, at, inside)
        bin_ = _Bin(left, width, foot, height, height / width, start, end)
        # rounding can take a value beyond a knot of its bin
        share = ((values - (foot if by else left)) / size[by]).clamp(0, 1)
        return bin_, share

    def _slopes(self, raw: Tensor, at: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """The slopes at both knots of a bin, which are 1 at the ends of the box and beyond it."""
        if self.bins == 1:
            return torch.ones_like(raw.sum(dim=0)), torch.ones_like(raw.sum(dim=0))
        flat = math.log(math.expm1(1 - self.least))  # the softplus of which is 1 less the least
        last = self.bins - 2
        start = raw.gather(0, (at - 1).clamp(min=0)).where(at > 0, flat)
        end = raw.gather(0, at.clamp(max=last)).where((at <= last) & inside, flat)
        start, end = F.softplus(torch.cat([start, end])) + self.least
        return start, end


class _Bin(NamedTuple):
    left: Tensor
    width: Tensor
    foot: Tensor
    height: Tensor
    slope: Tensor  # of the line between both knots
    start: Tensor  # at its left knot
    end: Tensor  # at its right knot


def _solve(share: Tensor, bin_: _Bin) -> tuple[Tensor, Tensor]:
    r"""Where in its bin a value is reached, from 0 to 1, and what is left to 1.

    With t the share of the height that is reached, :math:`p = (d_k (1 - t) - d_{k+1} t) / 2` and
    :math:`q = |p| + \sqrt{p^2 + s^2 t (1 - t)}` the root of the quadratic is

    .. math:: \frac{\xi}{1 - \xi} = \frac{s t}{q} \text{ where } p \ge 0, \qquad
        \frac{q}{s (1 - t)} \text{ elsewhere}

    which is that of the paper's equations 6 to 8 without a difference that loses digits.
    """
    above = 1 - share
    low, high = bin_.start * above, bin_.end * share
    # only ratios of slopes matter, so that steep ones can be kept from overflowing
    unit = (low + high + bin_.slope).detach()
    slope, p = bin_.slope / unit, (low - high) / (2 * unit)
    falls = p < 0
    q = torch.addcmul(p.square(), slope.square(), share * above).sqrt() + torch.where(falls, -p, p)
    done, left = torch.where(falls, q, slope * share), torch.where(falls, slope * above, q)
    whole = done + left
    return done / whole, left / whole


def _bend(product: Tensor, bin_: _Bin) -> Tensor:
    excess = bin_.end + bin_.start - 2 * bin_.slope
    return torch.addcmul(bin_.slope, excess, product)


def _log_slope(xi: Tensor, rest: Tensor, bin_: _Bin) -> Tensor:
    product = xi * rest
    top = bin_.end * xi.square() + 2 * bin_.slope * product + bin_.start * rest.square()
    # as logarithms, since the square of the bend overflows for steep knots
    return 2 * bin_.slope.log() + top.log() - 2 * _bend(product, bin_).log()
