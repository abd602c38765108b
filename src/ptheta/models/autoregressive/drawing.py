"""Drawing from a masked network, each of whose weights is used once."""

from __future__ import annotations

__all__ = ["Drawing", "SupportsDrawing"]

from typing import Protocol

import torch
from torch import Tensor, nn

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


class _Units:
    """The units of one layer in the order of their degrees, and their states.

    Arguments:
        degrees: The degree of each unit, from -1.
        values: The number of values of an example.
        n: The number of examples drawn together.
    """

    def __init__(self, degrees: Tensor, values: int, n: int) -> None:
        self.order = degrees.argsort(stable=True)
        counts = torch.bincount(degrees + 1, minlength=values + 1)
        self.ends = [0, *counts.cumsum(0).tolist()]
        # units lead, so that those known so far are one block of memory
        self.state = torch.empty(len(degrees), n, device=degrees.device)

    def of(self, degree: int) -> slice:
        """The units of one degree."""
        return slice(self.ends[degree + 1], self.ends[degree + 2])

    def known(self, degree: int) -> int:
        """The number of units of at most that degree."""
        return self.ends[degree + 2]


class _Linear:
    """A masked layer with its units in the order of their degrees."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, inputs: _Units, outputs: Tensor
    ) -> None:
        bias = torch.zeros_like(weight[:, 0]) if bias is None else bias
        self.weight = weight[outputs][:, inputs.order]
        self.bias = bias[outputs].unsqueeze(1)
        self.inputs = inputs

    def __call__(self, rows: slice, degree: int) -> Tensor:
        """The outputs in `rows`, which see the inputs of at most that degree."""
        known = self.inputs.known(degree)
        if known == 0:
            return self.bias[rows].expand(-1, self.inputs.state.shape[1])
        return torch.addmm(self.bias[rows], self.weight[rows, :known], self.inputs.state[:known])


class Drawing:
    """Draws examples value by value.

    A unit is computed when the last value that it may see has been drawn, and never again, so
    that the whole costs about one evaluation of the network and gives what an evaluation for
    each value would.

    Arguments:
        model: The model.
        stack: Its layers.
        uniforms: Noise from [0, 1), with shape (2, space.features, n).
        context: What examples are conditioned on, with n rows, or None.
    """

    def __init__(
        self, model: SupportsDrawing, stack: MaskedStack, uniforms: Tensor, context: Tensor | None
    ) -> None:
        values, n = uniforms.shape[1:]
        self.model = model
        self.order = stack.order
        self.uniforms = uniforms
        *degrees, outputs = stack.degrees
        self.units = [_Units(layer, values, n) for layer in degrees]
        layers = zip(stack.hidden, self.units, self.units[1:], strict=False)
        self.hidden = [_Linear(*layer, before, after.order) for layer, before, after in layers]
        self.parameters = _Units(outputs, values, 0)
        self.output = _Linear(*stack.output, self.units[-1], self.parameters.order)
        self.direct = (
            None
            if stack.direct is None
            else _Linear(stack.direct, None, self.units[0], self.parameters.order)
        )
        seen = model.context(context, n)
        if seen is not None:
            self.units[0].state[: seen.shape[1]] = seen.t()

    def run(self) -> Tensor:
        """The examples, with shape (n, *space.shape)."""
        drawn = torch.empty(self.uniforms.shape[1:], device=self.uniforms.device)
        for degree, position in enumerate(self.order):
            x = self._next(degree, position)
            drawn[position] = x
            inputs = self.units[0]
            inputs.state[inputs.of(degree)] = self.model.features.of_value(position, x)
        space = self.model.space
        return drawn.t().reshape(-1, *space.shape).to(space.dtype)

    def _next(self, degree: int, position: int) -> Tensor:
        for layer, units in zip(self.hidden, self.units[1:], strict=True):
            fresh = units.of(degree - 1)
            if fresh.start < fresh.stop:
                units.state[fresh] = self.model.activation(layer(fresh, degree - 1))
        rows = self.parameters.of(degree)
        parameters = self.output(rows, degree - 1)
        if self.direct is not None:
            parameters = parameters + self.direct(rows, degree - 1)
        kind = self.model.head.kind(position)
        return kind.draw(parameters, self.uniforms[:, position])
