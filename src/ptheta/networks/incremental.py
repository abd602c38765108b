"""Evaluation of causal layers while an image comes about: only what is new is computed."""

__all__ = ["Pixels", "Rows"]

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ptheta.networks.causal import CausalConv2d, PixelStates, Recurrence


class Rows:
    """Evaluates layers on one row after the other, from the top.

    Each layer is handed the next row of its inputs, and keeps as many as its kernel reaches up.

    Arguments:
        context: The features of the context, with one row for each image, or None.
    """

    def __init__(self, context: Tensor | None = None) -> None:
        self.context = context
        self.kept: dict[CausalConv2d, Tensor] = {}

    def __call__(
        self, layer: CausalConv2d, x: Tensor | None, added: Tensor | None = None
    ) -> Tensor:
        """The outputs in a row, with shape (n, out_channels, 1, width)."""
        assert x is not None
        if layer.above:
            kept = self.kept.get(layer)
            kept = x.new_zeros(*x.shape[:2], layer.above, x.shape[3]) if kept is None else kept
            x = torch.cat([kept, x], dim=2)
            self.kept[layer] = x[:, :, 1:]
        y = layer.last_row(x, self.context)
        return y if added is None else y + added


class Pixels:
    """Evaluates layers on one pixel after the other, and on its colours in turn.

    Inputs and outputs are the channels of the colour in hand alone, with shape (n, channels). A
    layer keeps its inputs of the row in hand, and so many rows above as its kernel reaches up;
    what these add to the outputs is computed for the row as a whole when it begins.

    Arguments:
        n: The number of images.
        width: The number of pixels in a row.
        colours: The number of colours.
        context: The features of the context, with one row for each image, or None.
    """

    def __init__(self, n: int, width: int, colours: int, context: Tensor | None = None) -> None:
        self.n, self.width, self.colours = n, width, colours
        self.context = context
        self.column = self.colour = 0
        self.layers: dict[CausalConv2d, _Layer] = {}
        self.recurrences: dict[Recurrence, PixelStates] = {}

    def __call__(
        self, layer: CausalConv2d, x: Tensor | None, added: Tensor | None = None
    ) -> Tensor:
        kept = self.layers.get(layer)
        if kept is None:
            kept = self.layers[layer] = _Layer(layer, self)
        if self.begins:
            kept.begin(added)
        return kept(x, self.column, self.colour)

    def states(self, layer: Recurrence, x: Tensor) -> Tensor:
        """The states of a recurrence, with shape (n, features of the colour in hand)."""
        kept = self.recurrences.get(layer)
        if kept is None:
            kept = self.recurrences[layer] = layer.by_pixels(self.n, self.width, self.colours)
        if self.begins:
            kept.begin()
        return kept(self(layer.enter, x), self.column, self.colour)

    @property
    def begins(self) -> bool:
        """Whether the value in hand is the first of its row."""
        return self.column == 0 and self.colour == 0

    def write(self, layer: CausalConv2d, x: Tensor) -> None:
        """Hands a layer its inputs of the pixel and colour in hand."""
        self.layers[layer].slots[self.colour][self.column].copy_(x)

    def row(self, layer: CausalConv2d) -> Tensor:
        """The inputs of a layer in the row in hand, with shape (n, in_channels, 1, width)."""
        return self.layers[layer].inputs()


class _Layer:
    """The inputs of one layer that are still needed, and its weights in the order of use."""

    def __init__(self, layer: CausalConv2d, pixels: Pixels) -> None:
        n, width, colours = pixels.n, pixels.width, pixels.colours
        weight, left = layer.weight.detach(), layer.left
        size = weight.shape[1]
        self.left = left
        self.owned = [(layer.outputs == k).nonzero().flatten() for k in range(colours)]
        beside = weight[:, :, -1, : left + 1].permute(2, 1, 0).flatten(0, 1)
        self.weights = [beside[:, own].contiguous() for own in self.owned]
        self.weight_above = weight[:, :, :-1]
        self.start = layer.start(n, pixels.context)
        self.bases: list[Sequence[Tensor]] = [(self.start[:, own],) * width for own in self.owned]
        self.rows = weight.new_zeros(n, size, layer.above, width)
        self.row = weight.new_zeros(n, left + width, size)
        flat = self.row.flatten(1)
        # views of the row, made once: for each pixel what its outputs see, and where it is written
        self.windows = [flat[:, c * size : (c + left + 1) * size] for c in range(width)]
        counts = torch.bincount(layer.inputs, minlength=colours).tolist()
        self.slots = [part.unbind(1) for part in self.row[:, left:].split(counts, dim=2)]
        self.keeps = left > 0 or colours > 1

    def __call__(self, x: Tensor | None, column: int, colour: int) -> Tensor:
        base, weight = self.bases[colour][column], self.weights[colour]
        if x is not None:
            if not self.keeps:
                return torch.addmm(base, x, weight)
            self.slots[colour][column].copy_(x)
        return torch.addmm(base, self.windows[column], weight)

    def begin(self, added: Tensor | None) -> None:
        """Begins the next row.

        Arguments:
            added: What is added to the outputs, with shape (n, out_channels, 1, width), or None.
        """
        if self.weight_above.shape[2]:
            self.rows = torch.cat([self.rows[:, :, 1:], self.inputs()], dim=2)
            above = F.conv2d(self.rows, self.weight_above, padding=(0, self.left))
            added = above if added is None else above + added
        if added is not None:
            bases = added.squeeze(2).permute(2, 0, 1) + self.start
            self.bases = [bases[..., own].unbind(0) for own in self.owned]

    def inputs(self) -> Tensor:
        """The inputs of the row in hand, with shape (n, in_channels, 1, width)."""
        return self.row[:, self.left :].transpose(1, 2).unsqueeze(2)
