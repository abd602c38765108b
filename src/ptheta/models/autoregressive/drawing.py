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
        dtype: The dtype of the states, that of the weights.
    """

    def __init__(self, degrees: Tensor, values: int, n: int, dtype: torch.dtype) -> None:
        self.order = degrees.argsort(stable=True)
        counts = torch.bincount(degrees + 1, minlength=values + 1)
        self.counts: list[int] = counts.tolist()
        self.ends: list[int] = counts.cumsum(0).tolist()
        # units lead, so that those known so far are one block of memory
        self.state = torch.empty(len(degrees), n, device=degrees.device, dtype=dtype)
        self.parts = self.state.split(self.counts)

    def of(self, degree: int) -> Tensor:
        """The states of the units of one degree."""
        return self.parts[degree + 1]

    def known(self, degree: int) -> int:
        """The number of units of at most that degree."""
        return self.ends[degree + 1]


class _Linear:
    """A masked layer with its units in the order of their degrees.

    Its rows are split once: views that are made anew for each value take longer than the sums.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, inputs: _Units, outputs: _Units
    ) -> None:
        bias = torch.zeros_like(weight[:, 0]) if bias is None else bias
        self.weights = weight[outputs.order][:, inputs.order].split(outputs.counts)
        self.biases = bias[outputs.order].unsqueeze(1).split(outputs.counts)
        self.inputs = inputs

    def __call__(self, degree: int, last: int) -> Tensor:
        """The outputs of one degree, which see the inputs of at most degree `last`."""
        known = self.inputs.known(last)
        weight, bias = self.weights[degree + 1], self.biases[degree + 1]
        if known == 0:
            return bias.expand(-1, self.inputs.state.shape[1])
        return torch.addmm(bias, weight[:, :known], self.inputs.state[:known])


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
        self.dtype = stack.output[0].dtype
        *degrees, outputs = stack.degrees
        self.units = [_Units(layer, values, n, self.dtype) for layer in degrees]
        layers = zip(stack.hidden, self.units, self.units[1:], strict=False)
        self.hidden = [_Linear(*layer, before, after) for layer, before, after in layers]
        parameters = _Units(outputs, values, 0, self.dtype)
        self.output = _Linear(*stack.output, self.units[-1], parameters)
        self.direct = (
            None if stack.direct is None else _Linear(stack.direct, None, self.units[0], parameters)
        )
        seen = model.context(context, n)
        if seen is not None:
            self.units[0].state[: seen.shape[1]] = seen.t()

    def run(self) -> Tensor:
        """The examples, with shape (n, *space.shape)."""
        # made outside of inference mode, so that it is an ordinary tensor
        shape = self.uniforms.shape[1:]
        drawn = torch.empty(shape, device=self.uniforms.device, dtype=self.dtype)
        with torch.inference_mode():
            values, uniforms = drawn.unbind(), self.uniforms.unbind(1)
            for degree, position in enumerate(self.order):
                x = self._next(degree, position, uniforms[position])
                values[position].copy_(x)
                self.units[0].of(degree).copy_(self.model.features.of_value(position, x))
        space = self.model.space
        return drawn.t().reshape(-1, *space.shape).to(space.dtype)

    def _next(self, degree: int, position: int, uniforms: Tensor) -> Tensor:
        last = degree - 1
        for layer, units in zip(self.hidden, self.units[1:], strict=True):
            if units.counts[degree]:
                units.of(last).copy_(self.model.activation(layer(last, last)))
        parameters = self.output(degree, last)
        if self.direct is not None:
            parameters = parameters + self.direct(degree, last)
        return self.model.head.kind(position).draw(parameters, uniforms)
