"""Probability flows: scores and velocities whose equation gives draws and densities."""

__all__ = ["flow_matching", "score_sde"]

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Le

from ptheta.errors import PthetaError
from ptheta.inference.diffusing import (
    WithEstimatedProbabilityFlow,
    WithProbabilityFlow,
)
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
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.score.denoising import (
    Network,
    backbone,
    denoiser,
    guided,
    least_noise,
    trained_denoiser,
)
from ptheta.recipes.score.samplers import SAMPLERS, AnySampler, StepSampler
from ptheta.recipes.settings import WHEN_USED, Count, Fraction, NonNegative, OnlyWith, PositiveFloat
from ptheta.spaces import Categorical, Real, Space

# float32 has no digits for less, and more says nothing of a density
_Tolerance = Annotated[float, Ge(1e-7), Le(0.1)]
_IN_STEPS = OnlyWith("sampler", tuple(SAMPLERS))
_MOST = 2**20  # levels in which a path is looked for whose first has little noise
_EXACT = 16  # values up to which the divergence is taken whole
_PATHS: Mapping[str, type[VariancePreserving]] = {
    "vp": VariancePreserving,
    "sub-vp": SubVariancePreserving,
}


def score_sde(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    path: Literal["vp", "sub-vp", "ve"] = "vp",
    sampler: Annotated[Literal["flow", AnySampler], WHEN_USED] = "flow",
    sample_steps: Annotated[Count, WHEN_USED, _IN_STEPS] = 500,
    divergence: Annotated[Literal["exact", "estimate"] | None, WHEN_USED] = None,
    tolerance: Annotated[_Tolerance, WHEN_USED] = 1e-6,
    guidance: Annotated[NonNegative | None, WHEN_USED] = None,
    network: Network | None = None,
    hidden_features: Count | None = None,
    blocks: Count | None = None,
    dropout: Fraction = 0.0,
    learning_rate: PositiveFloat = 1e-3,
    halving_steps: Count | None = None,
    batch_size: Count = 128,
) -> Algorithm:
    """Score-based diffusion in continuous time, with the density of its probability flow.

    One network learns the score of data at every level of noise; the equation that carries noise to
    data by these scores is solved for draws, and backwards for densities, exact to a tolerance.

    References:
        Score-Based Generative Modeling through Stochastic Differential Equations (Song et al.,
        2021), https://arxiv.org/abs/2011.13456
        Classifier-Free Diffusion Guidance (Ho & Salimans, 2022),
        https://arxiv.org/abs/2207.12598, for `guidance`

    Arguments:
        space: What one example is.
        context_space: What examples are conditioned on.
        path: How data turn into noise: their variance preserved (vp), kept below that (sub-vp) or
            exploding (ve).
        sampler: How draws are taken: along the probability flow, to the tolerance (flow) or in
            steps with one prediction each (ddim, multistep) or two (heun), by steps of the reverse
            chain (ancestral), or by steps of the stochastic equation (euler-maruyama), each
            corrected by a Langevin step (predictor-corrector); the density is that of the flow.
        sample_steps: The number of steps, but along the flow to the tolerance.
        divergence: Whether the density is exact, by a pass back for each value, or an estimate that
            is right in the mean; none means exact for up to 16 values.
        tolerance: The error that a step of the solver may make.
        guidance: How far draws lean towards what they are conditioned on, beyond what data do: 0
            for not at all, and none leaves out of training what guidance needs.
        network: What predicts: a perceptron (mlp), and of images a U-Net (unet) or a Transformer
            over patches (transformer); none means a U-Net of images and a perceptron of other
            data.
        hidden_features: The width of the network, of a U-Net the channels at its finest resolution;
            none means by the size of an example.
        blocks: The number of its blocks, of a U-Net at each resolution; none means 3 of a
            perceptron, 1 of a U-Net and 4 of a Transformer.
        dropout: The share of hidden units dropped in training.
        learning_rate: The step size of Adam.
        halving_steps: The number of updates after which the step size is half of that, after twice
            as many a third, and so on, which takes the noise off scores in long runs; none keeps
            it.
        batch_size: The number of examples in a batch.
    """
    least = least_noise(space, 0.02)
    if path == "ve":
        route: Path = VarianceExploding.for_standardised(
            space.features, sigma_min=least, levels=200
        )
    else:
        route = _from_noise(_PATHS[path], least)
    seen = backbone(space, network, hidden_features=hidden_features, blocks=blocks, dropout=dropout)
    model = denoiser(route, context_space, seen.make, guidance=guidance)
    flow = _kind(space, divergence)(
        guided(model, guidance),
        seen.shape,
        solver=Solver(tolerance),
        sampler=SAMPLERS.get(sampler),
        steps=sample_steps,
    )
    return trained_denoiser(
        flow,
        model,
        MultiLevelDenoisingScoreMatching(),
        seen.bridge,
        space,
        learning_rate=learning_rate,
        halving_steps=halving_steps,
        batch_size=batch_size,
    )


