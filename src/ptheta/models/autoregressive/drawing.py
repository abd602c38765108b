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

_BLOCK = 32  # values whose sums over what came before are one product


class SupportsDrawing(Protocol):
    """What a masked network has around its layers."""

    space: Space
    features: Features
    context: ContextFeatures
    head: Head
    activation: nn.Module


class _Units:
    """The units of one layer in the order of their degrees.

    Arguments:
        degrees: The degree of each unit, from -1.
        values: The number of values of an example.
    """

    def __init__(self, degrees: Tensor, values: int) -> None:
        ascending = bool((degrees.diff() >= 0).all())
        self.order = None if ascending else degrees.argsort(stable=True)
        counts = torch.bincount(degrees + 1, minlength=values + 1)
        self.counts: list[int] = counts.tolist()
        self.ends: list[int] = [0, *counts.cumsum(0).tolist()]

    def of(self, degrees: range) -> tuple[int, int]:
        """The first unit of some degrees in turn, and their number."""
        first = self.ends[degrees.start + 1]
        return first, self.ends[degrees.stop + 1] - first

    def sort(self, x: Tensor, dim: int) -> Tensor:
        """Brings a dimension from the order of the units to that of their degrees."""
        return x if self.order is None else x.index_select(dim, self.order)


class _States:
    """The states of the units of one layer; those not known yet are zero.

    Units lead, so that those known so far are one block of memory.
    """

    def __init__(self, units: _Units, n: int, like: Tensor) -> None:
        self.units = units
        self.all = like.new_zeros(units.ends[-1], n)
        self.parts = self.all.split(units.counts)

    def __getitem__(self, degree: int) -> Tensor:
        return self.parts[degree + 1]


class _Linear:
    """A masked layer with its units in the order of their degrees.

    What is known before a block of degrees is summed for all of them in one product. Within the
    block, weights of what is not known yet are zero, as are its states, so that views made
    once serve the whole block: those made for each value would take longer than the sums.

    Arguments:
        weight: The weight.
        bias: The bias, or None.
        inputs: The states of the layer before.
        outputs: Its own units.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, inputs: _States, outputs: _Units
    ) -> None:
        bias = torch.zeros_like(weight[:, 0]) if bias is None else bias
        self.weight = inputs.units.sort(outputs.sort(weight, 0), 1)
        self.bias = outputs.sort(bias, 0).unsqueeze(1)
        self.inputs, self.outputs = inputs, outputs

    def begin(self, degrees: range, known: range) -> None:
        """Sums what is known for the outputs of a block of degrees."""
        rows, (_, before) = self.outputs.of(degrees), self.inputs.units.of(known)
        within = self.inputs.units.of(range(known.stop, known.stop + len(degrees)))
        weight, seen = self.weight.narrow(0, *rows), self.inputs.all
        sums = torch.addmm(self.bias.narrow(0, *rows), weight[:, :before], seen[:before])
        counts = self.outputs.counts[degrees.start + 1 : degrees.stop + 1]
        self.first, self.seen = degrees.start, seen.narrow(0, *within)
        self.sums = sums.split(counts)
        self.rows = weight.narrow(1, *within).split(counts)

    def __call__(self, degree: int) -> Tensor:
        """The outputs of one degree of the block."""
        i = degree - self.first
        return self.sums[i].addmm_(self.rows[i], self.seen)


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
        self.space = model.space
        self.order = stack.order
        self.kinds = [model.head.kind(position) for position in stack.order]
        self.encode = model.features.by_value()
        # modules look for hooks at each call
        self.activation = model.activation.forward
        self.uniforms = uniforms
        *layers, outputs = [_Units(degrees, values) for degrees in stack.degrees]
        states = [_States(units, n, stack.output[0]) for units in layers]
        self.inputs, self.states = states[0], states[1:]
        self.hidden = [
            _Linear(*layer, before, units)
            for layer, before, units in zip(stack.hidden, states, layers[1:], strict=False)
        ]
        self.outputs = [_Linear(*stack.output, states[-1], outputs)]
        if stack.direct is not None:
            self.outputs.append(_Linear(stack.direct, None, self.inputs, outputs))
        seen = model.context(context, n)
        if seen is not None:
            self.inputs.all[: seen.shape[1]] = seen.t()

    def run(self) -> Tensor:
        """The examples, with shape (n, *space.shape)."""
        # made outside of inference mode, so that it is an ordinary tensor
        drawn = torch.empty_like(self.uniforms[0], dtype=self.inputs.all.dtype)
        with torch.inference_mode():
            values, uniforms = drawn.unbind(), self.uniforms.unbind(1)
            for degree, (position, kind) in enumerate(zip(self.order, self.kinds, strict=True)):
                if degree % _BLOCK == 0:
                    self._begin(degree)
                x = values[position]
                x.copy_(kind.draw(self._parameters(degree), uniforms[position]))
                self.inputs[degree].copy_(self.encode[position](x))
        return drawn.t().reshape(-1, *self.space.shape).to(self.space.dtype)

    def _begin(self, degree: int) -> None:
        """Begins a block of values; hidden units are a degree behind the values that see them."""
        stop = min(degree + _BLOCK, len(self.order))
        known = range(-1, degree - 1)
        for layer in self.hidden:
            layer.begin(range(degree - 1, stop - 1), known)
        for layer in self.outputs:
            layer.begin(range(degree, stop), known)

    def _parameters(self, degree: int) -> Tensor:
        last = degree - 1
        for layer, states in zip(self.hidden, self.states, strict=True):
            if states.units.counts[degree]:
                states[last].copy_(self.activation(layer(last)))
        found = [layer(degree) for layer in self.outputs]
        return found[0] if len(found) == 1 else found[0] + found[1]
