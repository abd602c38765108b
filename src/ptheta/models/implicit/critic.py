"""The adversary of a generator."""

__all__ = ["Critic"]

from torch import Tensor, nn

from ptheta.networks.context import ContextFeatures
from ptheta.spaces import Categorical, Real


class Critic(nn.Module):
    """A number for each example, higher for data than for draws; no probability of itself.

    Arguments:
        network: The map, from (batch, features) to (batch, 1).
        context_space: What examples are conditioned on; its features follow those of x in what
            the network is given.

    Example:
        >>> import torch
        >>> Critic(nn.Linear(2, 1))(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    def __init__(self, network: nn.Module, context_space: Categorical | Real | None = None) -> None:
        super().__init__()
        self.network = network
        self.context = ContextFeatures(context_space)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The value of each example, with shape (batch,)."""
        return self.network(self.context.join(x, context)).squeeze(-1)
