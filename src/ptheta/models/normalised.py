"""Normalised models: `forward` gives a distribution, and the verbs are written once over it."""

__all__ = ["FromFunctions", "Normalised", "unconditional"]

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from ptheta.spaces import Space


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


class FromFunctions(Distribution):
    """A distribution of examples that is given by two functions.

    Arguments:
        space: The space of the examples.
        log_prob: The log-probability in nats of each row, from (n, *space.shape) to (n,).
        draw: Gives so many rows, with shape (n, *space.shape).
        context: What is conditioned on, with shape (batch, *context_shape); both functions are
            given it, a row for each of theirs. None is not handed on.
    """

    def __init__(
        self,
        space: Space,
        log_prob: Callable[..., Tensor],
        draw: Callable[..., Tensor],
        context: Tensor | None = None,
    ) -> None:
        self.of_rows = log_prob
        self.draw = draw
        self.context = context
        batch = torch.Size() if context is None else context.shape[:1]
        super().__init__(batch, torch.Size(space.shape), validate_args=False)

    @property
    def arg_constraints(self) -> dict[str, Constraint]:
        return {}

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x) in nats, with shape (batch,)."""
        return self.of_rows(value) if self.context is None else self.of_rows(value, self.context)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws, with shape (*sample_shape, *batch, *space.shape)."""
        return self.rows(self.draw, sample_shape)

    def rows(self, draw: Callable[..., Tensor], sample_shape: Any) -> Tensor:
        """Draws by a function, with shape (*sample_shape, *batch, *space.shape).

        Arguments:
            draw: Gives so many rows, with shape (n, *space.shape).
            sample_shape: The number of draws along each axis, for each row of the context.
        """
        shape = torch.Size((*sample_shape, *self.batch_shape))
        if self.context is None:
            return draw(shape.numel()).reshape(*shape, *self.event_shape)
        context = self.context.expand(*shape, *self.context.shape[1:]).flatten(0, len(shape) - 1)
        return draw(shape.numel(), context).reshape(*shape, *self.event_shape)


def unconditional(model: nn.Module, context: Tensor | None) -> None:
    """Refuses a context.

    Arguments:
        model: The model that has none.
        context: What was given.

    Raises:
        ValueError: A context was given.
    """
    if context is not None:
        raise ValueError(f"{type(model).__name__} has no context, but a context is given")
