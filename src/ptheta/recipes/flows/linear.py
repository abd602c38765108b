"""Flows of few coefficients: a matrix, and pushes along a direction or from a centre."""

__all__ = ["affine", "planar", "radial"]

import torch

from ptheta.models.flows.bijections import Composition
from ptheta.models.flows.linear import LULinear
from ptheta.models.flows.planar import Planar
from ptheta.models.flows.radial import Radial
from ptheta.networks.context import ContextFeatures
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.flows.vector import vector_flow
from ptheta.recipes.settings import Count, PositiveFloat
from ptheta.spaces import Categorical, Real, Space


def affine(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    learning_rate: PositiveFloat = 0.01,
    batch_size: Count = 256,
    steps: Count = 2000,
) -> Algorithm:
    """Affine flow: a matrix and a shift, which make a Gaussian with all covariances.

    A context moves the mean.

    References:
        Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
        https://arxiv.org/abs/1807.03039, section 3.2, for the matrix by its factors

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    given = ContextFeatures(context_space).features
    bijection = LULinear(torch.eye(space.features), given)
    return vector_flow(
        bijection,
        space,
        context_space,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def planar(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    layers: Count = 16,
    learning_rate: PositiveFloat = 5e-3,
    batch_size: Count = 256,
    steps: Count = 5000,
) -> Algorithm:
    """Planar flow: pushes along directions, invertible both ways by a root of one number.

    References:
        Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015),
        https://arxiv.org/abs/1505.05770, section 4.1

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        layers: The number of pushes.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    given = ContextFeatures(context_space).features
    bijection = Composition([Planar(space.features, given) for _ in range(layers)])
    return vector_flow(
        bijection,
        space,
        context_space,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def radial(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    layers: Count = 16,
    learning_rate: PositiveFloat = 5e-3,
    batch_size: Count = 256,
    steps: Count = 5000,
) -> Algorithm:
    """Radial flow: pushes towards centres or away from them, invertible both ways.

    References:
        Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015),
        https://arxiv.org/abs/1505.05770, section 4.1

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        layers: The number of pushes.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    given = ContextFeatures(context_space).features
    bijection = Composition([Radial(space.features, given) for _ in range(layers)])
    return vector_flow(
        bijection,
        space,
        context_space,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )
