"""Sequences as they come about: each symbol is read once, and the next one's logits are given."""

__all__ = ["Given", "Reading", "SupportsReading"]

from typing import NamedTuple, Protocol

from torch import Tensor

from ptheta.networks.memory import SelectingReader
from ptheta.networks.sequence import Causal, Reader


class Given(NamedTuple):
    """What sequences are conditioned on, ready for their symbols.

    Arguments:
        network: The network that reads them, with what it looks at besides.
        condition: What is added to each input, with shape (rows, 1, in_features), or None.
    """

    network: Causal
    condition: Tensor | None


class SupportsReading(Protocol):
    """A model of symbols, one after the other."""

    window: int | None

    def inputs(self, codes: Tensor, condition: Tensor | None, *, start: bool) -> Tensor:
        """What the network reads, with shape (batch, length, in_features)."""
        ...

    def logits(self, outputs: Tensor) -> Tensor:
        """The logits of the next symbol, from outputs of the network."""
        ...


class Reading:
    """The logits of the next symbol, each symbol being read once.

    Arguments:
        model: The model.
        given: What the sequences are conditioned on.
    """

    def __init__(self, model: SupportsReading, given: Given) -> None:
        self.model = model
        self.given = given
        self.reader: Reader | None = None
        self.first = self.last = 0

    def __call__(self, codes: Tensor) -> Tensor:
        """The logits, with shape (n, symbols), after all symbols so far, (n, any)."""
        n, count = codes.shape
        first = count - kept(count, self.model.window)
        start = self.reader is None or first != self.first
        new = codes[:, first if start else self.last :]
        if self.reader is None or start:
            self.reader = self.given.network.reader(n)
        self.first, self.last = first, count
        outputs = self.reader(self.model.inputs(new, self.given.condition, start=start))
        return self.model.logits(outputs[:, -1])

    def select(self, rows: Tensor) -> None:
        """Goes on with these of the rows, as many as there were, which share what is given.

        Arguments:
            rows: The rows, with shape (n,).
        """
        assert isinstance(self.reader, SelectingReader)
        self.reader.select(rows)


def kept(count: int, window: int | None) -> int:
    """How many of the newest symbols are read, of so many in all.

    Where they no longer fit in the window after the start symbol, the newer half is kept, to
    which symbols are added until it is full again.

    Arguments:
        count: The symbols so far.
        window: The inputs at most that are read together, the start symbol among them.
    """
    if window is None or count < window:
        return count
    half = window // 2
    return half + (count - window) % (window - half)
