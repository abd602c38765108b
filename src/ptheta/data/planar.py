r"""Distributions in the plane whose density is known.

Three families give them all. A mixture of Gaussians and a uniform on squares are in closed form. A
noisy curve, a point :math:`\gamma(u)`, :math:`u \sim U[0, 1]`, with Gaussian noise on it, has

.. math:: p(x) = \int_0^1 \mathcal{N}(x; \gamma(u), \sigma^2 I) \, du ,

which Gauss-Legendre panels no longer than :math:`2 \sigma` integrate to 1e-4 of it even far from
the curve. A circle is the case that has a closed form, and a pinwheel is a mixture of Gaussians
turned by an angle that depends on the radius alone, which leaves areas as they are.
"""

__all__ = [
    "Checkerboard",
    "Circles",
    "Gaussians",
    "NoisyCurves",
    "Pinwheel",
    "Planar",
    "grid_entropy",
]

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Planar(ABC):
    """A distribution in the plane, made of parts of equal weight.

    Arguments:
        parts: The number of parts: components, curves, arms or squares.
        extent: Half the side of a square about the origin beyond which there is no mass.
        scale: The length over which the density changes, for quadrature.
    """

    def __init__(self, parts: int, extent: float, scale: float) -> None:
        self.parts = parts
        self.extent = extent
        self.scale = scale

    @abstractmethod
    def draw(self, part: Tensor) -> Tensor:
        """One float64 draw from each named part, with shape (batch, 2), by the global generator."""

    @abstractmethod
    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) in nats of float64 points, from (batch, 2) to (batch,)."""

    def sample(self, n: int) -> tuple[Tensor, Tensor]:
        """Draws, and the part that each is from.

        Arguments:
            n: The number of draws.

        Returns:
            Float32 points with shape (n, 2), and codes with shape (n,).
        """
        part = torch.randint(self.parts, (n,))
        return self.draw(part).float(), part

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, from (batch, 2) to (batch,), in the dtype of x."""
        blocks = [self.log_density(block) for block in x.double().split(8192)]
        return torch.cat(blocks).to(x.dtype) if blocks else x.new_zeros(0)

    def entropy(self) -> float:
        """The differential entropy in nats."""
        return grid_entropy(self.log_prob, self.extent, self.scale / 2)


class Gaussians(Planar):
    """A mixture of round Gaussians of one width and equal weight.

    Arguments:
        centres: The centres, with shape (components, 2).
        std: The standard deviation of each.
    """

    def __init__(self, centres: Tensor, std: float) -> None:
        super().__init__(len(centres), float(centres.abs().max()) + 10 * std, std)
        self.centres = centres.double()
        self.std = std

    def draw(self, part: Tensor) -> Tensor:
        return self.centres[part] + self.std * _normal(len(part))

    def log_density(self, x: Tensor) -> Tensor:
        return _gaussian(x, self.centres, self.std).logsumexp(dim=1) - math.log(self.parts)


class Circles(Planar):
    r"""Circles about the origin, with Gaussian noise on them.

    .. math:: p(x) = \frac{1}{2 \pi \sigma^2}
              e^{-(\|x\|^2 + R^2) / 2 \sigma^2} \, I_0(\|x\| R / \sigma^2)

    Arguments:
        radii: The radii.
        std: The standard deviation of the noise.
    """

    def __init__(self, radii: Sequence[float], std: float) -> None:
        super().__init__(len(radii), max(radii) + 10 * std, std)
        self.radii = torch.tensor(radii, dtype=torch.float64)
        self.std = std

    def draw(self, part: Tensor) -> Tensor:
        angle = 2 * math.pi * torch.rand(len(part), dtype=torch.float64)
        return self.radii[part, None] * _direction(angle) + self.std * _normal(len(part))

    def log_density(self, x: Tensor) -> Tensor:
        radius = x.norm(dim=1, keepdim=True)
        bessel = torch.special.i0e(radius * self.radii / self.std**2).log()
        # i0e holds exp(-r R / s^2), which completes the square and so cannot overflow
        log_p = bessel - 0.5 * ((radius - self.radii) / self.std).square()
        return log_p.logsumexp(dim=1) - math.log(self.parts * 2 * math.pi * self.std**2)


class NoisyCurves(Planar):
    """Curves with Gaussian noise on them.

    Arguments:
        curves: The curves, each from (batch,) parameters in [0, 1] to (batch, 2) points.
        std: The standard deviation of the noise.
        speed: A bound on how fast a point moves with its parameter, which sets how many nodes the
            quadrature needs.
        power: The parameter is drawn as a uniform number to this power; one half spreads points
            evenly along a spiral.
    """

    def __init__(
        self,
        curves: Sequence[Callable[[Tensor], Tensor]],
        std: float,
        speed: float,
        power: float = 1.0,
    ) -> None:
        nodes, weights = _panels(math.ceil(speed / (2 * std)))
        weights = weights * nodes ** (1 / power - 1) / power
        points = torch.stack([curve(nodes) for curve in curves])  # (curves, nodes, 2)
        super().__init__(len(curves), float(points.abs().max()) + 10 * std, std)
        self.curves = tuple(curves)
        self.std = std
        self.power = power
        self.points = points.flatten(0, 1)
        self.log_weights = weights.log().repeat(len(curves))

    def draw(self, part: Tensor) -> Tensor:
        u = torch.rand(len(part), dtype=torch.float64) ** self.power
        points = torch.stack([curve(u) for curve in self.curves])
        return points[part, torch.arange(len(part))] + self.std * _normal(len(part))

    def log_density(self, x: Tensor) -> Tensor:
        log_p = _gaussian(x, self.points, self.std) + self.log_weights
        return log_p.logsumexp(dim=1) - math.log(self.parts)


