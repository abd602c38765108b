r"""The learner of models with one best set of weights: L-BFGS, to the optimum.

It minimises the mean loss and a penalty on matrices of weights,

.. math:: f(\theta) = \frac{1}{n} \Big( \sum_i \ell_i(\theta)
    + \frac{\lambda}{2} \sum_{W} \|W\|^2 \Big) .

A step takes the data whole, in one pass: it evaluates f at a point, and then goes on from there, or
half way back where f has not come down. `torch.optim.LBFGS` wants a whole line search at each step,
over data in memory, and leaves out curvatures under a fixed size, so that it ends short of the
optimum.

References:
    On the limited memory BFGS method for large scale optimization (Liu & Nocedal, 1989),
    https://doi.org/10.1007/BF01589116, algorithm 2.1
"""

from __future__ import annotations

__all__ = ["QuasiNewtonLearner"]

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ptheta.objectives.types import Batch, Objective

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ptheta.training.types import Metrics

N = TypeVar("N", bound=nn.Module)

_DECREASE = 1e-4  # of what the slope promises, as is usual
_ROUNDING = 1e-14  # a fall of f by less cannot be told from none
_SHORTEST = 1e-10


class QuasiNewtonLearner(Generic[N]):
    """L-BFGS on an objective that is a mean over examples.

    Arguments:
        model: What is trained.
        objective: What it is trained by.
        penalty: The weight of half the squared norm of matrices beside the sum over all
            examples; biases are left alone.
        tolerance: The largest entry of the gradient at which the optimum counts as reached.
        memory: The number of past steps that the curvature is read from.
    """

    def __init__(
        self,
        model: N,
        objective: Objective[N],
        *,
        penalty: float = 0.0,
        tolerance: float = 1e-9,
        memory: int = 10,
    ) -> None:
        self.model = model
        self.objective = objective
        self.penalty = penalty
        self.tolerance = tolerance
        self.memory = memory
        self.pending: list[Tensor] = []  # the sums of an unfinished pass
        self.accepted: list[Tensor] = []  # the last point that was gone on from: point, f, gradient
        self.direction: list[Tensor] = []
        self.stride = 1.0
        self.pairs: list[tuple[Tensor, Tensor]] = []  # steps, and how the gradient changed
        self.converged = False

    def setup(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]

    def step(self, batch: Batch) -> Metrics:
        sums = self._sums(batch)
        if self.pending:
            sums = sums + self.pending[0]
        self.pending = [] if batch.last else [sums]
        rows, loss, gradient = sums[0], sums[1], sums[2:]
        point = self._point()
        weights = torch.cat([(p.dim() > 1) * p.detach().flatten() for p in self.parameters])
        value = (loss + 0.5 * self.penalty * weights.square().sum()) / rows
        if batch.last:
            self._move(point, value, (gradient + self.penalty * weights) / rows)
        return {"loss": value}

    def _sums(self, batch: Batch) -> Tensor:
        """The number of rows, their losses, and the gradient of these: sums, over all processes."""
        with torch.enable_grad():
            loss = self.objective.loss(self.model, batch).value
            gradient = torch.autograd.grad(loss, self.parameters)
        mean = torch.cat([loss.detach().reshape(1), *(part.flatten() for part in gradient)])
        sums = len(batch.x) * torch.cat([torch.ones_like(mean[:1]), mean])
        shared = self.fabric.all_reduce(sums, reduce_op="sum")
        assert isinstance(shared, Tensor)
        return shared

    def _move(self, point: Tensor, value: Tensor, gradient: Tensor) -> None:
        """Goes on from a point, or part of the way back to the last one."""
        if self.accepted and not self._falls(value):
            self.stride *= 0.5
            # even the shortest step does not come down: it is as low as numbers can tell
            self.converged = self.stride < _SHORTEST
            self._go(self.accepted[0] + (not self.converged) * self.stride * self.direction[0])
            return
        if self.accepted:
            self._remember(point - self.accepted[0], gradient - self.accepted[2])
        self.accepted = [point, value, gradient]
        self.converged = bool(gradient.abs().max() <= self.tolerance)
        if self.converged:
            return
        self.direction = [-self._newton(gradient)]
        # nothing is known of the curvature at first
        self.stride = 1.0 if self.pairs else min(1.0, 1.0 / gradient.abs().sum().item())
        self._go(point + self.stride * self.direction[0])

    def _falls(self, value: Tensor) -> bool:
        _, before, slope = self.accepted
        promised = self.stride * (slope @ self.direction[0])
        return bool(value <= before + _DECREASE * promised + _ROUNDING * before.abs())

    def _remember(self, moved: Tensor, changed: Tensor) -> None:
        if moved @ changed > 0:
            self.pairs = [*self.pairs, (moved, changed)][-self.memory :]

    def _newton(self, gradient: Tensor) -> Tensor:
        """The inverse of the curvature, as far as it is known, times the gradient."""
        found, weights = gradient.clone(), list[Tensor]()
        for moved, changed in reversed(self.pairs):
            weights.append((moved @ found) / (moved @ changed))
            found -= weights[-1] * changed
        if self.pairs:
            moved, changed = self.pairs[-1]
            found *= (moved @ changed) / (changed @ changed)
        for (moved, changed), weight in zip(self.pairs, reversed(weights), strict=True):
            found += (weight - (changed @ found) / (moved @ changed)) * moved
        return found

    def _point(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.parameters])

    @torch.no_grad()
    def _go(self, point: Tensor) -> None:
        sizes = [p.numel() for p in self.parameters]
        for parameter, values in zip(self.parameters, point.split(sizes), strict=True):
            parameter.copy_(values.reshape(parameter.shape))

    def state_dict(self) -> dict[str, Any]:
        return {
            "pending": self.pending,
            "accepted": self.accepted,
            "direction": self.direction,
            "stride": self.stride,
            "pairs": [list(pair) for pair in self.pairs],
            "converged": self.converged,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        state = self.fabric.to_device(dict(state))
        self.pending = list(state["pending"])
        self.accepted, self.direction = list(state["accepted"]), list(state["direction"])
        self.stride, self.converged = float(state["stride"]), bool(state["converged"])
        self.pairs = [(moved, changed) for moved, changed in state["pairs"]]
