"""The distribution of a model whose values are drawn one after the other."""

__all__ = ["Autoregressive", "SupportsConditionals"]

import math
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from ptheta.spaces import Space


class SupportsConditionals(Protocol):
    """A model that gives each value of an example given those before it."""

    space: Space

    def conditionals(self, x: Tensor, context: Tensor | None = None) -> Distribution:
        """The distribution of each value of x given those before it."""
        ...

    def draw(self, uniforms: Tensor, context: Tensor | None = None) -> Tensor:
        """Examples as a deterministic function of noise, (2, space.features, n) from [0, 1)."""
        ...


class Autoregressive(Distribution):
    """The joint distribution of all values.

    Arguments:
        model: The model.
        device: Where its weights lie.
        context: What is conditioned on, with shape (batch, *context_shape), or None.
    """

    def __init__(
        self, model: SupportsConditionals, device: torch.device, context: Tensor | None
    ) -> None:
        self.model = model
        self.device = device
        self.context = context
        batch = torch.Size() if context is None else context.shape[:1]
        super().__init__(batch, torch.Size(model.space.shape), validate_args=False)

    @property
    def arg_constraints(self) -> dict[str, Constraint]:
        return {}

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x) in nats, with shape (batch,)."""
        return self.model.conditionals(value, self.context).log_prob(value)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws, with shape (*sample_shape, *batch, *space.shape)."""
        shape = (*sample_shape, *self.batch_shape)
        context = self.context
        if context is not None:
            context = context.expand(*shape, *context.shape[1:]).flatten(0, len(shape) - 1)
        n = math.prod(shape)
        uniforms = torch.rand(2, self.model.space.features, n, device=self.device)
        return self.model.draw(uniforms, context).reshape(*shape, *self.event_shape)
