"""The learner of models that are maximised in closed form: expectation-maximisation."""

from __future__ import annotations

__all__ = ["EMLearner"]

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch

from ptheta.objectives.types import Batch
from ptheta.training.gradient import ToReals

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ptheta.training.types import Metrics


class SupportsEM(Protocol):
    """A model with an expectation and a maximisation in closed form."""

    def expectation(self, x: torch.Tensor, *, careful: bool = False) -> Any:
        """The sufficient statistics of rows, a named tuple of tensors that add."""
        ...

    def maximization(self, statistics: Any) -> None:
        """Takes the parameters that are most likely under the statistics."""
        ...


class EMLearner:
    """Expectation-maximisation: an iteration is one pass over the data.

    The first iterations are done in float32; when the gain falls under the tolerance they go on
    in float64, until it does so again.

    Arguments:
        model: The model.
        tolerance: The gain in nats per row under which an iteration counts as no gain.
        patience: The iterations without gain over the best after which it has converged; where
            each sees other noise or other rows, a few, since the likelihood then goes up and down.
        bridge: The way from data to the reals on which the model lives.
    """

    def __init__(
        self,
        model: SupportsEM,
        *,
        tolerance: float = 1e-4,
        patience: int = 1,
        bridge: ToReals | None = None,
    ) -> None:
        self.model = model
        self.tolerance = tolerance
        self.patience = patience
        self.bridge = bridge
        self.pending: list[torch.Tensor] = []  # statistics of an unfinished pass
        self.careful = False
        self.converged = False
        self.best = -math.inf
        self.misses = 0

    def setup(self, fabric: Fabric) -> None:
        self.fabric = fabric

    @torch.no_grad()
    def step(self, batch: Batch) -> Metrics:
        x, log_det = batch.x, torch.zeros(1, device=batch.x.device)
        if self.bridge is not None:
            x, log_det = self.bridge.to_reals(batch.x)
        statistics = self.model.expectation(x, careful=self.careful)
        mean = statistics.log_likelihood / statistics.rows
        if self.pending:
            statistics = type(statistics)(*map(torch.add, statistics, self.pending))
        self.pending = [] if batch.last else list(statistics)
        if batch.last:
            self._maximise(statistics)
        return {"loss": -(mean + log_det.mean()).float()}

    def _maximise(self, statistics: Any) -> None:
        if self.fabric.world_size > 1:
            shared = (self.fabric.all_reduce(part, reduce_op="sum") for part in statistics)
            statistics = type(statistics)(*shared)
        self.model.maximization(statistics)
        self._judge((statistics.log_likelihood / statistics.rows).item())

    def state_dict(self) -> dict[str, Any]:
        return {
            "careful": self.careful,
            "converged": self.converged,
            "best": self.best,
            "misses": self.misses,
            "pending": self.pending,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.careful, self.converged = bool(state["careful"]), bool(state["converged"])
        self.best, self.misses = float(state["best"]), int(state["misses"])
        self.pending = list(self.fabric.to_device(state["pending"]))

    def _judge(self, mean: float) -> None:
        if mean - self.best >= self.tolerance:
            self.misses = 0
        else:
            self.misses += 1
        self.best = max(self.best, mean)
        if self.misses >= self.patience:
            self.converged = self.careful
            self.careful, self.misses = True, 0
