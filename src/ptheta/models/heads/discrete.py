"""Distributions of binary values, levels and categories."""

__all__ = ["BernoulliKind", "LogisticMixtureKind", "SoftmaxKind"]

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
from ptheta.spaces import missing_values


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
        return pick(parameters, x.long()) - parameters.logsumexp(dim=-2)

    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        return choose(parameters, uniforms[0]).to(parameters.dtype)

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
        inner = (x > 0) & (x < self.levels - 1)
        between = torch.where(inner, torch.log(-torch.expm1(-1 / scale)), torch.zeros_like(scale))
        mass = upper + lower + between
        return (logits + mass).logsumexp(dim=-2) - logits.logsumexp(dim=-2)

    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        logits, location, scale = self._mixture(parameters)
        chosen = choose(logits, uniforms[0])
        noise = torch.logit(inside(uniforms[1]))
        drawn = pick(location, chosen) + pick(scale, chosen) * noise
        return drawn.round().clamp(0, self.levels - 1)

    def centre(self, parameters: Tensor) -> Tensor:
        logits, location, _ = self._mixture(parameters)
        mean = (logits.softmax(dim=-2) * location).sum(dim=-2)
        return mean.round().clamp(0, self.levels - 1)

    def fit(self, x: Tensor) -> Tensor:
        half = (self.levels - 1) / 2
        centres, spread = covering(x.float() / half - 1, self.components)
        # the scale of a logistic is its standard deviation times sqrt(3) / pi
        raw = inverse_softplus(spread * math.sqrt(3) / math.pi)
        return torch.cat([torch.zeros_like(centres), centres, raw.expand_as(centres)])

    def _mixture(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = (self.levels - 1) / 2
        logits, location, raw = parameters.split(self.components, dim=-2)
        return logits, (location + 1) * half, F.softplus(raw) * half + self.min_scale
