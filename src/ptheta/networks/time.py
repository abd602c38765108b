"""Features of a time, for networks that are conditioned on one."""

__all__ = ["TimeFeatures"]

import math

import torch
from torch import Tensor, nn


class TimeFeatures(nn.Module):
    r"""Sines and cosines of a time in [0, 1], at frequencies in a geometric series.

    References:
        Attention Is All You Need (Vaswani et al., 2017), https://arxiv.org/abs/1706.03762,
        section 3.5

    Arguments:
        features: The number of features; even.
        slowest: The lowest frequency, in turns over [0, 1].
        fastest: The highest frequency.

    Raises:
        ValueError: The number of features is odd.

    Example:
        >>> TimeFeatures(4)(torch.zeros(2))
        tensor([[0., 0., 1., 1.],
                [0., 0., 1., 1.]])
    """

    frequencies: Tensor

    def __init__(self, features: int = 32, slowest: float = 0.25, fastest: float = 16.0) -> None:
        super().__init__()
        if features % 2:
            raise ValueError(f"expected an even number of features, got {features}")
        self.features = features
        exponents = torch.linspace(math.log(slowest), math.log(fastest), features // 2)
        self.register_buffer("frequencies", 2 * math.pi * exponents.exp(), persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        """The features of t, with shape (batch,) to (batch, features)."""
        angles = t[:, None] * self.frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1)
