"""Paths from data to noise."""

__all__ = [
    "Cosine",
    "Even",
    "Straight",
    "SubVariancePreserving",
    "VarianceExploding",
    "VariancePreserving",
    "log_noise",
    "log_ratio",
]

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import torch
from torch import Tensor

from ptheta.noising import Path

_LEAST_DATA = 0.01
_FINE = 100_001  # times at which a path is looked at, to space its levels


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
        _check_levels(self.levels)

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


@dataclass(frozen=True)
class VariancePreserving:
    r"""Data fade as noise is added, so that the variance of standardised data stays 1.

    .. math:: \alpha(t)^2 = \exp\left(- \beta_0 t - (\beta_1 - \beta_0) t^2 / 2\right), \quad
        \sigma(t)^2 = 1 - \alpha(t)^2

    With a thousand levels and the defaults that is the linear schedule of DDPM.

    References:
        Denoising Diffusion Probabilistic Models (Ho, Jain & Abbeel, 2020),
        https://arxiv.org/abs/2006.11239, section 4
        Score-Based Generative Modeling through Stochastic Differential Equations (Song et al.,
        2021), https://arxiv.org/abs/2011.13456, equation 32

    Arguments:
        beta_0: The rate of noise at t = 0.
        beta_1: The rate at t = 1.
        levels: The number of levels.

    Raises:
        ValueError: The rates are not positive and ascending, or there are fewer than two levels.

    Example:
        >>> path = VariancePreserving()
        >>> t = torch.tensor([0.5])
        >>> round((path.alpha(t).square() + path.sigma(t).square()).item(), 4)
        1.0
    """

    beta_0: float = 0.1
    beta_1: float = 20.0
    levels: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.beta_0 < self.beta_1:
            raise ValueError(f"expected 0 < beta_0 < beta_1, got {self.beta_0} and {self.beta_1}")
        _check_levels(self.levels)

    def alpha(self, t: Tensor) -> Tensor:
        """The scale of the data at t, shaped as t."""
        return (-self._lost(t) / 2).exp()

    def sigma(self, t: Tensor) -> Tensor:
        """The standard deviation of the noise at t, shaped as t."""
        return (-torch.expm1(-self._lost(t))).sqrt()

    def times(self) -> Tensor:
        """The levels, ascending, with shape (levels,)."""
        return _levels(self.levels)

    def _lost(self, t: Tensor) -> Tensor:
        return self.beta_0 * t + (self.beta_1 - self.beta_0) / 2 * t.square()


@dataclass(frozen=True)
class SubVariancePreserving(VariancePreserving):
    r"""Data fade as in `VariancePreserving`, with less noise: :math:`\sigma = 1 - \alpha^2`.

    References:
        Score-Based Generative Modeling through Stochastic Differential Equations (Song et al.,
        2021), https://arxiv.org/abs/2011.13456, section 3.4

    Arguments:
        beta_0: The rate of noise at t = 0.
        beta_1: The rate at t = 1.
        levels: The number of levels.

    Raises:
        ValueError: The rates are not positive and ascending, or there are fewer than two levels.
    """

    def sigma(self, t: Tensor) -> Tensor:
        """The standard deviation of the noise at t, shaped as t."""
        return -torch.expm1(-self._lost(t))


@dataclass(frozen=True)
class Cosine:
    r"""Data turn into noise at a steady angle, :math:`\alpha = \cos \phi, \sigma = \sin \phi`.

    .. math:: \phi(t) = \frac{\pi}{2} \left(s + (1 - 2 s) t\right)

    The paper begins at data alone and ends at noise alone; here both keep a little of the other.

    References:
        Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal, 2021),
        https://arxiv.org/abs/2102.09672, equation 17

    Arguments:
        offset: The share s of the quarter turn that is left out at either end.
        levels: The number of levels.

    Raises:
        ValueError: The offset is not above 0 and below a half, or there are fewer than two levels.
    """

    offset: float = 0.008
    levels: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.offset < 0.5:
            raise ValueError(f"expected an offset above 0 and below 0.5, got {self.offset}")
        _check_levels(self.levels)

    def alpha(self, t: Tensor) -> Tensor:
        """The scale of the data at t, shaped as t."""
        return self._angle(t).cos()

    def sigma(self, t: Tensor) -> Tensor:
        """The standard deviation of the noise at t, shaped as t."""
        return self._angle(t).sin()

    def times(self) -> Tensor:
        """The levels, ascending, with shape (levels,)."""
        return torch.linspace(0, 1, self.levels)

    def _angle(self, t: Tensor) -> Tensor:
        return math.pi / 2 * (self.offset + (1 - 2 * self.offset) * t)


