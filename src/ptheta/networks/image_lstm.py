"""Long short-term memory over the pixels of images, by rows or by diagonals."""

__all__ = ["DiagonalBiLSTM", "ImageLSTM", "RowLSTM"]

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.networks.causal import Recurrence, along
from ptheta.networks.sweeps import advance, by_diagonals, by_rows, sweep


class ImageLSTM(Recurrence):
    """States of pixels whose gates see their own inputs and the states of neighbours. Abstract.

    The forget gates start open.

    Arguments:
        inputs: The colour of each input channel, ascending.
        colours: The colour of each feature of a state, ascending.
        directions: The number of states that a pixel has.
        neighbours: The number of states that the gates of each see.
        kernel_size: The width of the convolution that leads from the inputs to the gates.
        context_features: The number of features of a context, which shift the gates.

    Attributes:
        weight: What the neighbours' states add to the gates, with shape
            (directions, 4 * features, neighbours * features).
        margin: The columns to the right of an image that it has to be handed as well.
    """

    colours: Tensor
    margin: int = 0

    def __init__(
        self,
        inputs: Tensor,
        colours: Tensor,
        directions: int,
        neighbours: int,
        kernel_size: int,
        context_features: int,
    ) -> None:
        super().__init__()
        features = len(colours)
        seen = neighbours * features
        gates = colours.repeat(4 * directions)
        self.register_buffer("colours", colours, persistent=False)
        self.enter = along(inputs, gates, kernel_size, context_features=context_features)
        self.weight = nn.Parameter(torch.empty(directions, 4 * features, seen))
        nn.init.uniform_(self.weight, -(seen**-0.5), seen**-0.5)
        with torch.no_grad():
            self.enter.bias.view(directions, 4, features)[:, 1] = 1

    def _gates(self, x: Tensor, context: Tensor | None) -> Tensor:
        """What is added to the gates, with shape (directions, gates, height, width, batch)."""
        # where the batch stands last in memory, rows and diagonals are slices; the inputs are
        # fewer than the gates, and to turn them is one plain transpose
        turned = x.flatten(1).t().contiguous().unflatten(0, x.shape[1:]).movedim(-1, 0)
        gates = self.enter(turned, context).movedim(0, -1).contiguous()
        return gates.unflatten(0, (len(self.weight), -1))


class RowLSTM(ImageLSTM):
    """Row LSTM: the gates of a pixel see a window of the states in the row above.

    References:
        Pixel Recurrent Neural Networks (van den Oord, Kalchbrenner & Kavukcuoglu, 2016),
        https://arxiv.org/abs/1601.06759, section 3.1 and equation 3

    Arguments:
        inputs: The colour of each input channel, ascending.
        colours: The colour of each feature of a state, ascending.
        kernel_size: The width of the window, and of the masked convolution over the inputs, an
            odd number.
        context_features: The number of features of a context, which shift the gates.

    Raises:
        ValueError: The width is even.

    Example:
        >>> colour = torch.zeros(5, dtype=torch.long)
        >>> RowLSTM(colour, colour)(torch.zeros(2, 5, 8, 8)).shape
        torch.Size([2, 5, 8, 8])
    """

    def __init__(
        self, inputs: Tensor, colours: Tensor, kernel_size: int = 3, context_features: int = 0
    ) -> None:
        super().__init__(inputs, colours, 1, kernel_size, kernel_size, context_features)
        self.kernel_size = kernel_size

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        order = by_rows(*x.shape[2:], self.kernel_size)
        return sweep(self._gates(x, context), self.weight, order)[0].movedim(-1, 0)

    def by_pixels(self, n: int, width: int, colours: int) -> "_RowByPixels":
        return _RowByPixels(self, n, width, colours)


