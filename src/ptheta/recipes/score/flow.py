"""Probability flows: scores and velocities whose equation gives draws and densities."""

__all__ = ["flow_matching", "score_sde"]

from collections.abc import Mapping
from typing import Any, Literal

from ptheta.data.bridging import dequantising
from ptheta.errors import PthetaError
from ptheta.inference.diffusing import WithEstimatedProbabilityFlow, WithProbabilityFlow
from ptheta.inference.probability_flow import Solver
from ptheta.models.diffusion.paths import (
    Even,
    Straight,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)
from ptheta.noising import Path
from ptheta.objectives.flow_matching import FlowMatching
from ptheta.objectives.score_matching import MultiLevelDenoisingScoreMatching
from ptheta.objectives.types import Objective
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.score.denoising import denoiser, trained_denoiser
from ptheta.recipes.settings import Count, Fraction, Rate
from ptheta.spaces import Categorical, Real, Space

_EXACT = 16  # values up to which the divergence is taken whole
_PATHS: Mapping[str, Path] = {
    "vp": Even(VariancePreserving(levels=300)),
    "sub-vp": Even(SubVariancePreserving(levels=25)),
}


def score_sde(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    path: Literal["vp", "sub-vp", "ve"] = "vp",
    divergence: Literal["exact", "estimate"] | None = None,
    tolerance: Rate = 1e-6,
    hidden_features: Count | None = None,
    blocks: Count = 3,
    dropout: Fraction = 0.0,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 128,
) -> Algorithm:
    """Score-based diffusion in continuous time, with the density of its probability flow.

    One network learns the score of data at every level of noise; the equation that carries noise to
    data by these scores is solved for draws, and backwards for densities, exact to a tolerance.

    References:
        Score-Based Generative Modeling through Stochastic Differential Equations (Song et al.,
        2021), https://arxiv.org/abs/2011.13456

    Arguments:
        space: What one example is.
        context_space: What examples are conditioned on.
        path: How data turn into noise: their variance preserved (vp), kept below that (sub-vp) or
            exploding (ve).
        divergence: Whether the density is exact, by a pass back for each value, or an estimate that
            is right in the mean; none means exact for up to 16 values.
        tolerance: The error that a step of the solver may make.
        hidden_features: The width of the network; none means by the size of an example.
        blocks: The number of its residual blocks.
        dropout: The share of hidden units dropped in training.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
    """
    if path == "ve":
        route: Path = VarianceExploding.for_standardised(space.features, sigma_min=0.02, levels=200)
    else:
        route = _PATHS[path]
    return _flow(
        space,
        context_space,
        route,
        MultiLevelDenoisingScoreMatching(),
        divergence=divergence,
        tolerance=tolerance,
        hidden_features=hidden_features,
        blocks=blocks,
        dropout=dropout,
        learning_rate=learning_rate,
        batch_size=batch_size,
    )


def flow_matching(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    optimal_transport: bool = False,
    divergence: Literal["exact", "estimate"] | None = None,
    tolerance: Rate = 1e-6,
    hidden_features: Count | None = None,
    blocks: Count = 3,
    dropout: Fraction = 0.0,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 128,
) -> Algorithm:
    """Flow matching: a velocity that carries noise to data, learned by regression.

    Each example goes to its noise in a straight line, and the network learns the mean velocity at
    each point. The equation is solved for draws, and backwards for densities, exact to a tolerance.

    References:
        Flow Matching for Generative Modeling (Lipman et al., 2023),
        https://arxiv.org/abs/2210.02747
        Improving and generalizing flow-based generative models with minibatch optimal transport
        (Tong et al., 2024), https://arxiv.org/abs/2302.00482

    Arguments:
        space: What one example is.
        context_space: What examples are conditioned on.
        optimal_transport: Whether the examples of a batch are paired with its noise by least
            distance, so that ways are straighter; for examples that are conditioned on nothing.
        divergence: Whether the density is exact, by a pass back for each value, or an estimate that
            is right in the mean; none means exact for up to 16 values.
        tolerance: The error that a step of the solver may make.
        hidden_features: The width of the network; none means by the size of an example.
        blocks: The number of its residual blocks.
        dropout: The share of hidden units dropped in training.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.

    Raises:
        PthetaError: Examples are to be paired with noise, and are conditioned on something: the
            noise of a context would no longer be that which draws start from.
    """
    if optimal_transport and context_space is not None:
        raise PthetaError(
            "optimal_transport pairs examples with noise whatever they are conditioned on, and so "
            "has no place with a context; leave one of the two out."
        )
    return _flow(
        space,
        context_space,
        Straight(sigma_min=0.01),
        FlowMatching(optimal_transport=optimal_transport),
        divergence=divergence,
        tolerance=tolerance,
        hidden_features=hidden_features,
        blocks=blocks,
        dropout=dropout,
        learning_rate=learning_rate,
        batch_size=batch_size,
    )


def _flow(
    space: Space,
    context_space: Categorical | Real | None,
    path: Path,
    objective: Objective[Any],
    *,
    divergence: str | None,
    tolerance: float,
    hidden_features: int | None,
    blocks: int,
    dropout: float,
    learning_rate: float,
    batch_size: int,
) -> Algorithm:
    bridge = dequantising(space)
    network = denoiser(
        space,
        path,
        context_space,
        hidden_features=hidden_features,
        blocks=blocks,
        dropout=dropout,
    )
    whole = divergence == "exact" or (divergence is None and space.features <= _EXACT)
    joined = WithProbabilityFlow if whole else WithEstimatedProbabilityFlow
    flow = joined(network, (space.features,), solver=Solver(tolerance))
    return trained_denoiser(
        flow,
        network,
        objective,
        bridge,
        space,
        learning_rate=learning_rate,
        batch_size=batch_size,
    )
