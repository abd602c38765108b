"""The learner of models that are trained in phases, such as layer by layer."""

from __future__ import annotations

__all__ = ["InPhases", "Phase"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from ptheta.objectives.types import Batch
from ptheta.training.types import Learner, Metrics

if TYPE_CHECKING:
    from lightning_fabric import Fabric


_OFTEN = 20  # updates


@dataclass(frozen=True)
class Phase:
    """One phase.

    Arguments:
        learner: One update of it.
        steps: The number of updates; that of the last phase is not looked at.
        begin: Done once, with the first batch of the phase, before its first update.
        passing: What it trains that is no part of the model: it is part of the learner's state.
        meanwhile: Done after its first update and every twentieth, with the batch: what brings the
            model up to what is being trained, should training end here.
    """

    learner: Learner
    steps: int
    begin: Callable[[Batch], None] | None = None
    passing: nn.Module | None = None
    meanwhile: Callable[[Batch], None] | None = None


class InPhases:
    """Learners in turn, each for so many steps and the last for as long as training goes on.

    Arguments:
        phases: The phases.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        self.phases = phases
        self.at = 0
        self.done = 0  # the updates of this phase

    def setup(self, fabric: Fabric) -> None:
        for phase in self.phases:
            phase.learner.setup(fabric)

    def step(self, batch: Batch) -> Metrics:
        if self.at + 1 < len(self.phases) and self.done == self.phases[self.at].steps:
            self.at, self.done = self.at + 1, 0
        phase = self.phases[self.at]
        if self.done == 0 and phase.begin is not None:
            phase.begin(batch)
        self.done += 1
        metrics = phase.learner.step(batch)
        if phase.meanwhile is not None and self.done % _OFTEN == 1:
            phase.meanwhile(batch)
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "done": self.done,
            "learners": [phase.learner.state_dict() for phase in self.phases],
            "passing": [
                {} if phase.passing is None else phase.passing.state_dict() for phase in self.phases
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.at, self.done = int(state["at"]), int(state["done"])
        for phase, learner, passing in zip(
            self.phases, state["learners"], state["passing"], strict=True
        ):
            phase.learner.load_state_dict(learner)
            if phase.passing is not None:
                phase.passing.load_state_dict(passing)
