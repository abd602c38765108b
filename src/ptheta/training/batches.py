"""Shuffled batches without end, from a tensor in memory or a file on disk."""

__all__ = ["Batches"]

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ptheta.data.dataset import Split
from ptheta.objectives.types import Batch


class Batches:
    """Batches of a split, reshuffled at each epoch, whose place can be saved and found again.

    The order is the seed's alone: it does not depend on the number of processes, each of which
    takes its share of every batch.

    Arguments:
        split: The examples. A tensor is moved to the device once; other rows are read as needed.
        batch_size: The number of examples in a batch over all processes; None takes the split
            whole, in its order. An epoch's last incomplete batch is left out.
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
        self.batch_size = min(batch_size or self.rows, self.rows)
        self.whole = self.batch_size == self.rows and processes == 1
        self.rank, self.processes = rank, processes
        self.generator = torch.Generator().manual_seed(seed)
        self._shuffle()

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in an epoch."""
        return self.rows // self.batch_size

    def next(self) -> Batch:
        """The next batch; its tensors are on the device."""
        if self.whole:
            return self._whole()
        if self.position + self.batch_size > self.rows:
            self._shuffle()
        end = self.position + self.batch_size
        index = self.order[self.position + self.rank : end : self.processes]
        self.position = end
        context = None if self.context is None else self.context[index]
        return Batch(self.x[index].to(self.device, non_blocking=True), context)

    def state_dict(self) -> dict[str, Any]:
        """The place in the order."""
        return {"start_of_epoch": self.start_of_epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to a place in the order."""
        self.generator.set_state(state["start_of_epoch"])
        self._shuffle()
        self.position = int(state["position"])

    def _shuffle(self) -> None:
        self.start_of_epoch = self.generator.get_state()
        order = torch.randperm(self.rows, generator=self.generator)
        self.order = order.to(self.x.device) if isinstance(self.x, Tensor) else order
        self.position = 0

    def _whole(self) -> Batch:
        # a full pass needs no order, and a model trained on full passes none either
        return Batch(self.x[slice(None)].to(self.device), self.context)
