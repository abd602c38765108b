r"""Products of counted marginals, one set for each class.

.. math:: p(x \mid c) = \prod_d p_d(x_d \mid c)

What is counted of a value depends on its kind, and so does what the counts come to: frequencies,
a histogram, or a Gaussian. Missing values are left out of the counts, and marginalised.
"""

__all__ = ["Frequencies", "Gaussian", "Histogram", "Marginal", "Marginals"]

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.distributions import Distribution

from ptheta.models.heads.continuous import GaussianMixtureKind, HistogramKind
from ptheta.models.heads.discrete import SoftmaxKind
from ptheta.models.heads.head import Factorised, Head
from ptheta.models.heads.kinds import Kind, count_codes
from ptheta.models.normalised import FromFunctions, Normalised
from ptheta.networks.context import ContextFeatures
from ptheta.spaces import Categorical, Discrete, Group, Real, Space, groups, missing_values

_JEFFREYS = 0.5


class Marginal(ABC):
    """How the distribution of one kind of value is learnt from counts.

    Required: `kind`, `size`, `count`, `parameters`. Promised: the counts of batches add up.
    """

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """The distribution."""

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of counts of one value."""

    @abstractmethod
    def count(self, x: Tensor) -> Tensor:
        """The counts of values.

        Arguments:
            x: The values, with shape (rows, n); NaN is missing.

        Returns:
            The counts, with shape (size, n), in float64.
        """

    @abstractmethod
    def parameters(self, counts: Tensor) -> Tensor:
        """What the counts come to.

        Arguments:
            counts: The counts, with shape (classes, size, n).

        Returns:
            The parameters of the distributions, with shape (classes, kind.size, n).
        """


@dataclass(frozen=True)
class Frequencies(Marginal):
    """The frequency of each level or category.

    Arguments:
        codes: The number of levels or categories.
        ordered: Whether they are levels.
        smoothing: The counts that are added to each.
    """

    codes: int
    ordered: bool
    smoothing: float

    @property
    def kind(self) -> SoftmaxKind:
        return SoftmaxKind(self.codes, self.ordered)

    @property
    def size(self) -> int:
        return self.codes

    def count(self, x: Tensor) -> Tensor:
        return count_codes(x, self.codes)

    def parameters(self, counts: Tensor) -> Tensor:
        return _smoothed(counts, self.smoothing)


@dataclass(frozen=True)
class Histogram(Marginal):
    """The histogram of most evidence among those that are nested in the finest.

    References:
        Optimal data-based binning for histograms (Knuth, 2006),
        https://arxiv.org/abs/physics/0605197, equation 31

    Arguments:
        bins: The number of bins of the finest, a power of two.
    """

    bins: int

    @property
    def kind(self) -> HistogramKind:
        return HistogramKind(self.bins)

    @property
    def size(self) -> int:
        return self.bins

    def count(self, x: Tensor) -> Tensor:
        return self.kind.count(x)

    def parameters(self, counts: Tensor) -> Tensor:
        best = torch.full_like(counts[..., :1, :], -math.inf)
        logits = torch.zeros_like(counts)
        for log_bins in range(self.bins.bit_length()):
            wide = self.bins // 2**log_bins
            merged = counts.unflatten(-2, (2**log_bins, -1)).sum(dim=-2)
            evidence = _evidence(merged)
            split = _smoothed(merged, _JEFFREYS) - math.log(wide)
            logits = torch.where(evidence > best, split.repeat_interleave(wide, dim=-2), logits)
            best = torch.maximum(best, evidence)
        return logits


@dataclass(frozen=True)
class Gaussian(Marginal):
    r"""A Gaussian of the mean and variance of what was seen.

    .. math:: \hat\sigma^2 = \frac{1}{n} \sum_i (x_i - \hat\mu)^2 + \text{floor}

    A class in which nothing was seen has mean 0 and variance 1: those of all data together.

    Arguments:
        floor: What is added to each variance, in units of the variance of the data.
        shared: Whether all classes have the variance within classes, rather than each its own.
    """

    floor: float
    shared: bool

    @property
    def kind(self) -> GaussianMixtureKind:
        return GaussianMixtureKind(components=1, min_scale=0.0)

    @property
    def size(self) -> int:
        return 3

    def count(self, x: Tensor) -> Tensor:
        seen = ~missing_values(x)
        x = x.double().nan_to_num(nan=0.0)
        return torch.stack([seen.double().sum(dim=0), x.sum(dim=0), x.square().sum(dim=0)])

    def parameters(self, counts: Tensor) -> Tensor:
        n, total, squares = counts.unbind(dim=-2)
        mean = total / n.clamp(min=1)
        scatter = (squares - total * mean).clamp(min=0)
        if self.shared:
            n, scatter = n.sum(dim=0).expand_as(n), scatter.sum(dim=0).expand_as(n)
        variance = torch.where(n > 0, scatter / n.clamp(min=1), torch.ones_like(n))
        return self.kind.of(mean, (variance + self.floor).sqrt())


class Marginals(Normalised):
    """Independent values, each with its own counted marginal. Abstract.

    Required: the constructor of a final class says how real values are counted.

    Arguments:
        space: The space of the examples; real values are expected to be standardised.
        context_space: The categories that have marginals of their own, or None.
        smoothing: The counts that are added to each level and category.
        real: How real values are counted.
    """

    counts: Tensor

    def __init__(
        self,
        space: Space,
        context_space: Categorical | None,
        smoothing: float,
        real: Marginal,
    ) -> None:
        super().__init__()
        self.space = space
        self.context = ContextFeatures(context_space)
        self.marginals = tuple(_counted(group, smoothing, real) for group in groups(space))
        self.head = Head(space, choose=lambda group: _counted(group, smoothing, real).kind)
        classes = 1 if context_space is None else context_space.categories
        counts = torch.zeros(classes, sum(self._sizes), dtype=torch.float64)
        self.register_buffer("counts", counts)

    def forward(self, context: Tensor | None = None) -> Distribution:
        """The product of marginals, of the classes in `context` if the model is conditional."""
        self.context(context, 0 if context is None else len(context))
        products = [self.head(own) for own in self.parameters_of_classes()]
        if context is None:
            return products[0]
        # a class at a time: the parameters of every row are as many as there are counts
        return FromFunctions(
            self.space, partial(_log_prob, products), partial(_draw, products), context
        )

    def parameters_of_classes(self) -> Tensor:
        """What the counts of each class come to, with shape (classes, head.features)."""
        blocks = self.counts.split(self._sizes, dim=1)
        parts = [
            marginal.parameters(block.unflatten(1, (marginal.size, -1))).flatten(1)
            for marginal, block in zip(self.marginals, blocks, strict=True)
        ]
        return torch.cat(parts, dim=1)

    @torch.no_grad()
    def count(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """What is counted of examples; counts of several batches add up.

        Arguments:
            x: The examples, with shape (batch, *space.shape); NaN is missing.
            context: The class of each, with shape (batch,), if the model is conditional.

        Returns:
            The counts of each class, with shape (classes, counts of an example), in float64.
        """
        self.context(context, len(x))
        if context is None:
            return self._count(x).unsqueeze(0)
        classes = range(len(self.counts))
        return torch.stack([self._count(x[context == label]) for label in classes])

    @torch.no_grad()
    def take(self, counts: Tensor) -> None:
        """Takes the counts of all examples."""
        self.counts.copy_(counts)

    def _count(self, x: Tensor) -> Tensor:
        values = self.head.take(x.reshape(len(x), self.space.features))
        counted = zip(self.marginals, values, strict=True)
        return torch.cat([marginal.count(of_kind).flatten() for marginal, (_, of_kind) in counted])

    @cached_property
    def _sizes(self) -> list[int]:
        found = zip(self.marginals, groups(self.space), strict=True)
        return [marginal.size * len(group.positions) for marginal, group in found]


def _counted(group: Group, smoothing: float, real: Marginal) -> Marginal:
    match group.space:
        case Categorical():
            return Frequencies(group.space.categories, ordered=False, smoothing=smoothing)
        case Discrete():
            return Frequencies(group.space.levels, ordered=True, smoothing=smoothing)
        case Real():
            return real
        case _:
            raise ValueError(f"expected real values on a bridge, got {group.space.describe()}")


def _log_prob(products: Sequence[Factorised], x: Tensor, classes: Tensor) -> Tensor:
    """log p of each row under the product of its class, with shape (rows,)."""
    found = torch.zeros(len(x), dtype=products[0].parameters.dtype, device=x.device)
    for label in classes.unique().tolist():
        own = classes == label
        found[own] = products[int(label)].log_prob(x[own])
    return found


def _draw(products: Sequence[Factorised], n: int, classes: Tensor) -> Tensor:
    """A draw from the product of each class, with shape (n, *space.shape)."""
    space = products[0].head.space
    drawn = torch.zeros(n, *space.shape, dtype=space.dtype, device=classes.device)
    for label in classes.unique().tolist():
        own = classes == label
        drawn[own] = products[int(label)].sample((int(own.sum()),))
    return drawn


def _smoothed(counts: Tensor, smoothing: float) -> Tensor:
    smoothed = counts + smoothing
    return (smoothed / smoothed.sum(dim=-2, keepdim=True)).log()


def _evidence(counts: Tensor) -> Tensor:
    """The log-evidence of a histogram of equal bins, with bins on dimension -2 kept as 1."""
    bins = counts.shape[-2]
    n = counts.sum(dim=-2, keepdim=True)
    prior = math.lgamma(_JEFFREYS * bins) - bins * math.lgamma(_JEFFREYS)
    fitted = torch.lgamma(counts + _JEFFREYS).sum(dim=-2, keepdim=True)
    return n * math.log(bins) + prior + fitted - torch.lgamma(n + _JEFFREYS * bins)
