"""What recipes of flows share: a flow joined to data and trained, and one of vectors."""

__all__ = ["dropout_of", "trained_flow", "vector_flow"]

from ptheta.data.bridged import bridged
from ptheta.data.bridges import Bridge, dequantising
from ptheta.models.flows.bases import Base, Gaussian
from ptheta.models.flows.bijections import Bijection
from ptheta.models.flows.flow import Flow
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.likelihood import likelihood_learner
from ptheta.spaces import Categorical, Real, Space


def vector_flow(
    bijection: Bijection,
    space: Space,
    context_space: Categorical | Real | None,
    *,
    base: Base | None = None,
    logit: float | None = None,
    learning_rate: float,
    batch_size: int,
    steps: int,
) -> Algorithm:
    """A flow of vectors, trained by its likelihood.

    Arguments:
        bijection: The map from noise to standardised data.
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        base: The law of the noise; None means a standard Gaussian.
        logit: The margin of the logit that dequantised levels pass through; None leaves it out.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    flow = Flow(bijection, base or Gaussian(space.features), context_space=context_space)
    return trained_flow(
        flow,
        dequantising(space, logit),
        space,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def trained_flow(
    flow: Flow,
    bridge: Bridge,
    space: Space,
    *,
    learning_rate: float,
    batch_size: int,
    steps: int,
) -> Algorithm:
    """A flow joined to data, trained by its likelihood.

    Arguments:
        flow: The flow on the reals.
        bridge: The bridge from the data to the reals.
        space: What one example is.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    model = bridged(flow, bridge, space)
    return Algorithm(
        model,
        likelihood_learner(model, learning_rate=learning_rate, clip=5.0),
        batch_size=batch_size,
        steps=steps,
        constraints=("same-dimension", "invertible"),
        ema=0.99,
    )


def dropout_of(space: Space) -> float:
    """The share of hidden units to drop where a person is silent.

    Arguments:
        space: What one example is; couplings learn many values by heart, and few not.
    """
    return 0.2 if space.features > 16 else 0.0
