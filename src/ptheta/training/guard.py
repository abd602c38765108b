"""Losses that are not finite stop the run, and say where and why."""

__all__ = ["Diverged", "Guard", "LastGood"]

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ptheta.errors import PthetaError
from ptheta.training.types import Metrics


class Diverged(PthetaError):
    """A loss became infinite or not a number.

    Arguments:
        message: What happened, and what to do.
        step: The first step with such a loss.
    """

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


class Guard:
    """Watches every loss, looking at them together once in a while so that devices need not wait.

    Arguments:
        every: The number of steps between looks.
    """

    def __init__(self, every: int = 20) -> None:
        self.every = every
        self.seen: list[tuple[int, Metrics]] = []

    def __call__(self, step: int, metrics: Metrics) -> None:
        self.seen.append((step, metrics))
        if len(self.seen) >= self.every:
            self.look()

    def look(self) -> None:
        """Looks at all losses since the last look.

        Raises:
            Diverged: One of them is not finite.
        """
        seen, self.seen = self.seen, []
        if not seen:
            return
        losses = torch.stack([metrics["loss"].float() for _, metrics in seen])
        if losses.isfinite().all():
            return
        step, metrics = seen[int((~losses.isfinite()).int().argmax())]
        terms = ", ".join(f"{name} {_figure(value)}" for name, value in metrics.items())
        raise Diverged(f"the loss is not finite at step {step} ({terms})", step)


class LastGood:
    """A copy of state in memory, to go back to.

    Arguments:
        parts: What has state, by name.
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self.parts = parts
        self.keep(0)

    def keep(self, step: int) -> None:
        """Takes a copy of the state as it is after a step."""
        self.step = step
        self.state = {name: copy.deepcopy(part.state_dict()) for name, part in self.parts.items()}

    def restore(self) -> None:
        """Goes back to the copy."""
        for name, part in self.parts.items():
            part.load_state_dict(self.state[name])


def _figure(value: Tensor) -> str:
    return f"{value.item():.4g}"
