r"""Distributions of one kind of value, as functions of unconstrained parameters.

Parameters have shape ``(..., size, n)`` for n values of a kind: the short dimension, over which
softmax and mixtures reduce, is never the last, so that the arithmetic runs along the n values.
Parameters and values broadcast over what stands before.
"""

__all__ = [
    "BernoulliKind",
    "ExponentialMixtureKind",
    "GaussianMixtureKind",
    "HistogramKind",
    "Kind",
    "LogisticMixtureKind",
    "SoftmaxKind",
]

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ptheta.spaces import missing_values

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class Kind(ABC):
    """The distribution of one kind of value.

    Required: `size`, `log_prob`, `draw`, `centre`, `fit`. Promised: `draw` follows `log_prob`,
    and is a deterministic function of its uniform noise.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of parameters of one value."""

    @abstractmethod
    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """The log-mass or log-density of each value.

        Arguments:
            parameters: The parameters, with shape (..., size, n).
            x: The values, with shape (..., n).

        Returns:
            The figures in nats, with shape (..., n).
        """

    @abstractmethod
    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        """One draw of each value.

        Arguments:
            parameters: The parameters, with shape (..., size, n).
            uniforms: Noise from [0, 1), with shape (2, ..., n).

        Returns:
            The draws, with shape (..., n).
        """

    @abstractmethod
    def centre(self, parameters: Tensor) -> Tensor:
        """The mean of each value, as a level where there are levels; or the likeliest category."""

    @abstractmethod
    def fit(self, x: Tensor) -> Tensor:
        """Parameters near the marginal of each value: where a network starts from.

        Arguments:
            x: The values, with shape (rows, n); NaN is missing.

        Returns:
            The parameters, with shape (size, n).
        """


@dataclass(frozen=True)
class BernoulliKind(Kind):
    """A logit, for values of two levels.

    Example:
        >>> logit = torch.zeros(1, 3)  # one parameter for each of three values
        >>> BernoulliKind().log_prob(logit, torch.tensor([0, 1, 1])).exp()
        tensor([0.5000, 0.5000, 0.5000])
    """

    @property
    def size(self) -> int:
        return 1

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        logit = parameters.squeeze(-2)
        return x.to(logit.dtype) * logit - F.softplus(logit)

    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        # compared in place: a tensor of booleans to convert is dear where values come one by one
        return (parameters.squeeze(-2).sigmoid() - uniforms[0]).gt_(0)

    def centre(self, parameters: Tensor) -> Tensor:
        return (parameters.squeeze(-2) > 0).to(parameters.dtype)

    def fit(self, x: Tensor) -> Tensor:
        ones = x.double().nan_to_num(nan=0.0).sum(dim=0)
        zeros = (~missing_values(x)).sum(dim=0) - ones
        return ((ones + 0.5) / (zeros + 0.5)).log().float().unsqueeze(0)


@dataclass(frozen=True)
class SoftmaxKind(Kind):
    """A logit for each category or level.

    Arguments:
        categories: The number of categories or levels.
        ordered: Whether they are levels.

    Example:
        >>> logits = torch.tensor([[1.0], [3.0]]).log()  # two categories of one value
        >>> SoftmaxKind(categories=2).log_prob(logits, torch.tensor([1])).exp()
        tensor([0.7500])
    """

    categories: int
    ordered: bool = False

    @property
    def size(self) -> int:
        return self.categories

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        return _pick(parameters, x.long()) - parameters.logsumexp(dim=-2)

    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        return _choose(parameters, uniforms[0]).to(parameters.dtype)

    def centre(self, parameters: Tensor) -> Tensor:
        if not self.ordered:
            return parameters.argmax(dim=-2).to(parameters.dtype)
        levels = torch.arange(self.categories, device=parameters.device)
        return (parameters.softmax(dim=-2) * levels[:, None]).sum(dim=-2).round()

    def fit(self, x: Tensor) -> Tensor:
        counts = count_codes(x, self.categories)
        return ((counts + 0.5) / (counts + 0.5).sum(dim=0)).log().float()


