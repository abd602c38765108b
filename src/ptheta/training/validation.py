"""Looking at held-out data while training: the record, the best weights, early stopping."""

__all__ = ["EARLY", "Figure", "Validation"]

import math
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from ptheta.errors import PthetaError
from ptheta.training.guard import Diverged
from ptheta.training.loop import Stop
from ptheta.training.types import Metrics


class Figure(Protocol):
    """A figure of a model; higher is better.

    Arguments:
        name: What the figure is.
        slack: How much of a difference is noise.
    """

    @property
    def name(self) -> str: ...

    @property
    def slack(self) -> float: ...

    def __call__(self, model: nn.Module) -> float:
        """The figure of a model, the same for the same weights."""
        ...


# few rows can be learnt by heart before the first regular look
EARLY = (0, 1, 2, 5, 10, 20, 50)


class Validation:
    """Measures a model every so many steps, keeps its best weights, and stops when it is done.

    Among weights that differ by no more than the figure's noise, the newest count as best.

    Arguments:
        model: What is measured: the model, or the average of its weights.
        figure: Gives the figure of a model; higher is better.
        every: The number of steps between measurements. It counts steps and not seconds, so
            that a run that is resumed takes the same decisions.
        patience: The measurements without improvement after which to stop; None never stops.
        early: Whether to look at the start too and a few times soon after; these looks cost no
            patience.
    """

    def __init__(
        self,
        model: nn.Module,
        figure: Figure,
        every: int,
        patience: int | None,
        *,
        early: bool = False,
    ) -> None:
        self.model = model
        self.figure = figure
        self.every = every
        self.patience = patience
        self.early = early
        self.latest = -math.inf
        self.latest_step = 0
        self.best = -math.inf
        self.best_step = 0
        self.misses = 0
        self.weights: dict[str, Tensor] = {}

    def __call__(self, step: int, metrics: Metrics) -> Stop | None:
        return self.measure(step) if self.due(step) else None

    def due(self, step: int) -> bool:
        """Whether a look is due after a step, or before the first one, which is 0."""
        if self.early and step in EARLY:
            return True
        return step > 0 and step % self.every == 0

    def measure(self, step: int) -> Stop | None:
        """Measures now.

        Raises:
            Diverged: The figure is not finite, or cannot be taken.
        """
        try:
            self.latest, self.latest_step = self.figure(self.model), step
        except PthetaError as error:
            # a model that cannot be drawn from, say; what was good before is to be kept
            said = str(error).rstrip(".")
            raise Diverged(f"held-out data at step {step}: {said}", step) from None
        if not math.isfinite(self.latest):
            figure = f"{self.figure.name} of held-out data"
            raise Diverged(f"{figure} is not finite at step {step}", step)
        slack = self.figure.slack
        if self.latest > self.best or (slack > 0 and self.latest > self.best - slack):
            self.best, self.best_step, self.misses = max(self.latest, self.best), step, 0
            self.weights = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        elif step % self.every == 0:
            self.misses += 1
        return self.verdict()

    def at(self, step: int) -> float:
        """The figure of a step; not a number where none was measured."""
        return self.latest if step == self.latest_step else math.nan

    def verdict(self) -> Stop | None:
        """Whether patience has run out."""
        if self.patience is not None and self.misses >= self.patience:
            return Stop(f"no better for {self.misses} looks at held-out data")
        return None

    def keep_best(self) -> None:
        """Puts the best weights back into the model; without any, leaves it as it is."""
        if self.weights:
            self.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """The figures and the best weights."""
        return {
            "latest": self.latest,
            "latest_step": self.latest_step,
            "best": self.best,
            "best_step": self.best_step,
            "misses": self.misses,
            "weights": self.weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state."""
        self.latest, self.best = float(state["latest"]), float(state["best"])
        self.latest_step = int(state["latest_step"])
        self.best_step, self.misses = int(state["best_step"]), int(state["misses"])
        self.weights = dict(state["weights"])
