r"""Long short-term memory that goes over the pixels of an image, many pixels at a time.

The gates of a pixel p see the states of neighbours that came before it, at fixed offsets, and its
cell goes on from that of one of them:

.. math::
    (i, f, o, g)_p &= x_p + \sum_k W_k h_{p + \delta_k} \\
    c_p &= \sigma(f_p) \odot c_{p + \delta} + \sigma(i_p) \odot \tanh(g_p), \qquad
    h_p = \sigma(o_p) \odot \tanh(c_p)

A sweep says which pixels come about at once: those of a row, or those of a diagonal. A diagonal of
an image whose pixels stand in one line is a slice with a step, so the skewed image of the paper is
a view here: nothing is moved, and the half of it that holds no pixel is never computed. The
backward pass is written out, and goes over the sweep from its end.
"""

__all__ = ["Sweep", "advance", "by_diagonals", "by_rows", "sweep"]

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ptheta.networks.sizes import kernel_reach


@dataclass(frozen=True)
class Sweep:
    """An order in which the pixels of an image come about.

    The states stand in an image with a row of zeros above it and columns of zeros to its left,
    where neighbours are that the image does not have. What runs over the right edge meets the
    zeros at the left of the next row, and there are as many at the end.

    Arguments:
        height: The number of rows of the image.
        width: The number of its columns.
        left: The number of columns of zeros.
        pixels: Those of each step, as slices of the image's pixels in raster order.
        places: The same as slices of the states.
        neighbours: What leads from a state to those that its gates see.
        cell: What leads from a state to that whose cell it goes on from.
    """

    height: int
    width: int
    left: int
    pixels: tuple[slice, ...]
    places: tuple[slice, ...]
    neighbours: tuple[int, ...]
    cell: int

    @property
    def states(self) -> int:
        """The number of states, zeros included."""
        return (self.height + 1) * (self.width + self.left) + self.left

    def steps(self) -> Iterator[tuple[slice, slice]]:
        """The pixels and the states of each step."""
        return zip(self.pixels, self.places, strict=True)


@cache
def by_rows(height: int, width: int, kernel_size: int) -> Sweep:
    """Rows from the top, whose gates see a window of the row above.

    Arguments:
        height: The number of rows.
        width: The number of columns.
        kernel_size: The width of the window, an odd number.
    """
    reach = kernel_reach(kernel_size)
    wide = width + reach
    return Sweep(
        height,
        width,
        reach,
        tuple(slice(r * width, (r + 1) * width) for r in range(height)),
        tuple(slice((r + 1) * wide + reach, (r + 2) * wide) for r in range(height)),
        tuple(column - wide for column in range(-reach, reach + 1)),
        -wide,
    )


@cache
def by_diagonals(height: int, width: int) -> Sweep:
    """Diagonals from the upper left corner, whose gates see the pixels to the left and above.

    Arguments:
        height: The number of rows.
        width: The number of columns.

    Example:
        >>> order = by_diagonals(3, 4)
        >>> [torch.arange(12)[pixels].tolist() for pixels in order.pixels]
        [[0], [1, 4], [2, 5, 8], [3, 6, 9], [7, 10], [11]]
    """
    wide = width + 1
    pixels: list[slice] = []
    places: list[slice] = []
    for t in range(height + width - 1):
        top, bottom = max(0, t - width + 1), min(height - 1, t)
        pixels.append(_down(top * width + t - top, bottom - top, width - 1))
        places.append(_down((top + 1) * wide + t - top + 1, bottom - top, wide - 1))
    return Sweep(height, width, 1, tuple(pixels), tuple(places), (-1, -wide), -1)


def sweep(x: Tensor, weight: Tensor, order: Sweep) -> Tensor:
    """The states of all pixels.

    Arguments:
        x: What is added to the gates, in the order input, forget, output, content, with shape
            (directions, 4 * features, height, width, batch).
        weight: The weights of the neighbours' states, with shape
            (directions, 4 * features, neighbours * features).
        order: The order of the pixels.

    Returns:
        The states, with shape (directions, features, height, width, batch).
    """
    found: tuple[Tensor, Tensor, Tensor] = _Sweep.apply(  # pyright: ignore[reportAssignmentType]
        x.flatten(2, 3), weight, order
    )
    return _image(found[0], 0, order)


