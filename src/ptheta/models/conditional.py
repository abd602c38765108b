"""The form that all normalised models share: a module whose forward gives a distribution."""

__all__ = ["ConditionalDistribution"]

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution


class ConditionalDistribution(nn.Module, ABC):
    """A module that stands for p(x | context).

    Required: `forward`. The distribution that it returns is to be used and dropped, never kept
    across an update of the parameters. The verbs are written once over it.
    """

    @abstractmethod
    def forward(self, context: Tensor | None = None) -> Distribution:
        """The distribution given a context.

        Arguments:
            context: The context, with shape (batch, *context_shape), or None.

        Returns:
            A distribution over one example, with batch shape (batch,), or () without context.
        """

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log p(x) in nats, with shape (batch,)."""
        return self(context).log_prob(x)

    @torch.no_grad()
    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws without gradient, with shape (n, *event_shape)."""
        if context is None:
            return self(None).sample((n,))
        if len(context) != n:
            raise ValueError(f"expected {n} rows of context, one for each draw, got {len(context)}")
        return self(context).sample()
