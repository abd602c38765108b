"""Algorithms of models that are learnt in closed form, from the data taken whole."""

__all__ = ["counted", "expectation_maximised"]

from torch import nn

from ptheta.models.latent.latent_class import LatentClass
from ptheta.models.tractable.hmm import HiddenMarkovModel
from ptheta.recipes.algorithm import Algorithm
from ptheta.training.counting import CountingLearner
from ptheta.training.em import EMLearner


def counted(model: nn.Module, learner: CountingLearner) -> Algorithm:
    """One pass of counting, whose outcome is kept even where the start did better on other data.

    Arguments:
        model: What a person gets.
        learner: What counts.
    """
    return Algorithm(
        model,
        learner,
        batch_size=None,
        steps=1,
        constraints=("parametric",),
        patience=None,
        keep="last",
    )


def expectation_maximised(
    model: HiddenMarkovModel | LatentClass, tolerance: float, steps: int
) -> Algorithm:
    """Expectation-maximisation on data as they are.

    Arguments:
        model: The model.
        tolerance: The gain in nats per row under which an iteration counts as no gain.
        steps: The number of iterations where no budget is given.
    """
    return Algorithm(
        model,
        EMLearner(model, tolerance=tolerance),
        batch_size=None,
        steps=steps,
        constraints=("parametric",),
        patience=10,
    )
