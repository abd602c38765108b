r"""Objectives on codes that compare an example with those that differ from it in one value.

The constant of the density falls out of the ratios of their masses.
"""

__all__ = ["Pseudolikelihood", "RatioMatching"]

import torch
from torch import Tensor
from torch.nn import functional as F

from ptheta.objectives.types import Batch, Loss
from ptheta.protocols import SupportsUnnormalizedLogProb


class Pseudolikelihood:
    r"""The log-probability of each value given all others.

    .. math:: \mathcal{L} = - \mathbb{E}_{x \sim p_\text{data}}
        \sum_i \log p_\theta(x_i \mid x_{-i})

    References:
        Statistical Analysis of Non-Lattice Data (Besag, 1975), https://doi.org/10.2307/2987782

    Arguments:
        levels: The number of levels, or categories, of a value; data are their codes from 0.
        values: How many values of an example are looked at, drawn anew for each batch, which
            leaves the loss right in the mean; None takes all.

    Raises:
        ValueError: No value is looked at.
    """

    def __init__(self, levels: int = 2, *, values: int | None = None) -> None:
        self.levels = levels
        self.values = _some(values)

    def loss(self, model: SupportsUnnormalizedLogProb, batch: Batch) -> Loss:
        """The loss: nats of an example by the conditionals of its values."""
        ratios = _log_ratios(model, batch, self.levels, self.values)
        itself = ratios.new_zeros(*ratios.shape[:2], 1)
        surprise = torch.cat([itself, ratios], dim=2).logsumexp(dim=2)
        return Loss(surprise.mean() * batch.x.shape[1:].numel())


class RatioMatching:
    r"""The squared errors of the ratios of masses, of data on two levels.

    .. math:: \mathcal{L} = \mathbb{E}_{x \sim p_\text{data}} \sum_i \left(
        \frac{p_\theta(\bar x^i)}{p_\theta(x) + p_\theta(\bar x^i)} \right)^2

    with :math:`\bar x^i` the example with value i turned over.

    References:
        Some extensions of score matching (Hyvärinen, 2007),
        https://doi.org/10.1016/j.csda.2006.09.003

    Arguments:
        values: How many values of an example are looked at, drawn anew for each batch, which
            leaves the loss right in the mean; None takes all.

    Raises:
        ValueError: No value is looked at.
    """

    def __init__(self, *, values: int | None = None) -> None:
        self.values = _some(values)

    def loss(self, model: SupportsUnnormalizedLogProb, batch: Batch) -> Loss:
        """The loss: squared errors, summed over the values of an example."""
        ratios = _log_ratios(model, batch, 2, self.values)
        return Loss(F.sigmoid(ratios).square().mean() * batch.x.shape[1:].numel())


def _some(values: int | None) -> int | None:
    if values is not None and values < 1:
        raise ValueError(f"expected one value or more to look at, got {values}")
    return values


def _log_ratios(
    model: SupportsUnnormalizedLogProb, batch: Batch, levels: int, values: int | None
) -> Tensor:
    """By how much neighbours are likelier than an example, with shape (batch, values, levels - 1).

    A neighbour has one of the other levels at one value.
    """
    x, context = batch.x, batch.context
    rows, others = x.flatten(1), levels - 1
    size = rows.shape[1]
    chosen = torch.arange(size, device=x.device)
    if values is not None:
        chosen = torch.randperm(size, device=x.device)[:values]
    count = len(chosen)
    neighbours = rows[:, None, None].repeat(1, count, others, 1)
    # one after another, the levels that the value does not have
    steps = torch.arange(1, levels, device=x.device)
    there = torch.arange(count, device=x.device)
    # small codes would overflow in the sum
    moved = (rows[:, chosen, None].long() + steps).remainder(levels)
    neighbours[:, there, :, chosen] = moved.transpose(0, 1).to(x.dtype)
    given = None if context is None else context.repeat_interleave(count * others, dim=0)
    of = model.unnormalized_log_prob(neighbours.reshape(-1, *x.shape[1:]), given)
    return (
        of.reshape(len(x), count, others) - model.unnormalized_log_prob(x, context)[:, None, None]
    )