class Pinwheel(Planar):
    """Gaussian arms about the origin, wound up by an angle that grows with the radius.

    The usual pinwheel winds by the distance along the arm; here it is the radius, which differs
    little and keeps areas, so that the density is in closed form.

    References:
        Composing graphical models with neural networks for structured representations and fast
        inference (Johnson, Duvenaud, Wiltschko, Datta & Adams, 2016),
        https://arxiv.org/abs/1603.06277, figure 1

    Arguments:
        arms: The number of arms.
        centre: How far along an arm its middle is.
        along: The standard deviation along an arm.
        across: The standard deviation across it.
        rate: How fast the arms wind: the angle is rate times exp(radius).
    """

    def __init__(self, arms: int, centre: float, along: float, across: float, rate: float) -> None:
        # winding shears an arm, which makes it narrower than it is across
        super().__init__(arms, centre + 8 * along, across / 2)
        self.centre = torch.tensor([centre, 0.0], dtype=torch.float64)
        self.std = torch.tensor([along, across], dtype=torch.float64)
        self.rate = rate

    def draw(self, part: Tensor) -> Tensor:
        straight = self.centre + self.std * _normal(len(part))
        return _rotate(straight, self._angle(straight, part))

    def log_density(self, x: Tensor) -> Tensor:
        arms = torch.arange(self.parts)
        log_p = [self._straight(_rotate(x, -self._angle(x, arm))) for arm in arms]
        return torch.stack(log_p).logsumexp(dim=0) - math.log(self.parts)

    def _angle(self, x: Tensor, part: Tensor) -> Tensor:
        return 2 * math.pi / self.parts * part + self.rate * x.norm(dim=1).exp()

    def _straight(self, x: Tensor) -> Tensor:
        square = ((x - self.centre) / self.std).square().sum(dim=1)
        return -0.5 * square - self.std.log().sum() - math.log(2 * math.pi)


class Checkerboard(Planar):
    """Uniform on every other square of a board about the origin.

    Arguments:
        squares: The squares along a side, an even number.
        side: The side of a square.
    """

    def __init__(self, squares: int, side: float) -> None:
        super().__init__(squares**2 // 2, squares * side / 2, side)
        self.squares = squares
        self.side = side

    def draw(self, part: Tensor) -> Tensor:
        row = part // (self.squares // 2)
        column = 2 * (part % (self.squares // 2)) + row % 2
        corner = torch.stack([column, row], dim=1) - self.squares / 2
        return self.side * (corner + torch.rand(len(part), 2, dtype=torch.float64))

    def log_density(self, x: Tensor) -> Tensor:
        cell = (x / self.side + self.squares / 2).floor()
        inside = ((cell >= 0) & (cell < self.squares)).all(dim=1) & (cell.sum(dim=1) % 2 == 0)
        outside = torch.full((len(x),), -math.inf, dtype=x.dtype, device=x.device)
        return outside.masked_fill(inside, -self.entropy())

    def entropy(self) -> float:
        return math.log(self.parts * self.side**2)


def grid_entropy(log_prob: Callable[[Tensor], Tensor], extent: float, spacing: float) -> float:
    """The entropy of a smooth density in the plane, by the trapezoidal rule.

    On an analytic function that dies out before the edge the rule's error falls exponentially with
    the spacing, and is below 1e-5 where the spacing is half of the narrowest width.

    Arguments:
        log_prob: The log-density in nats, from (batch, 2) to (batch,).
        extent: Half the side of the square to integrate over.
        spacing: The distance between points.

    Returns:
        The entropy in nats.
    """
    axis = torch.linspace(-extent, extent, math.ceil(2 * extent / spacing), dtype=torch.float64)
    log_p = log_prob(torch.cartesian_prod(axis, axis))
    return float(-(log_p * log_p.exp()).sum() * (axis[1] - axis[0]) ** 2)


def _panels(panels: int) -> tuple[Tensor, Tensor]:
    import numpy as np

    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(7))
    starts = torch.arange(panels, dtype=torch.float64)[:, None]
    return ((starts + (nodes + 1) / 2) / panels).flatten(), (weights / 2 / panels).repeat(panels)


def _gaussian(x: Tensor, centres: Tensor, std: float) -> Tensor:
    # the square written out is one matrix product; in float64 its cancellation is harmless here
    x, centres = x / std, centres.to(x.device) / std
    halves = (x.square().sum(dim=1)[:, None] + centres.square().sum(dim=1)) / 2
    return torch.addmm(halves, x, centres.T, beta=-1) - math.log(2 * math.pi * std**2)


def _normal(n: int) -> Tensor:
    return torch.randn(n, 2, dtype=torch.float64)


def _direction(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def _rotate(x: Tensor, angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], dim=1)
