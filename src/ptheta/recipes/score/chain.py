"""Diffusion as a chain of denoising steps."""

__all__ = ["ddpm"]

from typing import Annotated, Any, Literal

from annotated_types import Ge

from ptheta.errors import PthetaError
from ptheta.inference.diffusing import WithReverseChain
from ptheta.models.diffusion.denoiser import Denoiser, SpreadDenoiser
from ptheta.models.diffusion.paths import Cosine, Even, VariancePreserving
from ptheta.objectives.hybrid_denoising import HybridDenoising
from ptheta.objectives.noised_classes import DenoisingAndClassifying
from ptheta.objectives.score_matching import MultiLevelDenoisingScoreMatching
from ptheta.objectives.types import Objective
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.score.denoising import (
    Network,
    backbone,
    denoiser,
    guided,
    least_noise,
    trained_denoiser,
    with_classifier,
)
from ptheta.recipes.score.samplers import SAMPLERS, AnySampler
from ptheta.recipes.settings import WHEN_USED, Count, Fraction, NonNegative, PositiveFloat
from ptheta.spaces import Categorical, Real, Space


def ddpm(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    schedule: Literal["cosine", "linear"] = "cosine",
    levels: Annotated[int, Ge(2)] = 1000,
    variance: Literal["least", "learned"] = "least",
    sampler: Annotated[AnySampler, WHEN_USED] = "ancestral",
    sample_steps: Annotated[Count, WHEN_USED] = 250,
    guidance: Annotated[NonNegative | None, WHEN_USED] = None,
    guided_by: Literal["denoiser", "classifier"] = "denoiser",
    network: Network | None = None,
    hidden_features: Count | None = None,
    blocks: Count | None = None,
    dropout: Fraction = 0.0,
    learning_rate: PositiveFloat = 1e-3,
    halving_steps: Count | None = None,
    batch_size: Count = 128,
) -> Algorithm:
    """Diffusion model: a chain that takes noise off step by step, with a bound on the density.

    One network learns to tell data from noise at every level; draws begin as noise and go through
    the levels. The bound is that of a chain of as many steps as there are levels, evenly in the log
    of the noise, whatever the steps of a draw. It works on standardised data, levels made real by
    uniform noise.

    References:
        Deep Unsupervised Learning using Nonequilibrium Thermodynamics (Sohl-Dickstein et al.,
        2015), https://arxiv.org/abs/1503.03585
        Denoising Diffusion Probabilistic Models (Ho, Jain & Abbeel, 2020),
        https://arxiv.org/abs/2006.11239
        Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal, 2021),
        https://arxiv.org/abs/2102.09672, for the cosine schedule and variances that are learned
        Denoising Diffusion Implicit Models (Song, Meng & Ermon, 2021),
        https://arxiv.org/abs/2010.02502, for `ddim`
        DPM-Solver++ (Lu et al., 2022), https://arxiv.org/abs/2211.01095, for `multistep`
        Classifier-Free Diffusion Guidance (Ho & Salimans, 2022),
        https://arxiv.org/abs/2207.12598, for `guidance`
        Diffusion Models Beat GANs on Image Synthesis (Dhariwal & Nichol, 2021),
        https://arxiv.org/abs/2105.05233, for guidance by a classifier

    Arguments:
        space: What one example is.
        context_space: What examples are conditioned on.
        schedule: How data turn into noise: at a steady angle (cosine), or by noise that grows
            linearly (linear), as in 2020, whose least level is a hundredth: more than the width of
            one level of 256, which their bound pays for.
        levels: The number of levels.
        variance: The variance of steps back: the least that is possible, which is that of a chain
            that knows the data, or learned.
        sampler: How draws are taken: by the chain itself (ancestral), or along its probability
            flow by steps of first order (ddim), or of second, with two predictions a step (heun)
            or one (multistep), or by steps of the stochastic equation (euler-maruyama), each
            corrected by a Langevin step (predictor-corrector).
        sample_steps: The number of steps for each draw.
        guidance: How far draws lean towards what they are conditioned on, beyond what data do: 0
            for not at all, and none leaves out of training what guidance needs.
        guided_by: What knows the context: the denoiser, set against itself without it (denoiser),
            or a classifier of noised examples beside a denoiser of all classes (classifier).
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
    path = (
        Cosine(offset=least_noise(space, 0.008), levels=levels)
        if schedule == "cosine"
        else VariancePreserving(levels=levels)
    )
    learned = variance == "learned"
    seen = backbone(
        space,
        network,
        hidden_features=hidden_features,
        blocks=blocks,
        dropout=dropout,
        outputs=2 if learned else 1,
    )
    if guided_by == "classifier":
        if learned:
            raise PthetaError("a denoiser guided by a classifier has variance=least; leave it out.")
        model = leaning = with_classifier(path, context_space, seen, guidance=guidance or 0.0)
        objective: Objective[Any] = DenoisingAndClassifying()
    else:
        kind = SpreadDenoiser if learned else Denoiser
        model = denoiser(path, context_space, seen.make, guidance=guidance, kind=kind)
        leaning = guided(model, guidance)
        objective = HybridDenoising() if learned else MultiLevelDenoisingScoreMatching()
    drawn = WithReverseChain(
        leaning,
        seen.shape,
        sampler=SAMPLERS[sampler],
        steps=sample_steps,
        chain=Even(path, levels),
    )
    return trained_denoiser(
        drawn,
        model,
        objective,
        seen.bridge,
        space,
        learning_rate=learning_rate,
        halving_steps=halving_steps,
        batch_size=batch_size,
    )
