"""Shuffled batches without end, from a tensor in memory or a file on disk."""

__all__ = ["PIECE", "Batches"]

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ptheta.data.dataset import Split
from ptheta.objectives.types import Batch

PIECE = 100_000  # rows of a file that are held in memory together


class Batches:
    """Batches of a split, reshuffled at each epoch, whose place can be saved and found again.

    The order is the seed's alone: it does not depend on the number of processes, each of which
    takes its share of every batch.

    Arguments:
        split: The examples. A tensor is moved to the device once; other rows are read as needed.
        batch_size: The number of examples in a batch over all processes; an epoch's last
            incomplete batch is left out. None takes the split whole and in its order, in one
            batch, or in pieces where it lies on disk.
        seed: The seed of the order.
        device: Where batches are wanted.
        rank: The index of this process.
        processes: The number of processes.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int | None,
        *,
        seed: int,
        device: torch.device,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.x = split.x.to(device) if isinstance(split.x, Tensor) else split.x
        self.context = None if split.context is None else split.context.to(device)
        self.device = device
        self.rows = len(split)
        self.in_order = batch_size is None
        whole = self.rows if isinstance(self.x, Tensor) else PIECE
        self.batch_size = min(batch_size or whole, self.rows)
        self.rank, self.processes = rank, processes
        self.generator = torch.Generator().manual_seed(seed)
        self._shuffle()

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in an epoch."""
        pieces = self.rows / self.batch_size
        return math.ceil(pieces) if self.in_order else int(pieces)

    def next(self) -> Batch:
        """The next batch; its tensors are on the device."""
        index = self._next_in_order() if self.in_order else self._next_shuffled()
        context = None if self.context is None else self.context[index]
        x = self.x[index].to(self.device, non_blocking=True)
        return Batch(x, context, last=self.position + self._least > self.rows)

    def state_dict(self) -> dict[str, Any]:
        """The place in the order."""
        return {"start_of_epoch": self.start_of_epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to a place in the order."""
        self.generator.set_state(state["start_of_epoch"])
        self._shuffle()
        self.position = int(state["position"])

    @property
    def _least(self) -> int:
        return 1 if self.in_order else self.batch_size

    def _next_in_order(self) -> slice:
        start = 0 if self.position >= self.rows else self.position
        self.position = min(start + self.batch_size, self.rows)
        return slice(start + self.rank, self.position, self.processes)

    def _next_shuffled(self) -> Tensor:
        if self.position + self.batch_size > self.rows:
            self._shuffle()
        start, self.position = self.position, self.position + self.batch_size
        return self.order[start + self.rank : self.position : self.processes]

    def _shuffle(self) -> None:
        self.start_of_epoch = self.generator.get_state()
        order = torch.randperm(self.rows, generator=self.generator)
        self.order = order.to(self.x.device) if isinstance(self.x, Tensor) else order
        self.position = 0
