"""Losses that are not finite stop the run, and say where and why."""

from __future__ import annotations

__all__ = ["Diverged", "Guard", "LastGood"]

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ptheta.errors import PthetaError
from ptheta.training.types import Metrics

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Diverged(PthetaError):
    """A loss became infinite or not a number.

    Arguments:
        message: What happened, and what to do.
        step: The first step with such a loss.
        terms: What else was recorded at that step.
    """

    def __init__(self, message: str, step: int, terms: Mapping[str, float] | None = None) -> None:
        super().__init__(message)
        self.step = step
        self.terms = {} if terms is None else dict(terms)


class Guard:
    """Watches every loss, looking at them together once in a while so that devices need not wait.

    Arguments:
        fabric: What several processes agree through: one that diverged stops them all.
        every: The number of steps between looks.
    """

    def __init__(self, fabric: Fabric | None = None, every: int = 20) -> None:
        self.fabric = fabric if fabric is not None and fabric.world_size > 1 else None
        self.every = every
        self.seen: list[tuple[int, Metrics]] = []

    def __call__(self, step: int, metrics: Metrics) -> None:
        self.seen.append((step, metrics))
        if len(self.seen) >= self.every:
            self.look()

    def look(self) -> None:
        """Looks at all losses since the last look, in all processes.

        Raises:
            Diverged: One of them is not finite.
        """
        found: Diverged | None = None
        try:
            self.look_alone()
        except Diverged as error:
            found = error
        if self.fabric is not None:
            bad = self.fabric.all_reduce(torch.tensor(float(found is not None)), reduce_op="sum")
            if found is None and isinstance(bad, Tensor) and bad.item() > 0:
                found = Diverged("the loss is not finite in another process", 0)
        if found is not None:
            raise found

    def look_alone(self) -> None:
        """As `look`, in this process alone."""
        seen, self.seen = self.seen, []
        if not seen:
            return
        losses = torch.stack([metrics["loss"].float() for _, metrics in seen])
        if losses.isfinite().all():
            return
        step, metrics = seen[int((~losses.isfinite()).int().argmax())]
        terms = {name: value.item() for name, value in metrics.items()}
        shown = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
        raise Diverged(f"the loss is not finite at step {step} ({shown})", step, terms)


class LastGood:
    """A copy of state in memory, to go back to.

    Arguments:
        parts: What has state, by name.
        step: The step that they are at.
    """

    def __init__(self, parts: Mapping[str, Any], step: int = 0) -> None:
        self.parts = parts
        self.keep(step)

    def keep(self, step: int) -> None:
        """Takes a copy of the state as it is after a step."""
        self.step = step
        self.state = {name: copy.deepcopy(part.state_dict()) for name, part in self.parts.items()}

    def restore(self) -> None:
        """Goes back to the copy."""
        for name, part in self.parts.items():
            part.load_state_dict(self.state[name])
