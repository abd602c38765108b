"""Models that give their conditionals, and marginals as averages of them along Gibbs chains."""

__all__ = ["SupportsBlocks", "SupportsConditionalGibbs", "SupportsConditionals", "gibbs_marginals"]

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ptheta.inference.gibbs import SupportsGibbs
from ptheta.inference.kernels import Target
from ptheta.protocols import SupportsUnnormalizedLogProb


@runtime_checkable
class SupportsConditionals(SupportsUnnormalizedLogProb, Protocol):
    """A model of codes that knows the law of each value given all others."""

    def conditional_log_probs(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x_i = s | others) in nats of each value i and state s, (*x.shape, states)."""
        ...


@runtime_checkable
class SupportsBlocks(SupportsConditionals, Protocol):
    """A model of codes that knows which of its values do not interact."""

    def blocks(self, x: Tensor) -> Tensor:
        """Sets of values that do not interact, and that together are all values.

        Returns:
            Which values are of each set, boolean, with shape (blocks, *shape).
        """
        ...


@runtime_checkable
class SupportsConditionalGibbs(SupportsGibbs, SupportsConditionals, Protocol):
    """A model that draws its values in blocks, and tells their conditionals."""


@torch.no_grad()
def gibbs_marginals(
    target: Target[SupportsConditionalGibbs], x: Tensor, *, sweeps: int = 100, burn_in: int = 20
) -> Tensor:
    r"""The probability of each state of each value, by chains of Gibbs sweeps.

    .. math:: p(x_i = s) = \mathbb{E}_{x} \, p(x_i = s \mid x_{-i})

    Averages of conditionals vary less than the shares of the draws themselves.

    References:
        Sampling-Based Approaches to Calculating Marginal Densities (Gelfand & Smith, 1990),
        https://doi.org/10.1080/01621459.1990.10476213, equation 2.8

    Arguments:
        target: The model, and what each chain is conditioned on.
        x: Where the chains start, with shape (chains, *shape).
        sweeps: The number of sweeps after each of which conditionals are taken.
        burn_in: The number of sweeps before them.

    Returns:
        The probabilities by each chain, with shape (chains, *shape, states).

    Raises:
        ValueError: There is no sweep to average over, or a negative number before.

    Example:
        >>> from ptheta.models.energy.pairwise import PairwiseField
        >>> field, x = PairwiseField((2, 2)), torch.zeros(1, 2, 2, dtype=torch.long)
        >>> gibbs_marginals(Target(field), x, sweeps=5)[0, 0]
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]])
    """
    if sweeps < 1 or burn_in < 0:
        raise ValueError(
            f"expected one sweep or more, after none or more of burn-in, got {sweeps} and {burn_in}"
        )
    model, context = target.model, target.context
    for _ in range(burn_in):
        x = model.gibbs(x, context)
    total = torch.zeros_like(model.conditional_log_probs(x, context))
    for _ in range(sweeps):
        x = model.gibbs(x, context)
        total += model.conditional_log_probs(x, context).exp()
    return total / sweeps
