"""Drawing from a masked network."""

from __future__ import annotations

__all__ = ["SupportsDrawing", "SupportsMembers", "draw_from_members", "draw_in_order"]

from typing import Protocol

import torch
from torch import Tensor, nn

from ptheta.models.autoregressive.incremental import Incremental
from ptheta.models.autoregressive.stack import MaskedStack
from ptheta.models.heads.head import Head
from ptheta.networks.context import ContextFeatures
from ptheta.networks.features import Features
from ptheta.spaces import Space


class SupportsDrawing(Protocol):
    """What a masked network has around its layers."""

    space: Space
    features: Features
    context: ContextFeatures
    head: Head
    activation: nn.Module


class SupportsMembers(Protocol):
    """An ensemble of orders, each of which draws."""

    space: Space
    orders: Tensor

    def draw(self, uniforms: Tensor, members: Tensor, context: Tensor | None = None) -> Tensor:
        """Examples as a deterministic function of noise and of the member that draws each."""
        ...


def draw_from_members(model: SupportsMembers, n: int, context: Tensor | None = None) -> Tensor:
    """Draws examples, each by a member of an ensemble that is drawn for it.

    Arguments:
        model: The model.
        n: The number of examples.
        context: What examples are conditioned on, with n rows, or None.

    Returns:
        The examples, with shape (n, *space.shape).
    """
    uniforms = torch.rand(2, model.space.features, n, device=model.orders.device)
    members = torch.randint(len(model.orders), (n,), device=model.orders.device)
    return model.draw(uniforms, members, context)


def draw_in_order(
    model: SupportsDrawing, stack: MaskedStack, uniforms: Tensor, context: Tensor | None
) -> Tensor:
    """Draws examples value by value.

    Arguments:
        model: The model.
        stack: Its layers.
        uniforms: Noise from [0, 1), with shape (2, space.features, n), in the values' order.
        context: What examples are conditioned on, with n rows, or None.

    Returns:
        The examples, with shape (n, *space.shape).
    """
    n = uniforms.shape[2]
    kinds = [model.head.kind(position) for position in stack.order]
    encode = model.features.by_value()
    network = Incremental(stack, model.activation, n, model.context(context, n))
    # made outside of inference mode, so that it is an ordinary tensor
    drawn = torch.empty_like(uniforms[0], dtype=stack.output[0].dtype)
    with torch.inference_mode():
        values, noise = drawn.unbind(), uniforms.unbind(1)
        for rank, (position, kind) in enumerate(zip(stack.order, kinds, strict=True)):
            x = values[position]
            x.copy_(kind.draw(network.next(rank), noise[position]))
            network.tell(rank, encode[position](x))
    return drawn.t().reshape(-1, *model.space.shape).to(model.space.dtype)
