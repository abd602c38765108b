r"""Convolutions in which a value of an image sees only those before it.

The values of an image stand in raster order: rows from the top, pixels from left to right, and
the colours of a pixel in turn. A channel of a hidden layer belongs to a colour as well, and holds
what the conditional of that colour may see of its pixel:

.. math:: h_{r c k} = \sum_{(r', c') < (r, c)} W_{r' - r, \, c' - c} \, x_{r' c'}
    + \sum_{k' < k \text{ (A) or } k' \le k \text{ (B)}} W_{0 0 k k'} \, x_{r c k'}

Rows below and pixels to the right never enter, so kernels end at the row of their pixel. A network
calls its layers through an `Evaluate`: for whole images here, and row by row or pixel by pixel in
`ptheta.networks.incremental`.
"""

__all__ = [
    "CausalConv2d",
    "Evaluate",
    "EvaluateStates",
    "PixelStates",
    "Recurrence",
    "Whole",
    "along",
    "raster",
    "vertical",
]

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.networks.context import ContextShift
from ptheta.networks.masked import draw_masked, keep_masked, with_masked_gradient
from ptheta.networks.sizes import kernel_reach


class CausalConv2d(nn.Module):
    """A masked convolution whose kernel ends at the row of its pixel.

    References:
        Pixel Recurrent Neural Networks (van den Oord, Kalchbrenner & Kavukcuoglu, 2016),
        https://arxiv.org/abs/1601.06759, section 3.4 and figure 2 for the masks

    Arguments:
        mask: Which weights may differ from zero, with shape (out_channels, in_channels, rows,
            columns); the last row of the kernel is that of its pixel.
        inputs: The colour of each input channel, ascending.
        outputs: The colour of each output channel.
        left: The number of the kernel's columns to the left of its pixel.
        context_features: The number of features of a context, which shift the outputs alike in
            all pixels; 0 means that there is none.

    Example:
        >>> colour = torch.zeros(1, dtype=torch.long)
        >>> layer = raster(colour, colour, 3, hidden_from_itself=True)
        >>> layer.mask[0, 0]
        tensor([[1., 1., 1.],
                [1., 0., 0.]])
        >>> layer(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 1, 8, 8])
    """

    mask: Tensor
    inputs: Tensor
    outputs: Tensor

    def __init__(
        self, mask: Tensor, inputs: Tensor, outputs: Tensor, left: int, context_features: int = 0
    ) -> None:
        super().__init__()
        self.left = left
        self.above = mask.shape[2] - 1
        self.free = bool(mask.all())
        self.weight = nn.Parameter(torch.empty(mask.shape))
        self.bias = nn.Parameter(torch.zeros(len(outputs)))
        self.shift = ContextShift.of(context_features, len(outputs))
        self.register_buffer("inputs", inputs, persistent=False)
        self.register_buffer("outputs", outputs, persistent=False)
        keep_masked(self, mask)
        draw_masked(self.weight, self.mask)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The outputs, with shape (batch, out_channels, height, width).

        Arguments:
            x: The inputs, with shape (batch, in_channels, height, width).
            context: The features of the context, with shape (batch, context_features).
        """
        if self.above == 0 and _batch_is_last(x):
            return self._shifted(self._multiply(x), context)
        # padding both sides and cropping is quicker than padding one
        y = self._convolve(x, (self.above, self.left))
        return self._shifted(y[:, :, : x.shape[2], : x.shape[3]], context)

    def last_row(self, rows: Tensor, context: Tensor | None = None) -> Tensor:
        """The outputs of one row, with shape (batch, out_channels, 1, width).

        Arguments:
            rows: The inputs of that row and of those above that the kernel reaches, with shape
                (batch, in_channels, above + 1, width).
            context: The features of the context.
        """
        y = self._convolve(rows, (0, self.left))
        return self._shifted(y[..., : rows.shape[3]], context)

    def start(self, n: int, context: Tensor | None = None) -> Tensor:
        """The part of the outputs that is alike in all pixels, with shape (n, out_channels)."""
        bias = self.bias.expand(n, -1)
        return bias if self.shift is None else bias + self.shift(context)

    def _convolve(self, x: Tensor, padding: tuple[int, int]) -> Tensor:
        return F.conv2d(x, self._masked_weight(), self.bias, padding=padding)

    def _multiply(self, x: Tensor) -> Tensor:
        """A kernel of one row as one matrix product, where the batch stands last in memory."""
        grid = F.pad(x.movedim(0, -1), (0, 0, self.left, 0)) if self.left else x.movedim(0, -1)
        columns = [grid[:, :, i : i + x.shape[3]] for i in range(self.left + 1)]
        seen = torch.cat(columns) if self.left else grid
        weight = self._masked_weight().squeeze(2).transpose(1, 2).flatten(1)
        y = torch.addmm(self.bias.unsqueeze(1), weight, seen.flatten(1))
        return y.unflatten(1, (*x.shape[2:], len(x))).movedim(-1, 0)

    def _masked_weight(self) -> Tensor:
        return self.weight if self.free else with_masked_gradient(self.weight, self.mask)

    def _shifted(self, y: Tensor, context: Tensor | None) -> Tensor:
        return y if self.shift is None else y + self.shift(context)[:, :, None, None]


class PixelStates(Protocol):
    """The states of a recurrence, computed for one pixel after the other, and its colours."""

    def begin(self) -> None:
        """Begins the next row."""
        ...

    def __call__(self, gates: Tensor, column: int, colour: int) -> Tensor:
        """The states of a colour of a pixel.

        Arguments:
            gates: What is added to its gates, with shape (n, gates of that colour).
            column: The column of the pixel.
            colour: The colour.
        """
        ...


class Recurrence(nn.Module, ABC):
    """States of pixels that see the states of pixels before them. Abstract.

    Attributes:
        enter: What leads from the inputs to the gates of the states.
    """

    enter: CausalConv2d

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The states, with shape (batch, features, height, width).

        Arguments:
            x: The inputs, with shape (batch, in_channels, height, width).
            context: The features of the context.
        """

    @abstractmethod
    def by_pixels(self, n: int, width: int, colours: int) -> PixelStates:
        """The states pixel by pixel, given what `enter` gives.

        Arguments:
            n: The number of images.
            width: The number of pixels in a row.
            colours: The number of colours.
        """


