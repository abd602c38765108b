"""What recipes of flows share: a flow joined to data and trained, and one of vectors."""

__all__ = [
    "Bins",
    "Margin",
    "Objective",
    "TEMPER",
    "dropout_of",
    "trained_flow",
    "vector_flow",
]

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Lt
from torch import nn

from ptheta.data.bridged import bridged
from ptheta.data.bridges import Bridge
from ptheta.data.bridging import dequantising
from ptheta.errors import PthetaError
from ptheta.models.flows.bases import Base, Gaussian
from ptheta.models.flows.bijections import Bijection
from ptheta.models.flows.flow import EstimatedFlow, Flow
from ptheta.networks.sizes import default_width
from ptheta.objectives.likelihood import EstimatedLikelihood
from ptheta.objectives.score_matching import ScoreMatching, SlicedScoreMatching
from ptheta.recipes.algorithm import Algorithm, Freedom
from ptheta.recipes.critics import against_critic
from ptheta.recipes.likelihood import likelihood_learner
from ptheta.spaces import Categorical, Real, Space
from ptheta.training.gradient import GradientLearner

Bins = Annotated[int, Ge(1), Le(999)]  # a bin has a thousandth of the box at least
Margin = Annotated[float, Ge(0), Lt(0.5)]
TEMPER = 3.0  # of splines: without, few rows are learnt by heart; the authors' 11 learns slowly
Objective = Literal["likelihood", "score-matching", "adversarial"]

_EXACT_DIVERGENCE = 16  # values up to which score matching takes the divergence whole


def vector_flow(
    bijection: Bijection,
    space: Space,
    context_space: Categorical | Real | None,
    *,
    base: Base | None = None,
    logit: float | None = None,
    objective: Objective = "likelihood",
    learning_rate: float,
    batch_size: int,
    steps: int,
) -> Algorithm:
    """A flow of vectors, and what it is trained by.

    Arguments:
        bijection: The map from noise to standardised data.
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        base: The law of the noise; None means a standard Gaussian.
        logit: The margin of the logit that dequantised levels pass through; 0 or None leaves it
            out.
        objective: What it is trained by.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    flow = Flow(bijection, base or Gaussian(space.features), context_space=context_space)
    return trained_flow(
        flow,
        dequantising(space, logit),
        space,
        objective=objective,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def trained_flow(
    flow: Flow,
    bridge: Bridge,
    space: Space,
    *,
    objective: Objective = "likelihood",
    constraints: tuple[Freedom, ...] = ("same-dimension", "invertible"),
    learning_rate: float,
    batch_size: int,
    steps: int,
) -> Algorithm:
    """A flow joined to data, and what it is trained by.

    Arguments:
        flow: The flow on the reals.
        bridge: The bridge from the data to the reals.
        space: What one example is.
        objective: What it is trained by; of a flow with an estimate, the likelihood is the mean of
            that.
        constraints: What it forbids.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    if objective == "score-matching" and bridge.stochastic:
        raise PthetaError(
            "score matching needs a density without jumps, and dequantised levels have them; "
            "set objective=likelihood or objective=adversarial."
        )
    model = bridged(flow, bridge, space)
    # a critic does not raise the likelihood, by which the first weights would be thought the best
    played = objective == "adversarial"
    return Algorithm(
        model,
        _learner(objective, model, flow, bridge, learning_rate),
        batch_size=batch_size,
        steps=steps,
        constraints=constraints,
        ema=0.99,
        patience=None if played else 20,
        keep="last" if played else "best",
    )


def dropout_of(space: Space) -> float:
    """The share of hidden units to drop where a person is silent.

    Arguments:
        space: What one example is; couplings learn many values by heart, and few not.
    """
    return 0.2 if space.features > 16 else 0.0


def _learner(
    objective: Objective, model: nn.Module, flow: Flow, bridge: Bridge, learning_rate: float
) -> Any:
    match objective:
        case "likelihood" if isinstance(flow, EstimatedFlow):
            return GradientLearner(
                flow, EstimatedLikelihood(), learning_rate=learning_rate, clip=5.0, bridge=bridge
            )
        case "likelihood":
            return likelihood_learner(model, learning_rate=learning_rate, clip=5.0)
        case "score-matching":
            few = flow.base.features <= _EXACT_DIVERGENCE
            matching = ScoreMatching() if few else SlicedScoreMatching()
            return GradientLearner(
                flow, matching, learning_rate=learning_rate, clip=5.0, bridge=bridge
            )
        case "adversarial":
            features = flow.base.features
            width = default_width(features)
            return against_critic(
                flow, flow.context, features, width, bridge, learning_rate=learning_rate
            )
