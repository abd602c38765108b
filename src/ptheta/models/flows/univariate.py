"""Increasing maps of one value, whose coefficients a network gives."""

__all__ = ["Affine", "Reversed", "Shift", "Univariate"]

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor


class Univariate(ABC):
    """An increasing map of single values, without weights of its own.

    Required: both maps, and the number of coefficients. Coefficients of all zeros give a map near
    the identity. They stand first in memory, (size, ...) for values of shape (...), so that
    arithmetic runs along the values and never along the few coefficients of one.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of coefficients of a value."""

    @abstractmethod
    def forward(self, z: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Maps noise to data.

        Arguments:
            z: The noise, of any shape.
            coefficients: The coefficients, with shape (size, *z.shape).

        Returns:
            The data, and log dx/dz, both shaped as z.
        """

    @abstractmethod
    def inverse(self, x: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Maps data to noise.

        Arguments:
            x: The data, of any shape.
            coefficients: The coefficients, with shape (size, *x.shape).

        Returns:
            The noise, and log dz/dx, both shaped as x.
        """


@dataclass(frozen=True)
class Shift(Univariate):
    r"""Adds a number, :math:`x = z + t`: what NICE does, which keeps volumes.

    References:
        NICE: Non-linear Independent Components Estimation (Dinh, Krueger & Bengio, 2014),
        https://arxiv.org/abs/1410.8516, section 3.2

    Example:
        >>> x, log_slope = Shift().forward(torch.ones(3), 2 * torch.ones(1, 3))
        >>> x.tolist(), log_slope.tolist()
        ([3.0, 3.0, 3.0], [0.0, 0.0, 0.0])
    """

    @property
    def size(self) -> int:
        return 1

    def forward(self, z: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        return z + coefficients[0], torch.zeros_like(z)

    def inverse(self, x: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        return x - coefficients[0], torch.zeros_like(x)


@dataclass(frozen=True)
class Affine(Univariate):
    r"""Scales data and adds, :math:`z = x \, e^{s} + t`.

    The log-scale is kept within :math:`\pm c` as :math:`c \tanh(s / c)`, so that a step can
    neither vanish nor explode; the scales of steps multiply.

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2016),
        https://arxiv.org/abs/1605.08803, equations 4 to 8

    Arguments:
        bound: The bound c of the log-scale.

    Raises:
        ValueError: The bound is not above 0.

    Example:
        >>> z, log_slope = Affine().inverse(torch.ones(3), torch.zeros(2, 3))
        >>> z.tolist(), log_slope.tolist()
        ([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    """

    bound: float = 1.0
    _range: Tensor = field(init=False, repr=False, compare=False)
    _narrow: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.bound < math.inf:
            raise ValueError(f"the bound of the log-scale must be above 0, got {self.bound}")
        # as tensors, since numbers are twice as dear where values are drawn one by one
        for name, value in (("_range", 2 * self.bound), ("_narrow", 2 / self.bound)):
            object.__setattr__(self, name, torch.tensor(value, device="cpu"))

    @property
    def size(self) -> int:
        return 2

    def forward(self, z: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = coefficients
        log_slope = self._log_scale(raw).neg()
        return (z - shift) * log_slope.exp(), log_slope

    def inverse(self, x: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = coefficients
        log_slope = self._log_scale(raw)
        return torch.addcmul(shift, x, log_slope.exp()), log_slope

    def _log_scale(self, raw: Tensor) -> Tensor:
        # c tanh(s / c) by the logistic function, an eighth as dear on a CPU
        return (torch.sigmoid(raw * self._narrow) - 0.5) * self._range


@dataclass(frozen=True)
class Reversed(Univariate):
    r"""Another map the other way round: of noise as that is of data.

    `Affine` reversed is :math:`x = z \, e^{s} + t`, as the paper of MAF has it. It trains worse: an
    error of the shift weighs the more the narrower the scale.

    References:
        Masked Autoregressive Flow for Density Estimation (Papamakarios, Pavlakou & Murray, 2017),
        https://arxiv.org/abs/1705.07057, equations 3 and 4

    Arguments:
        univariate: The other map.

    Example:
        >>> coefficients = torch.tensor([[0.0], [3.0]])  # a log-scale and a shift
        >>> Reversed(Affine()).forward(torch.ones(1), coefficients)[0]
        tensor([4.])
    """

    univariate: Univariate

    @property
    def size(self) -> int:
        return self.univariate.size

    def forward(self, z: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        return self.univariate.inverse(z, coefficients)

    def inverse(self, x: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        return self.univariate.forward(x, coefficients)