class Evaluate(Protocol):
    """A way of computing a layer: for whole images, for a row, or for a pixel.

    What networks do between layers acts on each channel (dimension 1) alike, so that one
    description of a network serves all ways.
    """

    def __call__(
        self, layer: CausalConv2d, x: Tensor | None, added: Tensor | None = None
    ) -> Tensor:
        """The outputs of a layer.

        Arguments:
            layer: The layer.
            x: Its inputs; None where these were handed over before.
            added: What is added to the outputs, for whole images or for the row in hand.
        """
        ...


class EvaluateStates(Evaluate, Protocol):
    """A way of computing a layer, and states that go along from pixel to pixel."""

    def states(self, layer: Recurrence, x: Tensor) -> Tensor:
        """The states of a recurrence.

        Arguments:
            layer: The recurrence.
            x: Its inputs.
        """
        ...


class Whole:
    """Evaluates layers on whole images.

    Arguments:
        context: The features of the context, with one row for each image, or None.
    """

    def __init__(self, context: Tensor | None = None) -> None:
        self.context = context

    def __call__(
        self, layer: CausalConv2d, x: Tensor | None, added: Tensor | None = None
    ) -> Tensor:
        assert x is not None
        y = layer(x, self.context)
        return y if added is None else y + added

    def states(self, layer: Recurrence, x: Tensor) -> Tensor:
        return layer(x, self.context)


def raster(
    inputs: Tensor,
    outputs: Tensor,
    kernel_size: int,
    *,
    hidden_from_itself: bool = False,
    context_features: int = 0,
) -> CausalConv2d:
    """A convolution that sees the rows above, the pixels to the left, and the colours before.

    Arguments:
        inputs: The colour of each input channel, ascending.
        outputs: The colour of each output channel.
        kernel_size: The width of the kernel, an odd number.
        hidden_from_itself: Whether a value is hidden from its own conditional (mask A, for the
            layer that reads images), or seen (mask B, for all others).
        context_features: The number of features of the context.

    Raises:
        ValueError: The width is not odd.
    """
    mask = _mask(inputs, outputs, kernel_size, hidden_from_itself)
    return CausalConv2d(mask, inputs, outputs, kernel_reach(kernel_size), context_features)


def along(
    inputs: Tensor,
    outputs: Tensor,
    kernel_size: int,
    *,
    hidden_from_itself: bool = False,
    context_features: int = 0,
) -> CausalConv2d:
    """A convolution along the row: it sees the pixels to the left and the colours before.

    Arguments:
        inputs: The colour of each input channel, ascending.
        outputs: The colour of each output channel.
        kernel_size: The width of the kernel, an odd number, of which the left half is there.
        hidden_from_itself: Whether a value is hidden from its own conditional.
        context_features: The number of features of the context.

    Raises:
        ValueError: The width is not odd.
    """
    mask = _mask(inputs, outputs, kernel_size, hidden_from_itself)
    left = kernel_reach(kernel_size)
    return CausalConv2d(mask[:, :, -1:, : left + 1], inputs, outputs, left, context_features)


def vertical(
    in_channels: int, out_channels: int, kernel_size: int, context_features: int = 0
) -> CausalConv2d:
    """A convolution that sees its row and those above, whole; the colours do not matter.

    Arguments:
        in_channels: The number of input channels.
        out_channels: The number of output channels.
        kernel_size: The width of the kernel, an odd number, of which the upper half is there.
        context_features: The number of features of the context.

    Raises:
        ValueError: The width is not odd.
    """
    reach = kernel_reach(kernel_size)
    inputs, outputs = (torch.zeros(n, dtype=torch.long) for n in (in_channels, out_channels))
    mask = torch.ones(out_channels, in_channels, reach + 1, kernel_size)
    return CausalConv2d(mask, inputs, outputs, reach, context_features)


def _batch_is_last(x: Tensor) -> bool:
    return x.movedim(0, -1).is_contiguous()


def _mask(inputs: Tensor, outputs: Tensor, kernel_size: int, hidden_from_itself: bool) -> Tensor:
    reach = kernel_reach(kernel_size)
    mask = torch.ones(len(outputs), len(inputs), reach + 1, kernel_size)
    mask[:, :, -1, reach:] = 0
    before = outputs[:, None] > inputs if hidden_from_itself else outputs[:, None] >= inputs
    mask[:, :, -1, reach] = before.to(mask.dtype)
    return mask
