"""What the recipes of ordered values share."""

__all__ = ["by_likelihood", "in_order", "is_long"]

from torch import nn

from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.likelihood import likelihood_learner
from ptheta.spaces import Space
from ptheta.training.types import Learner

_LONG = 32


def by_likelihood(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    batch_size: int,
    steps: int,
    *,
    clip: float = 10.0,
    ema: float = 0.99,
) -> Algorithm:
    """A model with an order of its values, trained by its likelihood.

    Arguments:
        model: The model of the data, with its bridge.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
        clip: The largest norm of the gradient.
        ema: The decay of the average of weights.
    """
    learner = likelihood_learner(
        model, learning_rate=learning_rate, clip=clip, weight_decay=weight_decay
    )
    return in_order(model, learner, batch_size, steps, ema=ema)


def in_order(
    model: nn.Module, learner: Learner, batch_size: int, steps: int, *, ema: float = 0.99
) -> Algorithm:
    """A model with an order of its values, and what trains it."""
    return Algorithm(
        model,
        learner,
        batch_size=batch_size,
        steps=steps,
        constraints=("ordered",),
        ema=ema,
    )


def is_long(*spaces: Space) -> bool:
    """Whether sequences have 32 symbols or more, for which networks are larger by default."""
    return max(space.features for space in spaces) >= _LONG
