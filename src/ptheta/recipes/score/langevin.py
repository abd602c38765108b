"""Score models along a path of noise."""

__all__ = ["ncsn"]

from functools import partial
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from ptheta.errors import PthetaError
from ptheta.inference.annealed import annealed_langevin, matched_step
from ptheta.inference.diffusing import Sampler, WithScoredDenoising
from ptheta.models.diffusion.paths import VarianceExploding
from ptheta.objectives.score_matching import MultiLevelDenoisingScoreMatching
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.score.denoising import (
    Network,
    backbone,
    denoiser,
    trained_denoiser,
)
from ptheta.recipes.score.samplers import SAMPLERS, AnySampler
from ptheta.recipes.settings import WHEN_USED, Count, Fraction, PositiveFloat
from ptheta.spaces import Categorical, Real, Space

# a draw takes about so many evaluations of the network, whatever the number of levels
_EVALUATIONS = 250
# those of the first paper, of data whose standard deviation is a third: noise from 1 to 0.01, and
# steps of 2e-5 at the least level, half of which is what a score is multiplied by
_FIRST = VarianceExploding(0.03, 3.0, 10)
_FIRST_STEPS, _FIRST_STEP = 100, 0.1


def ncsn(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    schedule: Literal["improved", "original"] = "improved",
    sampler: Annotated[Literal["annealed-langevin", AnySampler], WHEN_USED] = "annealed-langevin",
    sigma_min: Annotated[float, Ge(1e-4)] | None = None,
    sigma_max: Annotated[float, Gt(0), Le(1e6)] | None = None,
    levels: Annotated[int, Ge(2)] | None = None,
    level_steps: Annotated[Count | None, WHEN_USED] = None,
    network: Network | None = None,
    hidden_features: Count | None = None,
    blocks: Count | None = None,
    dropout: Fraction = 0.0,
    learning_rate: PositiveFloat = 1e-3,
    halving_steps: Count | None = None,
    batch_size: Count = 128,
) -> Algorithm:
    """Noise-conditional score network, sampled by annealed Langevin dynamics.

    One network learns the gradient of the log-density of data at many levels of noise; draws go
    from noise to data through the levels. It works on standardised data, levels made real by
    uniform noise. It offers no density: the gradients at hand need not be those of any density.

    References:
        Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019),
        https://arxiv.org/abs/1907.05600
        Improved Techniques for Training Score-Based Generative Models (Song & Ermon, 2020),
        https://arxiv.org/abs/2006.09011, for the levels, the steps and the average of weights

    Arguments:
        space: What one example is.
        context_space: What examples are conditioned on.
        schedule: What levels and steps are where they are not given: by the size of examples, so
            that neighbouring levels overlap (improved), or those of the first paper, 10 levels of
            a hundred steps each, from 3 to 0.03 standard deviations (original). Draws end at the
            mean of the data given the last step under both, as the later paper has it.
        sampler: How draws are taken: by Langevin steps at each level (annealed-langevin), whose
            draws lag behind the levels, and are wider than data where steps are few, or, in as many
            steps in all, by the reverse chain (ancestral), along the probability flow with one
            prediction a step (ddim, multistep) or two (heun), or by the stochastic equation
            (euler-maruyama), each step corrected by a Langevin step (predictor-corrector).
        sigma_min: The smallest level of noise, in standard deviations of the data; none means
            0.02, and on levels that are seen as vectors 0.4, whose own width is as much already.
        sigma_max: The largest level; none means twice the typical distance of two examples.
        levels: The number of levels; none means as many as let neighbouring levels overlap.
        level_steps: The number of Langevin steps at each level; none means that a draw takes
            about 250 evaluations of the network, within 2 and 10 a level.
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
        PthetaError: The smallest level is not below the largest.
    """
    seen = backbone(space, network, hidden_features=hidden_features, blocks=blocks, dropout=dropout)
    first = schedule == "original"
    wide = seen.bridge.stochastic and len(seen.shape) == 1
    try:
        path = VarianceExploding.for_standardised(
            space.features,
            sigma_min=sigma_min or (_FIRST.sigma_min if first else 0.4 if wide else 0.02),
            sigma_max=sigma_max or (_FIRST.sigma_max if first else None),
            levels=levels or (_FIRST.levels if first else None),
        )
    except ValueError as error:
        raise PthetaError(f"the levels of noise make no series: {error}.") from None
    model = denoiser(path, context_space, seen.make)
    by_size = min(10, max(2, round(_EVALUATIONS / path.levels)))
    steps = level_steps or (_FIRST_STEPS if first else by_size)
    if sampler == "annealed-langevin":
        step = _FIRST_STEP if first else matched_step(path.ratio, steps)
        way: Sampler = partial(annealed_langevin, steps=steps, step=step)
        intervals = path.levels - 1
    else:
        way, intervals = SAMPLERS[sampler], steps * path.levels
    drawn = WithScoredDenoising(model, seen.shape, sampler=way, steps=intervals)
    return trained_denoiser(
        drawn,
        model,
        MultiLevelDenoisingScoreMatching(),
        seen.bridge,
        space,
        learning_rate=learning_rate,
        halving_steps=halving_steps,
        batch_size=batch_size,
    )
