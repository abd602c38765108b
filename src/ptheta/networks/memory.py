"""Networks that read one sequence while they look at another, the memory."""

__all__ = ["AttendingNetwork", "Memory", "SelectingReader", "SourceEncoder"]

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from ptheta.networks.sequence import Causal, Reader


class Memory(NamedTuple):
    """A sequence that was encoded, to be looked at.

    Arguments:
        features: What is known of each place, with shape (rows, places, size).
        mask: Which places hold something, with shape (rows, places): the first ones of a row,
            and one at least.
    """

    features: Tensor
    mask: Tensor

    def repeated(self, times: int) -> "Memory":
        """Each row so many times, one after the other."""
        return Memory(
            self.features.repeat_interleave(times, dim=0), self.mask.repeat_interleave(times, dim=0)
        )


class SourceEncoder(nn.Module, ABC):
    """Maps a sequence to features of its places, each of which sees the whole sequence.

    Required: `forward`. Promised: what lies outside the mask has no influence on the features
    inside it.

    Arguments:
        in_features: The size of an input.
        features: The size of what is known of a place.
    """

    def __init__(self, in_features: int, features: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.features = features

    @abstractmethod
    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """The features, with shape (rows, places, features).

        Arguments:
            inputs: The inputs, with shape (rows, places, in_features).
            mask: Which places hold something, as in a `Memory`.
        """


@runtime_checkable
class SelectingReader(Reader, Protocol):
    """A reader that can go on with some of what it has read."""

    def select(self, rows: Tensor) -> None:
        """Goes on with these of the rows, as many as there were; the memory stays as it is."""
        ...


class AttendingNetwork(nn.Module, ABC):
    """Maps a sequence of inputs to outputs, each of which sees the inputs so far and the memory.

    Required: `attending`, whose readers can select. Promised, as of a `SequenceNetwork`: reading in
    pieces gives what reading the whole gives.

    Arguments:
        in_features: The size of an input.
        features: The size of an output.
        window: The inputs at most that are read together; None reads on without end.
    """

    def __init__(self, in_features: int, features: int, window: int | None = None) -> None:
        super().__init__()
        self.in_features = in_features
        self.features = features
        self.window = window

    @abstractmethod
    def attending(self, memory: Memory) -> Causal:
        """The network as it looks at a memory, one row for each sequence that it reads."""
