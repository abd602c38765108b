"""Densities that are known up to a constant, to be approximated by a model."""

__all__ = ["banana", "funnel", "ring_of_gaussians"]

import math

import torch
from torch import Tensor


def banana(x: Tensor) -> Tensor:
    r"""A Gaussian bent along a parabola, :math:`x_1 \sim N(0, 1), x_2 \sim N(x_1^2, 1/4)`.

    References:
        Adaptive proposal distribution for random walk Metropolis algorithm (Haario, Saksman &
        Tamminen, 1999), https://doi.org/10.1007/s001800050022, for the twist

    Arguments:
        x: Points, with shape (n, 2).

    Returns:
        The log-density, with shape (n,); its integral is pi.
    """
    first, second = x.unbind(dim=1)
    return -0.5 * first.square() - 2 * (second - first.square()).square()


def funnel(x: Tensor) -> Tensor:
    r"""Neal's funnel, :math:`x_1 \sim N(0, 9), x_i \sim N(0, e^{x_1})`.

    References:
        Slice Sampling (Neal, 2003), https://doi.org/10.1214/aos/1056562461, section 8

    Arguments:
        x: Points, with shape (n, values), of two values or more.

    Returns:
        The log-density, normalised, with shape (n,).
    """
    neck, rest = x[:, 0], x[:, 1:]
    width = rest.square().sum(dim=1) * (-neck).exp() + neck * rest.shape[1]
    constant = x.shape[1] * math.log(2 * math.pi) / 2 + math.log(3)
    return -neck.square() / 18 - 0.5 * width - constant


def ring_of_gaussians(
    x: Tensor, *, modes: int = 8, radius: float = 4.0, std: float = 0.5
) -> Tensor:
    """Gaussians of equal weight on a circle.

    Arguments:
        x: Points, with shape (n, 2).
        modes: The number of Gaussians.
        radius: The radius of the circle.
        std: The standard deviation of each.

    Returns:
        The log-density, normalised, with shape (n,).
    """
    angle = torch.arange(modes, device=x.device, dtype=x.dtype) * (2 * math.pi / modes)
    centres = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    squared = (x[:, None] - centres).square().sum(dim=2)
    constant = math.log(modes) + math.log(2 * math.pi * std**2)
    return torch.logsumexp(-squared / (2 * std**2), dim=1) - constant
