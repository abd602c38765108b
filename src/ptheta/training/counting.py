"""The learner of models that are fitted by counting."""

from __future__ import annotations

__all__ = ["CountingLearner", "SupportsCount"]

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from ptheta.objectives.types import Batch
from ptheta.protocols import SupportsLogProb

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ptheta.training.gradient import ToReals
    from ptheta.training.types import Metrics


class SupportsCount(SupportsLogProb, Protocol):
    """A model that is learnt from counts."""

    def count(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The counts of a batch; those of several batches add up."""
        ...

    def take(self, counts: Tensor) -> None:
        """Takes what the counts of the whole data say."""
        ...


class CountingLearner:
    """Counts the data in one pass.

    Arguments:
        model: What is fitted.
        bridge: The way from data to the reals on which the model stands; None hands it the data
            as they are.
    """

    def __init__(self, model: SupportsCount, bridge: ToReals | None = None) -> None:
        self.model = model
        self.bridge = bridge
        self.pending: Tensor | None = None  # of the pieces of an unfinished pass
        self.converged = False

    def setup(self, fabric: Fabric) -> None:
        self.fabric = fabric

    @torch.no_grad()
    def step(self, batch: Batch) -> Metrics:
        u, log_det = batch.x, torch.zeros(1, device=batch.x.device)
        if self.bridge is not None:
            u, log_det = self.bridge.to_reals(batch.x)
        counts = self.model.count(u, batch.context)
        counts = self.fabric.all_reduce(counts, reduce_op="sum")
        assert isinstance(counts, Tensor)
        counts = counts if self.pending is None else self.pending + counts
        self.model.take(counts)
        self.pending = None if batch.last else counts
        self.converged = batch.last
        return {"loss": -(self.model.log_prob(u, batch.context) + log_det).mean()}

    def state_dict(self) -> dict[str, Any]:
        pending = [] if self.pending is None else [self.pending]
        return {"converged": self.converged, "pending": pending}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.converged = bool(state["converged"])
        self.pending = next(iter(self.fabric.to_device(state["pending"])), None)
