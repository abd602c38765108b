"""Normalizing flows."""

__all__ = ["realnvp"]

from typing import Annotated

import torch
from annotated_types import Gt, Lt

from ptheta.data.bridged import bridged
from ptheta.data.bridges import dequantising
from ptheta.errors import PthetaError
from ptheta.models.flows.bijections import Bijection, Composition, Permutation
from ptheta.models.flows.coupling import AffineCoupling
from ptheta.models.flows.flow import Flow
from ptheta.networks.context import ContextFeatures
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.likelihood import likelihood_learner
from ptheta.recipes.settings import Count, Fraction, Rate
from ptheta.spaces import Categorical, Real, Space


def realnvp(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    layers: Count = 8,
    hidden_features: Count = 128,
    dropout: Fraction | None = None,
    logit: Annotated[float, Gt(0), Lt(0.5)] | None = None,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 256,
    steps: Count = 5000,
) -> Algorithm:
    """RealNVP: affine coupling layers, exact in both directions.

    Levels are dequantised with uniform noise, which makes the density of discrete data a lower
    bound.

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2016),
        https://arxiv.org/abs/1605.08803

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        layers: The number of coupling layers.
        hidden_features: The width of the two hidden layers in each coupling.
        dropout: The share of hidden units dropped in training; none means 0.2 for examples of
            more than 16 values, which a coupling else learns by heart, and 0 for smaller ones.
        logit: The margin of the logit that levels pass through once they are dequantised, 0.05
            in the paper; none leaves it out.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    bridge = dequantising(space, logit)
    if space.features < 2:
        raise PthetaError(
            "a coupling needs at least two values in an example, one to condition on."
        )
    if dropout is None:
        dropout = 0.2 if space.features > 16 else 0.0
    bijection = _couplings(space.features, context_space, layers, hidden_features, dropout)
    model = bridged(Flow(bijection, space.features, context_space), bridge, space)
    learner = likelihood_learner(model, learning_rate=learning_rate, clip=5.0)
    return Algorithm(
        model,
        learner,
        batch_size=batch_size,
        steps=steps,
        constraints=("same-dimension", "invertible"),
        ema=0.99,
    )


def _couplings(
    features: int,
    context_space: Categorical | Real | None,
    layers: int,
    hidden_features: int,
    dropout: float,
) -> Composition:
    context_features = ContextFeatures(context_space).features
    steps: list[Bijection] = []
    for layer in range(layers):
        # both halves are moved in turn; then the values are dealt out anew
        if layer > 0 and layer % 2 == 0 and features > 2:
            steps.append(Permutation(torch.randperm(features)))
        steps.append(
            AffineCoupling(
                features,
                context_features,
                (hidden_features, hidden_features),
                flip=layer % 2 == 1,
                dropout=dropout,
            )
        )
    return Composition(steps)
