"""The learner of models with a likelihood, exact or bounded."""

__all__ = ["likelihood_learner"]

from typing import Any

from torch import nn

from ptheta.objectives.likelihood import MaximumLikelihood, NegativeElbo
from ptheta.protocols import SupportsElbo, SupportsLogProb
from ptheta.training.gradient import GradientLearner


def likelihood_learner(
    model: nn.Module,
    *,
    learning_rate: float,
    clip: float | None = None,
    weight_decay: float = 0.0,
    particles: int = 1,
) -> GradientLearner[Any]:
    """Adam on the likelihood that a model has: exact, or else its lower bound.

    Arguments:
        model: The model.
        learning_rate: The step size of Adam.
        clip: The largest norm of the gradient, or None.
        weight_decay: The decoupled decay of the weights.
        particles: The number of particles where the likelihood is a bound.
    """
    options: dict[str, Any] = {
        "learning_rate": learning_rate,
        "clip": clip,
        "weight_decay": weight_decay,
    }
    if isinstance(model, SupportsLogProb):
        return GradientLearner(model, MaximumLikelihood(), **options)
    if isinstance(model, SupportsElbo):
        return GradientLearner(model, NegativeElbo(particles), **options)
    raise TypeError(f"{type(model).__name__} has neither log_prob nor elbo")
