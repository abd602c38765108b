"""Flows of couplings: one half of the values is mapped as the other half says."""

__all__ = ["nice", "nsf_coupling", "realnvp"]

from collections.abc import Callable

import torch
from torch import nn

from ptheta.errors import PthetaError
from ptheta.models.flows.bases import Logistic
from ptheta.models.flows.bijections import Bijection, Composition, Permutation
from ptheta.models.flows.coupling import Coupling
from ptheta.models.flows.linear import Scaling
from ptheta.models.flows.splines import RationalQuadratic
from ptheta.models.flows.univariate import Affine, Shift, Univariate
from ptheta.networks.activations import relu
from ptheta.networks.context import ContextFeatures
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.flows.vector import TEMPER, Bins, Margin, Objective, dropout_of, vector_flow
from ptheta.recipes.settings import Count, Fraction, PositiveFloat
from ptheta.spaces import Categorical, Real, Space


def nice(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    layers: Count = 4,
    hidden_features: Count = 128,
    dropout: Fraction | None = None,
    learning_rate: PositiveFloat = 1e-3,
    batch_size: Count = 256,
    steps: Count = 5000,
) -> Algorithm:
    """NICE: couplings that shift and so keep volumes, and one scale a value at the end.

    Levels are dequantised with uniform noise, which makes the density of discrete data a lower
    bound.

    References:
        NICE: Non-linear Independent Components Estimation (Dinh, Krueger & Bengio, 2014),
        https://arxiv.org/abs/1410.8516

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        layers: The number of couplings.
        hidden_features: The width of the two hidden layers in each coupling.
        dropout: The share of hidden units dropped in training; none means 0.2 for examples of
            more than 16 values, which a coupling else learns by heart, and 0 for smaller ones.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    couplings = _couplings(Shift(), space, context_space, layers, hidden_features, dropout)
    # the authors' map from data to noise scales last, and so first here
    bijection = Composition([Scaling(space.features), *couplings])
    return vector_flow(
        bijection,
        space,
        context_space,
        base=Logistic(space.features),
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def realnvp(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    layers: Count = 8,
    hidden_features: Count = 128,
    dropout: Fraction | None = None,
    logit: Margin | None = None,
    objective: Objective = "likelihood",
    learning_rate: PositiveFloat = 1e-3,
    batch_size: Count = 256,
    steps: Count = 5000,
) -> Algorithm:
    """RealNVP: couplings that scale and shift, exact in both directions.

    Levels are dequantised with uniform noise, which makes the density of discrete data a lower
    bound.

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2016),
        https://arxiv.org/abs/1605.08803
        Estimation of Non-Normalized Statistical Models by Score Matching (Hyvärinen, 2005),
        https://jmlr.org/papers/v6/hyvarinen05a.html
        Flow-GAN: Combining Maximum Likelihood and Adversarial Learning in Generative Models
        (Grover, Dhar & Ermon, 2018), https://arxiv.org/abs/1705.08868

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        layers: The number of couplings.
        hidden_features: The width of the two hidden layers in each coupling.
        dropout: The share of hidden units dropped in training; none means 0.2 for examples of
            more than 16 values, which a coupling else learns by heart, and 0 for smaller ones.
        logit: The margin of the logit that levels pass through once they are dequantised, 0.05
            in the paper; 0 or none leaves it out.
        objective: What it is trained by: its likelihood; the Fisher divergence, by score matching,
            for data without levels; or a critic, as a generator that still knows its density.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    # score matching holds for scores without jumps
    activation = nn.SiLU if objective == "score-matching" else relu
    # log-scales within 1 train best in many layers; few need more for narrow conditionals
    affine = Affine(max(1.0, 8 / layers))
    couplings = _couplings(
        affine, space, context_space, layers, hidden_features, dropout, activation
    )
    return vector_flow(
        Composition(couplings),
        space,
        context_space,
        logit=logit,
        objective=objective,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def nsf_coupling(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    layers: Count = 6,
    bins: Bins = 8,
    bound: PositiveFloat = 5.0,
    hidden_features: Count = 128,
    dropout: Fraction | None = None,
    logit: Margin | None = None,
    learning_rate: PositiveFloat = 1e-3,
    batch_size: Count = 256,
    steps: Count = 5000,
) -> Algorithm:
    """Neural spline flow of couplings: RQ-NSF (C), exact and quick in both directions.

    Levels are dequantised with uniform noise, which makes the density of discrete data a lower
    bound.

    References:
        Neural Spline Flows (Durkan, Bekasov, Murray & Papamakarios, 2019),
        https://arxiv.org/abs/1906.04032

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        layers: The number of couplings.
        bins: The number of bins of a spline.
        bound: Splines reach from minus to plus so many standard deviations.
        hidden_features: The width of the two hidden layers in each coupling.
        dropout: The share of hidden units dropped in training; none means 0.2 for examples of
            more than 16 values, which a coupling else learns by heart, and 0 for smaller ones.
        logit: The margin of the logit that levels pass through once they are dequantised, such as
            1e-6; 0 or none leaves it out.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    spline = RationalQuadratic(bins, bound, temper=TEMPER)
    couplings = _couplings(spline, space, context_space, layers, hidden_features, dropout)
    return vector_flow(
        Composition(couplings),
        space,
        context_space,
        logit=logit,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def _couplings(
    univariate: Univariate,
    space: Space,
    context_space: Categorical | Real | None,
    layers: int,
    hidden_features: int,
    dropout: float | None,
    activation: Callable[[], nn.Module] = relu,
) -> list[Bijection]:
    features = space.features
    if features < 2:
        raise PthetaError(
            "a coupling needs at least two values in an example, one to condition on; "
            "'nsf-autoregressive', 'maf' and 'gmm' take one."
        )
    given = ContextFeatures(context_space).features
    steps: list[Bijection] = []
    for layer in range(layers):
        # both halves are moved in turn; then the values are dealt out anew
        if layer > 0 and layer % 2 == 0 and features > 2:
            steps.append(Permutation(torch.randperm(features)))
        steps.append(
            Coupling(
                univariate,
                features,
                given,
                (hidden_features, hidden_features),
                flip=layer % 2 == 1,
                activation=activation,
                dropout=dropout_of(space) if dropout is None else dropout,
            )
        )
    return steps