class DiagonalBiLSTM(ImageLSTM):
    """Diagonal BiLSTM: from both upper corners, the gates see the pixel before and that above.

    What comes from the right is moved down by a row before the two are added, so that a pixel
    sees nothing of what is after it. Both are one sweep, of which one image is turned.

    References:
        Pixel Recurrent Neural Networks (van den Oord, Kalchbrenner & Kavukcuoglu, 2016),
        https://arxiv.org/abs/1601.06759, section 3.2, equation 3 and figure 3

    Arguments:
        inputs: The colour of each input channel, ascending.
        colours: The colour of each feature of a state, ascending.
        context_features: The number of features of a context, which shift the gates.

    Example:
        >>> colour = torch.zeros(5, dtype=torch.long)
        >>> DiagonalBiLSTM(colour, colour)(torch.zeros(2, 5, 8, 8)).shape
        torch.Size([2, 5, 8, 8])
    """

    margin = 1

    def __init__(self, inputs: Tensor, colours: Tensor, context_features: int = 0) -> None:
        super().__init__(inputs, colours, 2, 2, 1, context_features)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        left, right = self._gates(x, context)
        order = by_diagonals(*x.shape[2:])
        left, right = sweep(torch.stack([left, right.flip(2)]), self.weight, order)
        above = F.pad(right.flip(2)[:, :-1], (0, 0, 0, 0, 1, 0))
        return (left + above).movedim(-1, 0)

    def by_pixels(self, n: int, width: int, colours: int) -> "_DiagonalByPixels":
        return _DiagonalByPixels(self, n, width, colours)


class _RowByPixels:
    def __init__(self, layer: RowLSTM, n: int, width: int, colours: int) -> None:
        weight = layer.weight.detach()[0].unflatten(1, (layer.kernel_size, -1))
        self.window = weight.transpose(1, 2)
        self.own = _owned(layer.colours, colours)
        self.states = weight.new_zeros(width, n, weight.shape[2])
        self.cells = torch.zeros_like(self.states)

    def begin(self) -> None:
        states = self.states.permute(1, 2, 0)
        above = F.conv1d(states, self.window, padding=self.window.shape[2] // 2)
        self.bases = _parts(above.permute(2, 0, 1), self.own)

    def __call__(self, gates: Tensor, column: int, colour: int) -> Tensor:
        own = self.own[colour]
        # the row above is needed no more: its window is in the bases, its cell is read here
        cell = self.cells[column, :, own]
        found, state = advance(gates + self.bases[colour][column], cell)
        cell.copy_(found)
        self.states[column, :, own] = state
        return state


class _DiagonalByPixels:
    """From the left pixel by pixel; from the right a row at a time, when the next one begins."""

    def __init__(self, layer: DiagonalBiLSTM, n: int, width: int, colours: int) -> None:
        weight = layer.weight.detach()
        features = len(layer.colours)
        self.own = _owned(layer.colours, colours)
        beside, self.above = weight.transpose(1, 2).contiguous().split(features, dim=1)
        self.beside_right = beside[1]
        self.beside = [part for (part,) in _parts(beside[:1], self.own)]
        # the first of the states from the left stands for what is before the row
        self.left = weight.new_zeros(width + 1, n, features)
        self.right = weight.new_zeros(width, n, features)
        self.cell = weight.new_zeros(n, features)
        self.gates = weight.new_zeros(width, n, 4, features)

    def begin(self) -> None:
        self._end_right()
        self.cell.zero_()
        self.bases = _parts(self.left[1:] @ self.above[0], self.own)

    def __call__(self, gates: Tensor, column: int, colour: int) -> Tensor:
        own = self.own[colour]
        left, right = gates.chunk(2, dim=1)
        self.gates[column, :, :, own] = right.view(len(right), 4, right.shape[1] // 4)
        base = self.bases[colour][column] + left
        cell = self.cell[:, own]
        found, state = advance(torch.addmm(base, self.left[column], self.beside[colour]), cell)
        cell.copy_(found)
        self.left[column + 1, :, own] = state
        return state + self.right[column, :, own]

    def _end_right(self) -> None:
        """The states of the row that is whole; before the first, zeros give zeros."""
        bases = self.right @ self.above[1] + self.gates.flatten(2)
        state = cell = torch.zeros_like(self.cell)
        for column in range(len(bases) - 1, -1, -1):
            cell, state = advance(torch.addmm(bases[column], state, self.beside_right), cell)
            self.right[column] = state


def _owned(colours: Tensor, count: int) -> list[slice]:
    """The features of each colour."""
    bounds = torch.bincount(colours, minlength=count).cumsum(0).tolist()
    return [slice(a, b) for a, b in zip([0, *bounds], bounds, strict=False)]


def _parts(gates: Tensor, own: list[slice]) -> list[tuple[Tensor, ...]]:
    """The gates of each colour, by columns, from all with shape (columns, n, gates)."""
    parts = gates.unflatten(2, (4, -1))
    return [parts[..., one].flatten(2).unbind(0) for one in own]
