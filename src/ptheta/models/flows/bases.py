"""Noise of which flows are made."""

__all__ = ["Base", "Gaussian", "Logistic"]

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.models.flows.bijections import check_shape, check_sizes


class Base(nn.Module, ABC):
    """Independent noise of a simple law, with scale 1.

    Required: `log_prob` and `draw`. Vectors with a row an example.

    Arguments:
        features: The number of values of an example.

    Raises:
        ValueError: There are no values.
    """

    origin: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        check_sizes("features", features)
        self.features = features
        # noise is made where this lies, so that a flow without parameters has a device too
        self.register_buffer("origin", torch.zeros(features), persistent=False)

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density in nats of noise of shape (batch, features), with shape (batch,).

        Raises:
            ValueError: The noise has another shape.
        """

    @abstractmethod
    def draw(self, n: int) -> Tensor:
        """Noise, with shape (n, features)."""


class Gaussian(Base):
    """Standard Gaussian noise.

    Example:
        >>> base = Gaussian(2)
        >>> base.draw(5).shape, base.log_prob(torch.zeros(1, 2)).exp().item() * 2 * math.pi
        (torch.Size([5, 2]), 1.0...)
    """

    def log_prob(self, z: Tensor) -> Tensor:
        check_shape(z, (self.features,), "noise")
        return -0.5 * z.square().sum(dim=1) - 0.5 * math.log(2 * math.pi) * self.features

    def draw(self, n: int) -> Tensor:
        return torch.randn(n, self.features, device=self.origin.device, dtype=self.origin.dtype)


class Logistic(Base):
    """Standard logistic noise, which NICE takes.

    Example:
        >>> Logistic(1).log_prob(torch.zeros(1, 1)).exp()  # the slope of the sigmoid at 0
        tensor([0.2500])
    """

    def log_prob(self, z: Tensor) -> Tensor:
        check_shape(z, (self.features,), "noise")
        return (F.logsigmoid(z) + F.logsigmoid(-z)).sum(dim=1)

    def draw(self, n: int) -> Tensor:
        uniform = torch.rand(n, self.features, device=self.origin.device, dtype=self.origin.dtype)
        return torch.logit(uniform, eps=torch.finfo(uniform.dtype).eps)
