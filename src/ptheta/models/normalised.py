"""Normalised models: `forward` gives a distribution, and the verbs are written once over it."""

__all__ = ["Normalised"]

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution


class Normalised(nn.Module, ABC):
    """A model whose exact density can be evaluated and drawn from.

    Required: `forward`, which returns the distribution, to be used and dropped. Its batch is
    empty without context, else one element for each row of the context.
    """

    @abstractmethod
    def forward(self, context: Tensor | None = None) -> Distribution:
        """The distribution of examples.

        Arguments:
            context: What they are conditioned on, with shape (batch, *context_shape), or None.
        """

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) in nats, with shape (batch,)."""
        distribution: Distribution = self(context)
        return distribution.log_prob(x)

    @torch.no_grad()
    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws, with shape (n, *space.shape), inside the space."""
        distribution: Distribution = self(context)
        if context is None:
            return distribution.sample(torch.Size((n,)))
        if len(context) != n:
            raise ValueError(f"expected {n} rows of context, one for each draw, got {len(context)}")
        return distribution.sample()