def advance(gates: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """One step of long short-term memory.

    Arguments:
        gates: The gates before their nonlinearities, which are applied in place, with shape
            (any, 4 * features, ...).
        before: The cells that it goes on from, with shape (any, features, ...).

    Returns:
        The cells, and the states.
    """
    features = before.shape[1]
    gates[:, : 3 * features].sigmoid_()
    gates[:, 3 * features :].tanh_()
    i, f, o, g = gates.chunk(4, dim=1)
    cell = torch.addcmul(f * before, i, g)
    return cell, o * cell.tanh()


class _Sweep(torch.autograd.Function):
    """The states, zeros included; beside them the cells, and the gates of the steps in a row."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, order: Sweep) -> tuple[Tensor, Tensor, Tensor]:
        directions, features = len(x), x.shape[1] // 4
        states = weight.new_zeros(directions, features, order.states, x.shape[3])
        cells = torch.zeros_like(states)
        kept = weight.new_empty(x.numel())
        for (pixels, places), gates in zip(
            order.steps(), _gates(kept, x.shape, order), strict=True
        ):
            torch.bmm(weight, _seen(states, places, order), out=gates.flatten(2))
            gates.add_(x[:, :, pixels])
            cell, state = advance(gates, cells[:, :, _moved(places, order.cell)])
            cells[:, :, places] = cell
            states[:, :, places] = state
        return states, cells, kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, weight, order = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # zeros for what has none are large, and never read
        ctx.save_for_backward(weight, *output)
        ctx.order, ctx.shape, ctx.dtype = order, x.shape, x.dtype

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        if gradients[0] is None:
            return None, None, None
        weight, states, cells, kept = ctx.saved_tensors
        order: Sweep = ctx.order
        of_x = weight.new_empty(ctx.shape)
        of_states, of_cells = gradients[0].clone(), torch.zeros_like(cells)
        steps = list(zip(order.steps(), _gates(kept, ctx.shape, order), strict=True))
        for (pixels, places), gates in reversed(steps):
            before = _moved(places, order.cell)
            slope, of_before = _advance_backward(
                gates,
                cells[:, :, before],
                cells[:, :, places],
                of_states[:, :, places],
                of_cells[:, :, places],
            )
            of_cells[:, :, before] = of_before
            of_x[:, :, pixels] = slope
            back = (weight.transpose(1, 2) @ slope.flatten(2)).unflatten(2, slope.shape[2:])
            parts = back.chunk(len(order.neighbours), dim=1)
            for part, neighbour in zip(parts, order.neighbours, strict=True):
                of_states[:, :, _moved(places, neighbour)] += part
        images = [_image(states, neighbour, order) for neighbour in order.neighbours]
        seen = torch.cat(images, dim=1).flatten(2)
        return of_x.to(ctx.dtype), of_x.flatten(2) @ seen.transpose(1, 2), None


def _advance_backward(
    gates: Tensor, before: Tensor, cell: Tensor, of_state: Tensor, of_cell: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of the gates before their nonlinearities, and of the cells before."""
    i, f, o, g = gates.chunk(4, dim=1)
    shown = cell.tanh()
    of_cell = of_cell + torch.ops.aten.tanh_backward(of_state * o, shown)
    slope = torch.empty_like(gates)
    factors = ((of_cell, g), (of_cell, before), (of_state, shown), (of_cell, i))
    for part, (one, other) in zip(slope.chunk(4, dim=1), factors, strict=True):
        torch.mul(one, other, out=part)
    gated = slice(3 * before.shape[1])
    sigmoids = slope[:, gated]
    torch.ops.aten.sigmoid_backward(sigmoids, gates[:, gated], grad_input=sigmoids)
    content = slope[:, gated.stop :]
    torch.ops.aten.tanh_backward(content, g, grad_input=content)
    return slope, of_cell * f


def _gates(kept: Tensor, shape: torch.Size, order: Sweep) -> list[Tensor]:
    """Views of what is kept, for each step (directions, 4 * features, pixels, batch)."""
    directions, channels, pixels, batch = shape
    counts = [len(range(*part.indices(pixels))) for part in order.pixels]
    parts = kept.split([directions * channels * count * batch for count in counts])
    return [
        part.view(directions, channels, count, batch)
        for part, count in zip(parts, counts, strict=True)
    ]


def _seen(states: Tensor, places: slice, order: Sweep) -> Tensor:
    """The states of all neighbours, with shape (directions, neighbours * features, any)."""
    parts = [states[:, :, _moved(places, neighbour)] for neighbour in order.neighbours]
    return torch.cat(parts, dim=1).flatten(2)


def _image(states: Tensor, by: int, order: Sweep) -> Tensor:
    """The states that such a step leads to from each pixel, as an image."""
    wide = order.width + order.left
    start = wide + order.left + by
    rows = states[:, :, start : start + order.height * wide]
    return rows.unflatten(2, (order.height, wide))[:, :, :, : order.width]


def _moved(places: slice, by: int) -> slice:
    return slice(places.start + by, places.stop + by, places.step)


def _down(start: int, rows: int, step: int) -> slice:
    # a diagonal of one pixel has any step
    return slice(start, start + rows * step + 1, max(1, step))
