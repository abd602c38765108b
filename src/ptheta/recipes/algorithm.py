"""What a recipe returns: a model, how it learns, and how much of it by default."""

__all__ = ["Algorithm", "Freedom"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from ptheta.training.types import Learner

Freedom = Literal["same-dimension", "invertible", "ordered", "lipschitz", "parametric"]


@dataclass(frozen=True)
class Algorithm:
    """A model and how it learns.

    Arguments:
        model: What a person gets: a model of the data, with its capabilities as methods.
        learner: One update of it.
        batch_size: The number of examples in a batch; None takes the training set whole.
        steps: The number of updates where no budget is given.
        constraints: What the family forbids, each of which a test proves: `same-dimension`
            (latent and data have equal size), `invertible` (the network must be a bijection),
            `ordered` (a value may depend only on those before it), `lipschitz` (slopes are
            bounded), `parametric` (the density has a fixed form). Empty where nothing is forbidden.
        ema: The decay of the exponential moving average of weights that is evaluated and
            saved; None evaluates the weights themselves.
        patience: The evaluations without improvement after which to stop; None never stops early.
        keep: Which weights are kept in the end: those that did best on held-out data, or the
            last, where learning ends in weights that are defined by the training data alone, or
            where it is not towards what is measured on held-out data.
        watched: What training is watched by where the model's own density or draws are dear: makes
            of the model, or of the average of its weights, another with a quick density that goes
            up with it. None watches the model itself.
    """

    model: nn.Module
    learner: Learner
    batch_size: int | None = 256
    steps: int = 5000
    constraints: tuple[Freedom, ...] = ()
    ema: float | None = None
    patience: int | None = 20
    keep: Literal["best", "last"] = "best"
    watched: Callable[[nn.Module], nn.Module] | None = None

    @property
    def watched_model(self) -> nn.Module:
        """What training is watched by: the model, or what stands in for it."""
        return self.model if self.watched is None else self.watched(self.model)
