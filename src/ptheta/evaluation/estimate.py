"""A figure with its interval."""

__all__ = ["Estimate", "mean_of", "share_of"]

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """A figure, and the ends of its 95% interval.

    Arguments:
        value: The figure.
        low: The lower end.
        high: The upper end.
    """

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Estimate":
        """The figure in another unit; a negative factor swaps the ends."""
        low, high = sorted((self.low * factor, self.high * factor))
        return Estimate(self.value * factor, low, high)


def mean_of(values: Tensor) -> Estimate:
    """The mean of independent values, with a normal interval.

    Arguments:
        values: The values, with shape (n,).
    """
    values = values.double()
    mean = values.mean().item()
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Estimate(mean, mean - 1.96 * error, mean + 1.96 * error)


def share_of(hits: Tensor) -> Estimate:
    """The share of independent rows for which something holds, with a Wilson interval.

    Arguments:
        hits: A boolean for each row, with shape (n,).

    Example:
        >>> import torch
        >>> share_of(torch.tensor([True] * 10)).high
        1.0
    """
    from scipy.stats import binomtest

    found = binomtest(int(hits.sum()), len(hits))
    interval = found.proportion_ci(method="wilson")
    return Estimate(float(found.statistic), float(interval.low), float(interval.high))
