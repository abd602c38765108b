"""The usual synthetic sets in the plane, made on the spot, with their true density."""

__all__ = ["SYNTHETIC", "Synthetic", "truth_of"]

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ptheta.data.dataset import Truth
from ptheta.data.planar import Checkerboard, Circles, Gaussians, NoisyCurves, Pinwheel, Planar


@dataclass(frozen=True)
class Synthetic:
    """A synthetic set.

    Arguments:
        title: What it is, in a line.
        make: Builds the distribution.
        modes: Whether its parts are modes, so that modes covered can be counted.
    """

    title: str
    make: Callable[[], Planar]
    modes: bool = False


def truth_of(set_: Synthetic, planar: Planar) -> Truth:
    """What is known of a synthetic distribution.

    A sample counts as of a mode within three standard deviations of its centre, which holds 98.9%
    of the mode.

    Arguments:
        set_: The entry in the table.
        planar: The distribution that it made.
    """
    if set_.modes and isinstance(planar, Gaussians):
        centres = planar.centres.float()
        return Truth(planar.log_prob, planar.entropy(), centres, 3 * planar.std)
    return Truth(planar.log_prob, planar.entropy())


def _moons() -> Planar:
    return NoisyCurves((_upper_moon, _lower_moon), std=0.1, speed=math.pi)


def _upper_moon(u: Tensor) -> Tensor:
    return torch.stack([(math.pi * u).cos() - 0.5, (math.pi * u).sin() - 0.25], dim=1)


def _lower_moon(u: Tensor) -> Tensor:
    return -_upper_moon(u)


def _spirals() -> Planar:
    return NoisyCurves((_spiral, lambda u: -_spiral(u)), std=0.1, speed=30.0, power=0.5)


def _spiral(u: Tensor) -> Tensor:
    return _polar(math.pi * u, 3 * math.pi * u)


def _swiss_roll() -> Planar:
    return NoisyCurves((_roll,), std=0.2, speed=27.0)


def _roll(u: Tensor) -> Tensor:
    angle = 1.5 * math.pi * (1 + 2 * u)
    return _polar(angle / 5, angle)


def _polar(radius: Tensor, angle: Tensor) -> Tensor:
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def _eight() -> Planar:
    angles = torch.arange(8) * (math.pi / 4)
    return Gaussians(_polar(torch.full((8,), 2 * math.sqrt(2)), angles), std=math.sqrt(2) / 4)


def _twenty_five() -> Planar:
    axis = torch.arange(-2.0, 3.0) * 2
    return Gaussians(torch.cartesian_prod(axis, axis), std=0.05)


SYNTHETIC: Mapping[str, Synthetic] = {
    "moons": Synthetic("two interleaved half circles with noise", _moons),
    "circles": Synthetic("a circle in a circle, with noise", lambda: Circles((1.0, 0.5), 0.05)),
    "checkerboard": Synthetic(
        "uniform on every other square of a board", lambda: Checkerboard(4, 2.0)
    ),
    "pinwheel": Synthetic("five wound-up arms", lambda: Pinwheel(5, 1.0, 0.3, 0.1, 0.25)),
    "spirals": Synthetic("two interleaved spirals with noise", _spirals),
    "rings": Synthetic(
        "four concentric circles with noise", lambda: Circles((1.0, 2.0, 3.0, 4.0), 0.15)
    ),
    "eight-gaussians": Synthetic("eight Gaussians on a circle", _eight, modes=True),
    "twenty-five-gaussians": Synthetic(
        "a five by five grid of narrow Gaussians", _twenty_five, modes=True
    ),
    "swiss-roll": Synthetic("a rolled-up line with noise", _swiss_roll),
}