@dataclass(frozen=True)
class LogisticMixtureKind(Kind):
    r"""A mixture of logistics rounded to levels, the ends taking what lies beyond them.

    With the cell of level x between :math:`a` and :math:`b` in units of the scale,

    .. math:: \log (\sigma(b) - \sigma(a))
        = \log \sigma(b) + \log \sigma(-a) + \log (1 - e^{a - b}),

    which is stable everywhere and needs no special case for cells of little mass.

    References:
        PixelCNN++ (Salimans, Karpathy, Chen & Kingma, 2017), https://arxiv.org/abs/1701.05517,
        section 2.1

    Arguments:
        levels: The number of levels.
        components: The number of logistics.
        min_scale: The smallest scale, in levels; at the default a cell can still hold all but
            1e-4 of its component.

    Example:
        >>> kind = LogisticMixtureKind(levels=16, components=2)
        >>> parameters = torch.randn(kind.size, 1, generator=torch.Generator().manual_seed(0))
        >>> total = kind.log_prob(parameters.expand(-1, 16), torch.arange(16)).exp().sum()
        >>> round(total.item(), 5)
        1.0
    """

    levels: int
    components: int = 5
    min_scale: float = 0.05

    @property
    def size(self) -> int:
        return 3 * self.components

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        logits, location, scale = self._mixture(parameters)
        x = x.to(parameters.dtype).unsqueeze(-2)
        upper = F.logsigmoid((x + 0.5 - location) / scale)
        lower = F.logsigmoid((location - x + 0.5) / scale)
        upper = torch.where(x >= self.levels - 1, torch.zeros_like(upper), upper)
        lower = torch.where(x <= 0, torch.zeros_like(lower), lower)
        inside = (x > 0) & (x < self.levels - 1)
        between = torch.where(inside, torch.log(-torch.expm1(-1 / scale)), torch.zeros_like(scale))
        mass = upper + lower + between
        return (logits + mass).logsumexp(dim=-2) - logits.logsumexp(dim=-2)

    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        logits, location, scale = self._mixture(parameters)
        chosen = _choose(logits, uniforms[0])
        noise = torch.logit(_inside(uniforms[1]))
        drawn = _pick(location, chosen) + _pick(scale, chosen) * noise
        return drawn.round().clamp(0, self.levels - 1)

    def centre(self, parameters: Tensor) -> Tensor:
        logits, location, _ = self._mixture(parameters)
        mean = (logits.softmax(dim=-2) * location).sum(dim=-2)
        return mean.round().clamp(0, self.levels - 1)

    def fit(self, x: Tensor) -> Tensor:
        half = (self.levels - 1) / 2
        centres, spread = _spread(x.float() / half - 1, self.components)
        # the scale of a logistic is its standard deviation times sqrt(3) / pi
        raw = _inverse_softplus(spread * math.sqrt(3) / math.pi)
        return torch.cat([torch.zeros_like(centres), centres, raw.expand_as(centres)])

    def _mixture(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = (self.levels - 1) / 2
        logits, location, raw = parameters.split(self.components, dim=-2)
        return logits, (location + 1) * half, F.softplus(raw) * half + self.min_scale


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
        noise = torch.special.ndtri(_inside(uniforms[1]))
        if logits is None:
            return mean.squeeze(-2) + scale.squeeze(-2) * noise
        chosen = _choose(logits, uniforms[0])
        return _pick(mean, chosen) + _pick(scale, chosen) * noise

    def centre(self, parameters: Tensor) -> Tensor:
        logits, mean, _ = self._mixture(parameters)
        if logits is None:
            return mean.squeeze(-2)
        return (logits.softmax(dim=-2) * mean).sum(dim=-2)

    def fit(self, x: Tensor) -> Tensor:
        centres, spread = _spread(x.float(), self.components)
        raw = _inverse_softplus((spread - self.min_scale).clamp(min=self.min_scale))
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
        return torch.stack([mean, _inverse_softplus(scale - self.min_scale)], dim=-2)

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
        return -torch.log1p(-_inside(uniforms[1])) / _pick(rate, _choose(logits, uniforms[0]))

    def centre(self, parameters: Tensor) -> Tensor:
        logits, rate = self._mixture(parameters)
        return (logits.softmax(dim=-2) / rate).sum(dim=-2)

    def fit(self, x: Tensor) -> Tensor:
        mean = x.double().nanmean(dim=0).nan_to_num(nan=1.0).clamp(min=1e-6)
        # rates on both sides of the one that has the mean
        steps = torch.arange(self.components, device=x.device) - (self.components - 1) / 2
        rates = 1.5 ** steps[:, None] / mean
        raw = _inverse_softplus((rates - self.min_rate).clamp(min=self.min_rate))
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
        mass = _pick(parameters, self.bin_of(x)) - parameters.logsumexp(dim=-2)
        return mass + slope + math.log(self.bins)

    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        chosen = _choose(parameters, uniforms[0])
        return torch.logit(_inside((chosen + uniforms[1]) / self.bins))

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


def count_codes(x: Tensor, categories: int) -> Tensor:
    """How often each code occurs among each value.

    Arguments:
        x: The codes, with shape (rows, n); NaN is missing.
        categories: The number of codes.

    Returns:
        The counts, with shape (categories, n), in float64.
    """
    seen = ~missing_values(x)
    codes = x.nan_to_num(nan=0.0).long() if x.is_floating_point() else x.long()
    counts = torch.zeros(categories, x.shape[1], dtype=torch.float64, device=x.device)
    return counts.scatter_add_(0, codes, seen.double())


def _pick(parameters: Tensor, index: Tensor) -> Tensor:
    """The entry along dimension -2 at an index of shape (..., n), with broadcasting."""
    index = index.unsqueeze(-2)
    lead = torch.broadcast_shapes(parameters.shape[:-2], index.shape[:-2])
    parameters = parameters.expand(*lead, *parameters.shape[-2:])
    return parameters.gather(-2, index.expand(*lead, *index.shape[-2:])).squeeze(-2)


def _choose(logits: Tensor, uniforms: Tensor) -> Tensor:
    """A category for each uniform, by inversion of the distribution function."""
    if logits.shape[-2] == 1:
        return torch.zeros_like(uniforms, dtype=torch.long)
    cumulative = logits.softmax(dim=-2).cumsum(dim=-2)
    # of what the sum comes to, which rounding may leave short of 1: the last category may be
    # one of no probability, and is not to be drawn
    share = uniforms.unsqueeze(-2) * cumulative[..., -1:, :]
    return (cumulative[..., :-1, :] <= share).sum(dim=-2)


def _inside(uniforms: Tensor) -> Tensor:
    """Uniforms kept off 0 and 1, where quantile functions are infinite."""
    tiny = torch.finfo(uniforms.dtype).eps / 2
    return uniforms.clamp(tiny, 1 - tiny)


def _inverse_softplus(y: Tensor) -> Tensor:
    return y + torch.log(-torch.expm1(-y))


def _spread(x: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Quantiles of each value, with shape (components, n), and a scale that covers the gaps."""
    rows = max(64, min(4096, 2**23 // max(1, x.shape[1])))  # torch's quantile takes 2**24 values
    if x.shape[0] > rows:
        x = x[torch.linspace(0, x.shape[0] - 1, rows, device=x.device).long()]
    x = torch.where((~missing_values(x)).any(dim=0), x, torch.zeros_like(x))
    shares = (torch.arange(components, device=x.device) + 0.5) / components
    centres = x.nanquantile(shares, dim=0)
    if components == 1:
        centres = x.nanmean(dim=0, keepdim=True)
    variance = (x - x.nanmean(dim=0)).square().nanmean(dim=0)
    return centres, (variance / components).sqrt().clamp(min=1e-2)
