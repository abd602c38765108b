"""Small made-up data in any space, and all points of a small finite space."""

__all__ = ["example_context", "example_rows", "grid", "line", "states"]

import math

import torch
from torch import Tensor

from ptheta.spaces import Categorical, Discrete, Positive, Real, Space, Table, groups


def example_rows(space: Space, rows: int, seed: int = 0) -> Tensor:
    """Rows of a space, with structure to learn: values that depend on one hidden cause.

    Arguments:
        space: The space.
        rows: The number of rows.
        seed: The seed.

    Returns:
        The rows, with shape (rows, *space.shape), in the space's dtype.
    """
    g = torch.Generator().manual_seed(seed)
    cause = torch.randn(rows, 1, generator=g)
    x = torch.zeros(rows, space.features, dtype=torch.float64)
    for group in groups(space):
        columns = list(group.positions)
        noise = torch.randn(rows, len(columns), generator=g)
        x[:, columns] = _values(0.8 * cause + 0.6 * noise, group.space).double()
    if isinstance(space, Table):
        gaps = torch.tensor([column.missing for column in space.columns])
        hidden = torch.rand(x.shape, generator=g) < 0.2
        x = x.masked_fill(hidden & gaps, math.nan)
    return x.reshape(rows, *space.shape).to(space.dtype)


def example_context(space: Categorical | Real | None, rows: int, seed: int = 0) -> Tensor | None:
    """Rows of a context, or None; numbers are far from standardised."""
    if space is None:
        return None
    g = torch.Generator().manual_seed(seed)
    if isinstance(space, Categorical):
        return torch.randint(space.categories, (rows, *space.shape), generator=g)
    return 20 + 5 * torch.randn(rows, *space.shape, generator=g)


def states(space: Space, at_most: int = 5000) -> Tensor | None:
    """All points of a finite space, or None where there are too many or no end of them.

    Arguments:
        space: The space.
        at_most: The largest number of points that is enumerated.
    """
    counts = [0] * space.features
    for group in groups(space):
        for i in group.positions:
            counts[i] = _count(group.space)
    if 0 in counts or math.prod(counts) > at_most:
        return None
    points = torch.cartesian_prod(*(torch.arange(count) for count in counts))
    return points.reshape(-1, *space.shape).to(space.dtype)


def grid(half_width: float, points: int) -> tuple[Tensor, float]:
    """Points of a square around the origin, and the area that each stands for."""
    line = torch.linspace(-half_width, half_width, points)
    area = (2 * half_width / (points - 1)) ** 2
    return torch.cartesian_prod(line, line), area


def line(half_width: float, points: int, *, positive: bool = False) -> tuple[Tensor, Tensor]:
    """Points of a line around the origin, or above it, and the length that each stands for."""
    x = torch.linspace(-half_width, half_width, points)[:, None].double()
    if not positive:
        return x.float(), torch.full((points,), 2 * half_width / (points - 1)).double()
    # spaced evenly in the logarithm, since positive data reach over orders of magnitude
    return x.exp().float(), x[:, 0].exp() * 2 * half_width / (points - 1)


def _values(latent: Tensor, space: Space) -> Tensor:
    match space:
        case Positive():
            return latent.exp()
        case Discrete():
            return (torch.special.ndtr(latent) * space.levels).floor().clamp(max=space.levels - 1)
        case Categorical():
            share = torch.special.ndtr(latent) * space.categories
            return share.floor().clamp(max=space.categories - 1)
        case _:
            return latent


def _count(space: Space) -> int:
    match space:
        case Discrete():
            return space.levels
        case Categorical():
            return space.categories
        case _:
            return 0
