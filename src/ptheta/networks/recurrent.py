"""Recurrent networks: all that was read is one state."""

__all__ = ["Cell", "Recurrent", "State"]

from typing import Literal

import torch
from torch import Tensor, nn

from ptheta.networks.sequence import SequenceNetwork

Cell = Literal["rnn", "lstm", "gru"]
# with shape (layers, rows, features); cells of an LSTM have two
State = Tensor | tuple[Tensor, Tensor]

_CELLS: dict[Cell, type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]] = {
    "rnn": nn.RNN,
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


class Recurrent(SequenceNetwork):
    """Layers of recurrent cells, with dropout on what goes up and none on what goes along.

    The forget gate of an LSTM starts open.

    References:
        Recurrent Neural Network Regularization (Zaremba, Sutskever & Vinyals, 2014),
        https://arxiv.org/abs/1409.2329, section 3.2 for the dropout
        An Empirical Exploration of Recurrent Network Architectures (Jozefowicz, Zaremba &
        Sutskever, 2015), https://proceedings.mlr.press/v37/jozefowicz15.html, for the forget gate

    Arguments:
        in_features: The size of an input.
        features: The size of the state of a layer, and so of an output.
        layers: The number of layers.
        cell: Elman's cell with a hyperbolic tangent (rnn), long short-term memory (lstm), or the
            gated recurrent unit (gru).
        dropout: The share of units dropped in training.

    Example:
        >>> network = Recurrent(3, 8, layers=2)
        >>> network(torch.zeros(5, 7, 3)).shape
        torch.Size([5, 7, 8])
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        layers: int = 1,
        cell: Cell = "lstm",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(in_features, features)
        between = dropout if layers > 1 else 0.0  # torch warns of dropout that drops nothing
        self.cells = _CELLS[cell](in_features, features, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        if cell == "lstm":
            _open_forget_gates(self.cells, features)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.read(inputs, None)[0]

    def reader(self, rows: int) -> "_Reader":
        return _Reader(self)

    def read(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """The outputs at inputs that are read from a state on, and the state after them.

        Arguments:
            inputs: The inputs, with shape (batch, length, in_features).
            state: The state of the layers; None is that before anything was read.
        """
        outputs, state = self.cells(self.dropout(inputs), state)
        assert state is not None
        return self.dropout(outputs), state


class _Reader:
    def __init__(self, network: Recurrent) -> None:
        self.network = network
        self.state: State | None = None

    def __call__(self, inputs: Tensor) -> Tensor:
        outputs, self.state = self.network.read(inputs, self.state)
        return outputs


@torch.no_grad()
def _open_forget_gates(cells: nn.Module, features: int) -> None:
    for name, parameter in cells.named_parameters():
        if name.startswith("bias_ih"):
            parameter[features : 2 * features] = 1  # gates stand in the order i, f, g, o