def flow_matching(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    optimal_transport: bool = False,
    sampler: Annotated[Literal["flow", StepSampler], WHEN_USED] = "flow",
    sample_steps: Annotated[Count, WHEN_USED, OnlyWith("sampler", get_args(StepSampler))] = 500,
    divergence: Annotated[Literal["exact", "estimate"] | None, WHEN_USED] = None,
    tolerance: Annotated[_Tolerance, WHEN_USED] = 1e-6,
    guidance: Annotated[NonNegative | None, WHEN_USED] = None,
    network: Network | None = None,
    hidden_features: Count | None = None,
    blocks: Count | None = None,
    dropout: Fraction = 0.0,
    learning_rate: PositiveFloat = 1e-3,
    halving_steps: Count | None = None,
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
        Classifier-Free Diffusion Guidance (Ho & Salimans, 2022),
        https://arxiv.org/abs/2207.12598, for `guidance`

    Arguments:
        space: What one example is.
        context_space: What examples are conditioned on.
        optimal_transport: Whether the examples of a batch are paired with its noise by least
            distance, so that ways are straighter; for examples that are conditioned on nothing.
        sampler: How draws are taken: along the flow, to the tolerance (flow) or in steps with one
            prediction each (ddim, multistep) or two (heun), or by steps of a chain with noise of
            its own (ancestral); the density is that of the flow.
        sample_steps: The number of steps, but along the flow to the tolerance.
        divergence: Whether the density is exact, by a pass back for each value, or an estimate that
            is right in the mean; none means exact for up to 16 values.
        tolerance: The error that a step of the solver may make.
        guidance: How far draws lean towards what they are conditioned on, beyond what data do: 0
            for not at all, and none leaves out of training what guidance needs.
        network: What predicts: a perceptron (mlp), and of images a U-Net (unet) or a Transformer
            over patches (transformer); none means a U-Net of images and a perceptron of other
            data.
        hidden_features: The width of the network, of a U-Net the channels at its finest resolution;
            none means by the size of an example.
        blocks: The number of its blocks, of a U-Net at each resolution; none means 3 of a
            perceptron, 1 of a U-Net and 4 of a Transformer.
        dropout: The share of hidden units dropped in training.
        learning_rate: The step size of Adam.
        halving_steps: The number of updates after which the step size is half of that, after twice
            as many a third, and so on, which takes the noise off scores in long runs; none keeps
            it.
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
    seen = backbone(space, network, hidden_features=hidden_features, blocks=blocks, dropout=dropout)
    model = denoiser(
        Straight(sigma_min=least_noise(space, 0.01)), context_space, seen.make, guidance=guidance
    )
    flow = _kind(space, divergence)(
        guided(model, guidance),
        seen.shape,
        solver=Solver(tolerance),
        sampler=SAMPLERS.get(sampler),
        steps=sample_steps,
    )
    return trained_denoiser(
        flow,
        model,
        FlowMatching(optimal_transport=optimal_transport),
        seen.bridge,
        space,
        learning_rate=learning_rate,
        halving_steps=halving_steps,
        batch_size=batch_size,
    )


def _from_noise(kind: type[VariancePreserving], least: float) -> Path:
    """A path whose first level, at t = 1 / levels, has so little noise."""
    levels = 25
    while (path := kind(levels=levels)).sigma(path.times()[0]) > least and levels < _MOST:
        levels *= 2
    return Even(path)


def _kind(
    space: Space, divergence: Literal["exact", "estimate"] | None
) -> type[WithProbabilityFlow] | type[WithEstimatedProbabilityFlow]:
    whole = divergence == "exact" or (divergence is None and space.features <= _EXACT)
    return WithProbabilityFlow if whole else WithEstimatedProbabilityFlow
