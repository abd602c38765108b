"""The loop: batches through a learner until a budget is spent or a callback says stop."""

from __future__ import annotations

__all__ = ["Budget", "Callback", "Stop", "loop"]

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ptheta.training.batches import Batches
from ptheta.training.types import Learner, Metrics

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Stop:
    """Why training stopped.

    Arguments:
        reason: A few words for a person.
        finished: Whether there was nothing more to do (false: it can be resumed).
    """

    reason: str
    finished: bool = True


@runtime_checkable
class Callback(Protocol):
    """Something done after each step."""

    def __call__(self, step: int, metrics: Metrics) -> Stop | None:
        """Sees a step's number, from 1, and its metrics; what it returns ends the run."""
        ...


class Budget:
    """How long to train: the first of its limits that is reached.

    Arguments:
        steps: The number of steps; None sets no limit.
        seconds: The seconds of training, those before a resume counted in; None sets no limit.
        fabric: Where there are several processes, what they agree through.
    """

    def __init__(
        self, steps: int | None, seconds: float | None, fabric: Fabric | None = None
    ) -> None:
        self.steps = steps
        self.seconds = seconds
        self.fabric = fabric if fabric is not None and fabric.world_size > 1 else None
        self.before = 0.0
        self.started = time.monotonic()

    def start(self, seconds_before: float = 0.0) -> None:
        """Starts the clock."""
        self.before = seconds_before
        self.started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """The seconds of training so far."""
        return self.before + time.monotonic() - self.started

    def spent(self, step: int) -> Stop | None:
        """Whether the budget is spent after so many steps."""
        if self.steps is not None and step >= self.steps:
            return Stop(f"{step} steps done")
        if self.seconds is not None and self._time_is_up(step):
            return Stop(f"{self.seconds:g} seconds spent")
        return None

    def fraction(self, step: int) -> float:
        """The share of the budget that is spent, from 0 to 1."""
        shares = [0.0]
        if self.steps:
            shares.append(step / self.steps)
        if self.seconds:
            shares.append(self.elapsed / self.seconds)
        return min(1.0, max(shares))

    def _time_is_up(self, step: int) -> bool:
        assert self.seconds is not None
        if self.fabric is None:
            return self.elapsed >= self.seconds
        # clocks differ: processes look together, at the same steps, and follow the first one
        return step % 10 == 0 and self.fabric.broadcast(self.elapsed >= self.seconds)


def loop(
    learner: Learner,
    batches: Batches,
    budget: Budget,
    callbacks: Sequence[Callback] = (),
    *,
    step: int = 0,
    stop: Stop | None = None,
) -> tuple[int, Stop]:
    """Trains.

    Arguments:
        learner: One update; `setup` has been called.
        batches: Where batches come from.
        budget: How long to train.
        callbacks: What is done after each step, in order.
        step: The number of steps done before.
        stop: Why it had stopped before, where it had.

    Returns:
        The number of steps done in all, and why it stopped.
    """
    stop = stop or budget.spent(step)
    while stop is None:
        metrics = learner.step(batches.next())
        step += 1
        for callback in callbacks:
            stop = callback(step, metrics) or stop
        stop = stop or budget.spent(step)
    return step, stop
