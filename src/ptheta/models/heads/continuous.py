"""Distributions of real and positive values."""

__all__ = ["ExponentialMixtureKind", "GaussianMixtureKind", "HistogramKind"]

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ptheta.models.heads.kinds import (
    Kind,
    choose,
    count_codes,
    covering,
    inside,
    inverse_softplus,
    pick,
)

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class GaussianMixtureKind(Kind):
    """A mixture of Gaussians, for standardised real values.

    Arguments:
        components: The number of Gaussians.
        min_scale: The smallest standard deviation, in standard deviations of the data; it
            keeps repeated values from an unbounded density.

    Example:
        >>> kind = GaussianMixtureKind(components=1)
        >>> parameters = kind.of(torch.tensor([3.0]), torch.tensor([2.0]))
        >>> kind.log_prob(parameters, torch.tensor([3.0])).exp()  # 1 / (2 sqrt(2 pi))
        tensor([0.1995])
    """

    components: int = 5
    min_scale: float = 1e-3

    @property
    def size(self) -> int:
        return 3 * self.components if self.components > 1 else 2

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        logits, mean, scale = self._mixture(parameters)
        x = x.to(parameters.dtype).unsqueeze(-2)
        each = -0.5 * ((x - mean) / scale).square() - scale.log() - _HALF_LOG_TWO_PI
        if logits is None:
            return each.squeeze(-2)
        return (logits + each).logsumexp(dim=-2) - logits.logsumexp(dim=-2)

    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        logits, mean, scale = self._mixture(parameters)
        noise = torch.special.ndtri(inside(uniforms[1]))
        if logits is None:
            return mean.squeeze(-2) + scale.squeeze(-2) * noise
        chosen = choose(logits, uniforms[0])
        return pick(mean, chosen) + pick(scale, chosen) * noise

    def centre(self, parameters: Tensor) -> Tensor:
        logits, mean, _ = self._mixture(parameters)
        if logits is None:
            return mean.squeeze(-2)
        return (logits.softmax(dim=-2) * mean).sum(dim=-2)

    def fit(self, x: Tensor) -> Tensor:
        centres, spread = covering(x.float(), self.components)
        raw = inverse_softplus((spread - self.min_scale).clamp(min=self.min_scale))
        parts = [centres, raw.expand_as(centres)]
        if self.components > 1:
            parts.insert(0, torch.zeros_like(centres))
        return torch.cat(parts)

    def of(self, mean: Tensor, scale: Tensor) -> Tensor:
        """The parameters of one Gaussian for each value.

        Arguments:
            mean: The means, with shape (..., n).
            scale: The standard deviations, above `min_scale`, with shape (..., n).

        Returns:
            The parameters, with shape (..., 2, n).
        """
        return torch.stack([mean, inverse_softplus(scale - self.min_scale)], dim=-2)

    def _mixture(self, parameters: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        if self.components == 1:
            mean, raw = parameters.split(1, dim=-2)
            return None, mean, F.softplus(raw) + self.min_scale
        logits, mean, raw = parameters.split(self.components, dim=-2)
        return logits, mean, F.softplus(raw) + self.min_scale


@dataclass(frozen=True)
class ExponentialMixtureKind(Kind):
    r"""A mixture of exponentials, for positive values of mean one.

    .. math:: p(x) = \sum_k \pi_k \lambda_k e^{-\lambda_k x}

    Its density falls from zero on, however many components it has: it suits waiting times and
    amounts, not values that keep away from zero.

    Arguments:
        components: The number of exponentials.
        min_rate: The smallest rate; its inverse is the longest tail, in means of the data.

    Example:
        >>> kind = ExponentialMixtureKind(components=3)
        >>> x = torch.linspace(0, 60, 6001)
        >>> density = kind.log_prob(torch.zeros(kind.size, 6001), x).exp()
        >>> round(torch.trapezoid(density, x).item(), 3)
        1.0
    """

    components: int = 5
    min_rate: float = 1e-3

    @property
    def size(self) -> int:
        return 2 * self.components

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        logits, rate = self._mixture(parameters)
        each = rate.log() - rate * x.to(parameters.dtype).unsqueeze(-2)
        return (logits + each).logsumexp(dim=-2) - logits.logsumexp(dim=-2)

    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        logits, rate = self._mixture(parameters)
        return -torch.log1p(-inside(uniforms[1])) / pick(rate, choose(logits, uniforms[0]))

    def centre(self, parameters: Tensor) -> Tensor:
        logits, rate = self._mixture(parameters)
        return (logits.softmax(dim=-2) / rate).sum(dim=-2)

    def fit(self, x: Tensor) -> Tensor:
        mean = x.double().nanmean(dim=0).nan_to_num(nan=1.0).clamp(min=1e-6)
        # rates on both sides of the one that has the mean
        steps = torch.arange(self.components, device=x.device) - (self.components - 1) / 2
        rates = 1.5 ** steps[:, None] / mean
        raw = inverse_softplus((rates - self.min_rate).clamp(min=self.min_rate))
        return torch.cat([torch.zeros_like(raw), raw]).float()

    def _mixture(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        logits, raw = parameters.split(self.components, dim=-2)
        return logits, F.softplus(raw) + self.min_rate


@dataclass(frozen=True)
class HistogramKind(Kind):
    r"""A histogram of standardised real values, on the scale :math:`t = \sigma(u)`.

    The bins are equal in t, so they are narrow where the data are and unbounded at both ends:

    .. math:: p(u) = \text{bins} \cdot \pi_{\lfloor \text{bins} \cdot t \rfloor} \, t (1 - t)

    is positive everywhere and integrates to 1. The parameters are the logits of the bins.

    Arguments:
        bins: The number of bins, a power of two, so that coarser histograms are among them.
    """

    bins: int = 256

    @property
    def size(self) -> int:
        return self.bins

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        x = x.to(parameters.dtype)
        slope = F.logsigmoid(x) + F.logsigmoid(-x)
        mass = pick(parameters, self.bin_of(x)) - parameters.logsumexp(dim=-2)
        return mass + slope + math.log(self.bins)

    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        chosen = choose(parameters, uniforms[0])
        return torch.logit(inside((chosen + uniforms[1]) / self.bins))

    def centre(self, parameters: Tensor) -> Tensor:
        t = (torch.arange(self.bins, device=parameters.device) + 0.5) / self.bins
        return (parameters.softmax(dim=-2) * torch.logit(t)[:, None]).sum(dim=-2)

    def fit(self, x: Tensor) -> Tensor:
        counts = self.count(x)
        return ((counts + 0.5) / (counts + 0.5).sum(dim=0)).log().float()

    def count(self, x: Tensor) -> Tensor:
        """The number of values in each bin, with shape (bins, n), in float64."""
        return count_codes(self.bin_of(x).to(x.dtype).masked_fill(x.isnan(), math.nan), self.bins)

    def bin_of(self, x: Tensor) -> Tensor:
        """The bin in which each value lies."""
        t = x.nan_to_num(nan=0.0).sigmoid()
        return (t * self.bins).long().clamp(max=self.bins - 1)