@dataclass(frozen=True)
class Straight:
    r"""Each example goes to its noise in a straight line, which is what flow matching learns.

    .. math:: \alpha(t) = 1 - t, \quad \sigma(t) = \sigma_\text{min} + (1 - \sigma_\text{min}) t

    References:
        Flow Matching for Generative Modeling (Lipman et al., 2023),
        https://arxiv.org/abs/2210.02747, equation 20, with time the other way round
        Flow Straight and Fast (Liu, Gong & Liu, 2022), https://arxiv.org/abs/2209.03003

    Arguments:
        sigma_min: The standard deviation of the noise at t = 0.
        levels: The number of levels.

    Raises:
        ValueError: The least noise is not above 0 and below 1, or there are fewer than two levels.
    """

    sigma_min: float = 1e-3
    levels: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < 1:
            raise ValueError(f"expected sigma_min above 0 and below 1, got {self.sigma_min}")
        _check_levels(self.levels)

    def alpha(self, t: Tensor) -> Tensor:
        """The scale of the data at t, shaped as t."""
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        """The standard deviation of the noise at t, shaped as t."""
        return self.sigma_min + (1 - self.sigma_min) * t

    def times(self) -> Tensor:
        """The levels, ascending, with shape (levels,)."""
        return torch.linspace(0, 1, self.levels)


@dataclass(frozen=True)
class Even:
    r"""Another path with levels that lie evenly in :math:`\log (\sigma / \alpha)`.

    Trained at these levels, each by the squared error of its noise, a denoiser has as its loss what
    steps of a chain through them lose of the likelihood, to a factor and but for its ends. A chain
    through them has a tighter bound than through levels that lie evenly in time.

    References:
        Maximum Likelihood Training of Score-Based Diffusion Models (Song, Durkan, Murray & Ermon,
        2021), https://arxiv.org/abs/2101.09258, section 4
        Variational Diffusion Models (Kingma, Salimans, Poole & Ho, 2021),
        https://arxiv.org/abs/2107.00630

    Arguments:
        path: The path.
        levels: The number of levels.

    Raises:
        ValueError: There are fewer than two levels.

    Example:
        >>> path = Even(Cosine(), levels=5)
        >>> log_noise(path, path.times()).diff().abs().round(decimals=3).unique().numel()
        1
    """

    path: Path
    levels: int = 1000

    def __post_init__(self) -> None:
        _check_levels(self.levels)

    def alpha(self, t: Tensor) -> Tensor:
        """The scale of the data at t, shaped as t."""
        return self.path.alpha(t)

    def sigma(self, t: Tensor) -> Tensor:
        """The standard deviation of the noise at t, shaped as t."""
        return self.path.sigma(t)

    def times(self) -> Tensor:
        """The levels, ascending, with shape (levels,)."""
        return self._times

    @cached_property
    def _times(self) -> Tensor:
        least = self.path.times()[0].item()
        fine = torch.linspace(least, 1.0, _FINE, dtype=torch.float64)
        noise = log_noise(self.path, fine)
        even = torch.linspace(noise[0].item(), noise[-1].item(), self.levels, dtype=torch.float64)
        # the finer time on either side, and where between them the level lies
        after = torch.searchsorted(noise, even).clamp(1, _FINE - 1)
        share = (even - noise[after - 1]) / (noise[after] - noise[after - 1])
        return torch.lerp(fine[after - 1], fine[after], share.clamp(0, 1)).float()


def log_noise(path: Path, t: Tensor) -> Tensor:
    """The log of noise over data, up to where data are a hundredth of them.

    Arguments:
        path: The path.
        t: The time, of any shape.
    """
    return log_ratio(path.alpha(t), path.sigma(t))


def log_ratio(alpha: Tensor, sigma: Tensor) -> Tensor:
    """As `log_noise`, of the scales of data and noise."""
    return (sigma / alpha.clamp(min=_LEAST_DATA)).log()


def _check_levels(levels: int) -> None:
    if levels < 2:
        raise ValueError(f"expected two levels or more, got {levels}")


def _levels(levels: int) -> Tensor:
    """Levels where t = 0 is none, since there is no noise."""
    return torch.linspace(1 / levels, 1, levels)


def _overlapping_ratio(features: int, overlap: float = 0.5, most: float = 1.4) -> float:
    normal = NormalDist()
    low, high = 1.0, most
    for _ in range(50):
        ratio = (low + high) / 2
        shift = math.sqrt(2 * features) * (ratio - 1)
        shared = normal.cdf(shift + 3 * ratio) - normal.cdf(shift - 3 * ratio)
        low, high = (ratio, high) if shared > overlap else (low, ratio)
    return low
