"""What kernels on codes share that go by the slope of a density."""

__all__ = ["LocalState", "SupportsFirstOrder", "drawn"]

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from ptheta.protocols import SupportsUnnormalizedLogProb


@runtime_checkable
class SupportsFirstOrder(SupportsUnnormalizedLogProb, Protocol):
    """A model of codes whose log-density is a smooth function on the reals between them."""

    def first_order(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """log p(x) up to a constant, and to first order by how much changes of one value move it.

        Returns:
            The log-densities, with shape (batch,), and the changes by value and code, with shape
            (batch, values, codes), zero at the codes that values have; both without graph.
        """
        ...


class LocalState(NamedTuple):
    """Where the chains are.

    Arguments:
        x: The positions, with shape (chains, *shape).
        log_prob: The log-density there, up to a constant, with shape (chains,).
        changes: By how much changes of one value move it to first order, with shape (chains,
            values, codes).
        step_size: The step size in force, a scalar, where the kernel has one.
        acceptance: The mean probability of acceptance of the last proposal, a scalar.
    """

    x: Tensor
    log_prob: Tensor
    changes: Tensor
    step_size: Tensor
    acceptance: Tensor


def drawn(logits: Tensor) -> Tensor:
    """Draws from categories along the last dimension, shaped as the others.

    Arguments:
        logits: Their logarithms, up to a constant; those of minus infinity are never drawn.
    """
    # one random number for all categories of a draw: most of the time is spent on these
    reached = logits.softmax(dim=-1).cumsum(dim=-1)
    height = torch.rand_like(reached[..., :1]) * reached[..., -1:]
    return (
        torch.searchsorted(reached, height, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)
    )
