"""What all models that are joined to data share."""

__all__ = ["Bridged", "Joined", "checked", "inside"]

from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ptheta.data.bridges import Bridge
from ptheta.protocols import (
    SupportsElbo,
    SupportsInitialize,
    SupportsInitializeContext,
    SupportsSample,
    summary,
)
from ptheta.spaces import Space

A = TypeVar("A")
M = TypeVar("M", bound=SupportsSample)


class Joined(nn.Module, Generic[A]):
    """A model on the reals, joined to data. Abstract: `bridged` picks the final class.

    Arguments:
        model: The model on the reals.
        bridge: The bridge from the data to the reals.
        space: The space of the data.
    """

    def __init__(self, model: A, bridge: Bridge, space: Space) -> None:
        super().__init__()
        self.model = model
        self.bridge = bridge
        self.space = space

    def extra_repr(self) -> str:
        """What the model can do, first of all that is printed of it."""
        return f"{self.space.describe()}: {summary(self)}"

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Fits the bridge and the scale of the context, then what in the model depends on data."""
        self.bridge.initialize(x)
        for module in self.modules():
            if isinstance(module, SupportsInitializeContext):
                module.initialize_context(context)
        if isinstance(self.model, SupportsInitialize):
            self.model.initialize(self.bridge.at_start(x), context)


class Bridged(Joined[M]):
    """A model that can be sampled, joined to data. Abstract: `bridged` picks the final class.

    Arguments:
        model: The model on the reals.
        bridge: The bridge from the data to the reals.
        space: The space of the data.
    """

    @property
    def loose_by(self) -> str:
        """What a bound is loose by: the noise of a stochastic bridge, or the model's own bound."""
        parts = ["dequantisation"] if self.bridge.stochastic else []
        parts += ["variational"] if isinstance(self.model, SupportsElbo) else []
        return " and ".join(parts)

    @torch.no_grad()
    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws, with shape (n, *space.shape), inside the space.

        Raises:
            ValueError: The number is not a whole one, or is negative.
        """
        drawn = self.model.sample(_number_of_draws(n), context)
        return self.bridge.to_data(drawn).to(self.space.dtype)


def checked(self: Joined[Any], x: object) -> Tensor:
    """Examples of the shape of the space.

    Raises:
        ValueError: They are no tensor, or have another shape.
    """
    if not isinstance(x, Tensor):
        raise ValueError(
            f"expected a tensor, got a {type(x).__name__}; ptheta.densities takes arrays, lists "
            "and tables too"
        )
    if x.shape[1:] != self.space.shape:
        raise ValueError(
            f"expected examples of shape (batch, {', '.join(map(str, self.space.shape))}), got "
            f"{tuple(x.shape)}"
        )
    return x


def inside(self: Joined[Any], x: Tensor, log_prob: Tensor) -> Tensor:
    """Log-densities of examples: none of those outside the space, and NaN of those with a NaN.

    Arguments:
        self: The model.
        x: The examples, with shape (batch, *space.shape).
        log_prob: What the model gives them, with shape (batch,).
    """
    # in training, where a look at every value would cost, the data have been looked at before
    if self.training:
        return log_prob
    found = self.space.contains(x)
    undefined = ~found & ~x.isfinite().flatten(1).all(dim=1)
    return log_prob.where(found, -torch.inf).masked_fill(undefined, torch.nan)


def _number_of_draws(n: object) -> int:
    if not isinstance(n, int) or n < 0:
        raise ValueError(f"expected a whole number of draws, got {n!r}")
    return n
