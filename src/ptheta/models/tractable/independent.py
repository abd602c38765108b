r"""The product of marginals, counted: what any model of how values hang together must beat.

.. math:: p(x) = \prod_d p_d(x_d), \qquad p_d(k) = \frac{c_{dk} + 1/2}{n_d + K/2}

Half a count of smoothing is Jeffreys' prior, the estimator of Krichevsky and Trofimov. Real values
have a histogram on a scale on which the ends are unbounded, so that the density is positive
everywhere. The number of its bins is the one of largest evidence under the same prior.

References:
    The performance of universal encoding (Krichevsky & Trofimov, 1981),
    https://doi.org/10.1109/TIT.1981.1056331
    Optimal data-based binning for histograms (Knuth, 2006), https://arxiv.org/abs/physics/0605197,
    equation 31
"""

__all__ = ["Independent"]

import math

import torch
from torch import Tensor

from ptheta.models.heads.head import Factorised, Head
from ptheta.models.heads.kinds import HistogramKind, Kind, SoftmaxKind, count_codes
from ptheta.models.normalised import Normalised
from ptheta.networks.context import ContextFeatures
from ptheta.spaces import Categorical, Discrete, Group, Real, Space

_SMOOTHING = 0.5


class Independent(Normalised):
    """Independent values, each with its own counted marginal; missing values are marginalised.

    Arguments:
        space: The space of the examples; real values are expected to be standardised.
        context_space: The categories that have marginals of their own, or None.
        bins: The number of bins at most of a histogram, a power of two.

    Example:
        >>> model = Independent(Discrete((2,), levels=2))
        >>> model.counts.copy_(model.count(torch.tensor([[0, 1], [1, 1], [0, 1]]))).shape
        torch.Size([1, 4])
        >>> model.log_prob(torch.tensor([[0, 1]])).exp()  # (2.5 / 4) (3.5 / 4)
        tensor([0.5469])
    """

    counts: Tensor

    def __init__(
        self, space: Space, context_space: Categorical | None = None, *, bins: int = 256
    ) -> None:
        super().__init__()
        if bins < 1 or bins & (bins - 1):
            raise ValueError(f"expected a power of two of bins, got {bins}")
        self.space = space
        self.context = ContextFeatures(context_space)
        self.head = Head(space, choose=lambda group: _counted(group, bins))
        classes = 1 if context_space is None else context_space.categories
        counts = torch.zeros(classes, self.head.features, dtype=torch.float64)
        self.register_buffer("counts", counts)

    def forward(self, context: Tensor | None = None) -> Factorised:
        """The product of marginals, of the classes in `context` if the model is conditional."""
        self.context(context, 0 if context is None else len(context))
        logits = self.logits()
        return self.head(logits[0] if context is None else logits[context.long()])

    def logits(self) -> Tensor:
        """The smoothed log-probabilities of each class, with shape (classes, head.features)."""
        parts: list[Tensor] = []
        for counts, kind in zip(self.head.split(self.counts), self.head.kinds, strict=True):
            smooth = _histogram if isinstance(kind, HistogramKind) else _smoothed
            parts.append(smooth(counts).flatten(1))
        return torch.cat(parts, dim=1).float()

    @torch.no_grad()
    def count(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """How often each level, category or bin occurs; counts of several batches add up.

        Arguments:
            x: The examples, with shape (batch, *space.shape); NaN is missing.
            context: The class of each, with shape (batch,), if the model is conditional.

        Returns:
            The counts, with shape (classes, head.features), in float64.
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
        parts: list[Tensor] = []
        for kind, values in self.head.take(x.reshape(len(x), self.space.features)):
            if isinstance(kind, HistogramKind):
                parts.append(kind.count(values).flatten())
            else:
                parts.append(count_codes(values, kind.size).flatten())
        return torch.cat(parts)


def _counted(group: Group, bins: int) -> Kind:
    match group.space:
        case Categorical():
            return SoftmaxKind(group.space.categories)
        case Discrete():
            return SoftmaxKind(group.space.levels, ordered=True)
        case Real():
            return HistogramKind(bins)
        case _:
            raise ValueError(f"expected real values on a bridge, got {group.space.describe()}")


def _smoothed(counts: Tensor) -> Tensor:
    smoothed = counts + _SMOOTHING
    return (smoothed / smoothed.sum(dim=-2, keepdim=True)).log()


def _histogram(counts: Tensor) -> Tensor:
    """The log-mass of each bin, of the histogram of most evidence among those nested in it."""
    bins = counts.shape[-2]
    best = torch.full_like(counts[..., :1, :], -math.inf)
    logits = torch.zeros_like(counts)
    for log_bins in range(bins.bit_length()):
        merged = counts.unflatten(-2, (2**log_bins, -1)).sum(dim=-2)
        evidence = _evidence(merged)
        split = (_smoothed(merged) - math.log(bins / 2**log_bins)).repeat_interleave(
            bins // 2**log_bins, dim=-2
        )
        logits = torch.where(evidence > best, split, logits)
        best = torch.maximum(best, evidence)
    return logits


def _evidence(counts: Tensor) -> Tensor:
    """The log-evidence of a histogram of equal bins, with bins on dimension -2 kept as 1."""
    bins = counts.shape[-2]
    n = counts.sum(dim=-2, keepdim=True)
    prior = math.lgamma(_SMOOTHING * bins) - bins * math.lgamma(_SMOOTHING)
    fitted = torch.lgamma(counts + _SMOOTHING).sum(dim=-2, keepdim=True)
    return n * math.log(bins) + prior + fitted - torch.lgamma(n + _SMOOTHING * bins)
