"""Flows whose maps of a value depend on the values before it."""

__all__ = ["iaf", "maf", "nsf_autoregressive"]

from ptheta.models.flows.autoregressive import MaskedAutoregressive
from ptheta.models.flows.bijections import Composition, Inverse
from ptheta.models.flows.splines import RationalQuadratic
from ptheta.models.flows.univariate import Affine, Univariate
from ptheta.networks.context import ContextFeatures
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.flows.vector import TEMPER, Bins, Margin, dropout_of, vector_flow
from ptheta.recipes.settings import Count, Fraction, PositiveFloat
from ptheta.spaces import Categorical, Real, Space


def maf(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    layers: Count = 5,
    hidden_features: Count = 128,
    dropout: Fraction | None = None,
    logit: Margin | None = None,
    learning_rate: PositiveFloat = 1e-3,
    batch_size: Count = 256,
    steps: Count = 5000,
) -> Algorithm:
    """MAF: each value scaled and shifted as those before it say; quick to score.

    Levels are dequantised with uniform noise, which makes the density of discrete data a lower
    bound.

    References:
        Masked Autoregressive Flow for Density Estimation (Papamakarios, Pavlakou & Murray, 2017),
        https://arxiv.org/abs/1705.07057

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        layers: The number of layers, whose orders alternate.
        hidden_features: The width of the two hidden layers in each.
        dropout: The share of hidden units dropped in training; none means 0.2 for examples of
            more than 16 values, and 0 for smaller ones.
        logit: The margin of the logit that levels pass through once they are dequantised, such as
            1e-6; 0 or none leaves it out.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    maps = _affine_layers(space, context_space, layers, hidden_features, dropout)
    return vector_flow(
        Composition(maps),
        space,
        context_space,
        logit=logit,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def iaf(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    layers: Count = 5,
    hidden_features: Count = 128,
    logit: Margin | None = None,
    learning_rate: PositiveFloat = 1e-3,
    batch_size: Count = 256,
    steps: Count = 5000,
) -> Algorithm:
    """IAF: the inverse of MAF, quick to draw from; scored, and so trained, by iteration.

    Levels are dequantised with uniform noise, which makes the density of discrete data a lower
    bound.

    References:
        Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016),
        https://arxiv.org/abs/1606.04934

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        layers: The number of layers, whose orders alternate.
        hidden_features: The width of the two hidden layers in each.
        logit: The margin of the logit that levels pass through once they are dequantised, such as
            1e-6; 0 or none leaves it out.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    # units dropped anew at each step of an iteration would keep it from settling
    maps = _affine_layers(space, context_space, layers, hidden_features, dropout=0.0)
    return vector_flow(
        Composition([Inverse(map_) for map_ in maps]),
        space,
        context_space,
        logit=logit,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def nsf_autoregressive(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    layers: Count = 3,
    bins: Bins = 8,
    bound: PositiveFloat = 5.0,
    hidden_features: Count = 128,
    dropout: Fraction | None = None,
    logit: Margin | None = None,
    learning_rate: PositiveFloat = 1e-3,
    batch_size: Count = 256,
    steps: Count = 5000,
) -> Algorithm:
    """Autoregressive neural spline flow: RQ-NSF (AR), the most flexible of the quick ones.

    Levels are dequantised with uniform noise, which makes the density of discrete data a lower
    bound.

    References:
        Neural Spline Flows (Durkan, Bekasov, Murray & Papamakarios, 2019),
        https://arxiv.org/abs/1906.04032

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        layers: The number of layers, whose orders alternate.
        bins: The number of bins of a spline.
        bound: Splines reach from minus to plus so many standard deviations.
        hidden_features: The width of the two hidden layers in each.
        dropout: The share of hidden units dropped in training; none means 0.2 for examples of
            more than 16 values, and 0 for smaller ones.
        logit: The margin of the logit that levels pass through once they are dequantised, such as
            1e-6; 0 or none leaves it out.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    spline = RationalQuadratic(bins, bound, temper=TEMPER)
    maps = _layers(spline, space, context_space, layers, hidden_features, dropout)
    return vector_flow(
        Composition(maps),
        space,
        context_space,
        logit=logit,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def _affine_layers(
    space: Space,
    context_space: Categorical | Real | None,
    layers: int,
    hidden_features: int,
    dropout: float | None,
) -> list[MaskedAutoregressive]:
    # log-scales within 1 train best in many layers; few need more for narrow conditionals
    affine = Affine(max(1.0, 5 / layers))
    maps = _layers(affine, space, context_space, layers, hidden_features, dropout)
    return [map_.start_near_identity() for map_ in maps]


def _layers(
    univariate: Univariate,
    space: Space,
    context_space: Categorical | Real | None,
    layers: int,
    hidden_features: int,
    dropout: float | None,
) -> list[MaskedAutoregressive]:
    order = range(space.features)
    given = ContextFeatures(context_space).features
    return [
        MaskedAutoregressive(
            univariate,
            space.features,
            given,
            (hidden_features, hidden_features),
            order=order if layer % 2 == 0 else order[::-1],
            dropout=dropout_of(space) if dropout is None else dropout,
        )
        for layer in range(layers)
    ]
