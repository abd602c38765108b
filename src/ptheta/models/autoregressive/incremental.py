"""A masked network evaluated value by value, each of whose weights is used once."""

__all__ = ["Incremental"]

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ptheta.models.autoregressive.stack import MaskedStack

_BLOCK = 32  # values whose sums over what came before are one product


class Incremental:
    """The outputs of a masked network for one value after the other, without gradient.

    A unit is computed when the last value that it may see is known, and never again, so that the
    whole costs about one evaluation of the network and gives what an evaluation for each value
    would.

    Arguments:
        stack: The layers.
        activation: The activation between them.
        n: The number of examples.
        context: What all values may see, with shape (n, context_features), or None.
    """

    def __init__(
        self, stack: MaskedStack, activation: nn.Module, n: int, context: Tensor | None
    ) -> None:
        self.count = len(stack.order)
        self.activate = _into(activation)
        *layers, outputs = [_Units(degrees, self.count) for degrees in stack.degrees]
        states = [_States(units, n, stack.output[0]) for units in layers]
        self.inputs, self.states = states[0], states[1:]
        self.hidden = [
            _Masked(*layer, before, units)
            for layer, before, units in zip(stack.hidden, states, layers[1:], strict=False)
        ]
        self.outputs = [_Masked(*stack.output, states[-1], outputs)]
        if stack.direct is not None:
            self.outputs.append(_Masked(stack.direct, None, self.inputs, outputs))
        if context is not None:
            self.inputs.all[: context.shape[1]] = context.t()

    def next(self, rank: int) -> Tensor:
        """The outputs for the value of a rank, with shape (size, n); asked for rank by rank."""
        if rank % _BLOCK == 0:
            self._begin(rank)
        last = rank - 1
        for layer, states in zip(self.hidden, self.states, strict=True):
            if states.units.counts[rank]:
                self.activate(layer(last), states[last])
        found = [layer(rank) for layer in self.outputs]
        return found[0] if len(found) == 1 else found[0] + found[1]

    def tell(self, rank: int, features: Tensor) -> None:
        """Makes the value of a rank known, by its features, with shape (features, n)."""
        self.inputs[rank].copy_(features)

    def _begin(self, rank: int) -> None:
        """Begins a block of values; hidden units are a degree behind the values that see them."""
        stop = min(rank + _BLOCK, self.count)
        known = range(-1, rank - 1)
        for layer in self.hidden:
            layer.begin(range(rank - 1, stop - 1), known)
        for layer in self.outputs:
            layer.begin(range(rank, stop), known)


def _into(activation: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """What applies an activation and writes to a second tensor."""
    if type(activation) is nn.ReLU:
        return lambda x, to: torch.clamp_min(x, 0, out=to)
    apply = activation.forward  # a module looks for hooks at each call
    return lambda x, to: to.copy_(apply(x))


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
        return x if self.order is None else x.index_select(dim, self.order.to(x.device))


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


class _Masked:
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
