"""Maximum likelihood over all orders of the values at once."""

__all__ = ["OrderAgnosticLikelihood", "SupportsLogProbGiven"]

from typing import Protocol

import torch
from torch import Tensor

from ptheta.objectives.types import Batch, Loss
from ptheta.spaces import missing_values


class SupportsLogProbGiven(Protocol):
    """A model of each value given any of the others."""

    def log_prob_given(self, x: Tensor, known: Tensor, context: Tensor | None = None) -> Tensor:
        """log p of each value given those that are known, in nats, (batch, values)."""
        ...


class OrderAgnosticLikelihood:
    r"""The mean negative log-likelihood over examples and over all orders of their values.

    .. math:: \mathcal{L} = \mathbb{E}_x \mathbb{E}_{d} \mathbb{E}_{o} \, \frac{D}{D - d}
        \sum_{i \notin o_{\le d}} - \log p(x_i \mid x_{o_{\le d}}), \qquad d \sim U\{0..D-1\}

    One draw of what is known serves all values that are not, and its mean is that over whole
    orders. A missing value is never known, and is not asked for.

    References:
        A Deep and Tractable Density Estimator (Uria, Murray & Larochelle, 2014),
        https://arxiv.org/abs/1310.1757, equation 7
    """

    def loss(self, model: SupportsLogProbGiven, batch: Batch) -> Loss:
        """The loss in nats per example."""
        x = batch.x.flatten(1)
        there = ~missing_values(x)
        known, weight = known_at_random(there)
        each = model.log_prob_given(batch.x, known, batch.context)
        wanted = there & ~known
        found = torch.where(wanted, each, torch.zeros_like(each)).sum(dim=1)
        return Loss(-(weight * found).mean())


def known_at_random(there: Tensor) -> tuple[Tensor, Tensor]:
    """The start of an order at random, for each example.

    Arguments:
        there: Which values are not missing, with shape (batch, values).

    Returns:
        Which values are known, with shape (batch, values), and the weight of an example: its
        values over those of them that are not known.
    """
    count = there.sum(dim=1)
    keys = torch.rand(there.shape, device=there.device).masked_fill(~there, torch.inf)
    ranks = keys.argsort(dim=1).argsort(dim=1)
    known_count = (torch.rand(len(there), device=there.device) * count).long()
    known_count = known_count.clamp(max=(count - 1).clamp(min=0))
    weight = count / (count - known_count).clamp(min=1)
    return (ranks < known_count[:, None]) & there, weight
