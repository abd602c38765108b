"""What systems of scores share: the denoiser, and how it is trained."""

__all__ = ["denoiser", "trained_denoiser"]

from typing import Any

from ptheta.data.bridged import bridged
from ptheta.data.bridges import Bridge
from ptheta.models.diffusion.denoiser import Denoiser
from ptheta.networks.sizes import default_width
from ptheta.noising import Path
from ptheta.objectives.types import Objective
from ptheta.protocols import SupportsSample
from ptheta.recipes.algorithm import Algorithm
from ptheta.spaces import Categorical, Real, Space
from ptheta.training.gradient import GradientLearner


def denoiser(
    space: Space,
    path: Path,
    context_space: Categorical | Real | None,
    *,
    hidden_features: int | None,
    blocks: int,
    dropout: float,
) -> Denoiser:
    """A denoiser of standardised vectors.

    Arguments:
        space: What one example is.
        path: The path from data to noise.
        context_space: What examples are conditioned on.
        hidden_features: The width of the network; None means by the size of an example.
        blocks: The number of its residual blocks.
        dropout: The share of hidden units dropped in training.
    """
    return Denoiser(
        space.features,
        path,
        context_space,
        hidden_features=hidden_features or default_width(space.features),
        blocks=blocks,
        dropout=dropout,
    )


def trained_denoiser(
    drawn: SupportsSample,
    network: Denoiser,
    objective: Objective[Any],
    bridge: Bridge,
    space: Space,
    *,
    learning_rate: float,
    batch_size: int,
) -> Algorithm:
    """A denoiser with its way of drawing, joined to data, and what it is trained by.

    Arguments:
        drawn: The denoiser joined to its way of drawing.
        network: The denoiser.
        objective: What it is trained by.
        bridge: The bridge from the data to the reals.
        space: What one example is.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
    """
    return Algorithm(
        model=bridged(drawn, bridge, space),
        learner=GradientLearner(
            network, objective, learning_rate=learning_rate, clip=1.0, bridge=bridge
        ),
        batch_size=batch_size,
        steps=8000,
        ema=0.999,
    )
