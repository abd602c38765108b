"""Networks over sequences in which nothing sees what comes after it."""

__all__ = ["Causal", "Reader", "SequenceNetwork"]

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor, nn


class Reader(Protocol):
    """A sequence as it is read: what is given next follows what was given before."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """The outputs at the inputs given, (rows, any, features), from all inputs so far."""
        ...


class Causal(Protocol):
    """A `SequenceNetwork`, or a network together with what it is given besides."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """The outputs, with shape (rows, length, features)."""
        ...

    def reader(self, rows: int) -> Reader:
        """Starts to read so many sequences, piece by piece."""
        ...


class SequenceNetwork(nn.Module, ABC):
    """Maps a sequence of inputs to a sequence of outputs, each of which sees the inputs so far.

    Required: `forward` and `reader`. Promised: reading in pieces, however they are cut, gives what
    `forward` gives for the whole.

    Arguments:
        in_features: The size of an input.
        features: The size of an output.
        window: The inputs at most that are read together; None reads on without end.
        context_features: The last features of an input that are those of a context, the same at
            every place of a sequence; 0 means that there is none.
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        window: int | None = None,
        context_features: int = 0,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.features = features
        self.window = window
        self.context_features = context_features

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs, with shape (batch, length, features).

        Arguments:
            inputs: The inputs, with shape (batch, length, in_features).
        """

    @abstractmethod
    def reader(self, rows: int) -> Reader:
        """Starts to read.

        Arguments:
            rows: The number of sequences that are read side by side.
        """
