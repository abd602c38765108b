"""Paths from data to noise."""

__all__ = ["VarianceExploding"]

import math
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor


@dataclass(frozen=True)
class VarianceExploding:
    r"""Noise is added to data that stay as they are, in a geometric series of levels.

    .. math:: \alpha(t) = 1, \quad \sigma(t) = \sigma_\text{min}
        (\sigma_\text{max} / \sigma_\text{min})^t

    References:
        Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019),
        https://arxiv.org/abs/1907.05600, section 4.1

    Arguments:
        sigma_min: The standard deviation of the noise at t = 0.
        sigma_max: The standard deviation of the noise at t = 1.
        levels: The number of levels.

    Raises:
        ValueError: The standard deviations are not positive and ascending, or there are fewer
            than two levels.

    Example:
        >>> VarianceExploding(0.1, 10.0, levels=3).sigma(torch.tensor([0.0, 0.5, 1.0]))
        tensor([ 0.1000,  1.0000, 10.0000])
    """

    sigma_min: float = 0.01
    sigma_max: float = 10.0
    levels: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(
                f"expected 0 < sigma_min < sigma_max, got {self.sigma_min} and {self.sigma_max}"
            )
        if self.levels < 2:
            raise ValueError(f"expected two levels or more, got {self.levels}")

    @classmethod
    def for_standardised(
        cls,
        features: int,
        *,
        sigma_min: float = 0.01,
        sigma_max: float | None = None,
        levels: int | None = None,
    ) -> "VarianceExploding":
        r"""Levels for data of zero mean and unit variance in every value.

        The largest is twice the root mean squared distance of two examples, which is
        :math:`\sqrt{2 d}` on such data. The number is such that the shells of noise around an
        example at neighbouring levels overlap by half, and that no ratio is above 1.4.

        References:
            Improved Techniques for Training Score-Based Generative Models (Song & Ermon, 2020),
            https://arxiv.org/abs/2006.09011, techniques 1 and 2

        Arguments:
            features: The number of values in one example.
            sigma_min: The smallest level.
            sigma_max: The largest level; None chooses it as said.
            levels: The number of levels; None chooses it as said.
        """
        largest = 2 * math.sqrt(2 * features) if sigma_max is None else sigma_max
        if levels is None:
            span = math.log(largest / sigma_min)
            levels = max(2, 1 + math.ceil(span / math.log(_overlapping_ratio(features))))
        return cls(sigma_min, largest, levels)

    @property
    def ratio(self) -> float:
        """The standard deviation of each level over that of the one below it."""
        return (self.sigma_max / self.sigma_min) ** (1 / (self.levels - 1))

    def alpha(self, t: Tensor) -> Tensor:
        """The scale of the data at t: 1."""
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """The standard deviation of the noise at t, shaped as t."""
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return (low + (high - low) * t).exp()

    def times(self) -> Tensor:
        """The levels, ascending, with shape (levels,)."""
        return torch.linspace(0, 1, self.levels)


def _overlapping_ratio(features: int, overlap: float = 0.5, most: float = 1.4) -> float:
    normal = NormalDist()
    low, high = 1.0, most
    for _ in range(50):
        ratio = (low + high) / 2
        shift = math.sqrt(2 * features) * (ratio - 1)
        shared = normal.cdf(shift + 3 * ratio) - normal.cdf(shift - 3 * ratio)
        low, high = (ratio, high) if shared > overlap else (low, ratio)
    return low
