"""Score models along a path of noise."""

__all__ = ["ncsn"]

from ptheta.data.bridged import bridged
from ptheta.data.bridges import dequantising
from ptheta.inference.adapters import WithAnnealedLangevin
from ptheta.inference.annealed import matched_step
from ptheta.models.diffusion.paths import VarianceExploding
from ptheta.models.diffusion.score_network import NoiseConditionalScore
from ptheta.networks.sizes import default_width
from ptheta.objectives.score_matching import MultiLevelDenoisingScoreMatching
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.settings import Count, Fraction, Rate
from ptheta.spaces import Categorical, Real, Space
from ptheta.training.gradient import GradientLearner


def ncsn(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    sigma_min: Rate = 0.02,
    sigma_max: Rate | None = None,
    levels: Count | None = None,
    level_steps: Count = 5,
    hidden_features: Count | None = None,
    blocks: Count = 3,
    dropout: Fraction = 0.0,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 128,
) -> Algorithm:
    bridge = dequantising(space)
    path = VarianceExploding.for_standardised(
        space.features, sigma_min=sigma_min, sigma_max=sigma_max, levels=levels
    )
    network = NoiseConditionalScore(
        space.features,
        path,
        context_space,
        hidden_features=hidden_features or default_width(space.features),
        blocks=blocks,
        dropout=dropout,
    )
    sampler = WithAnnealedLangevin(
        network,
        (space.features,),
        steps=level_steps,
        step=matched_step(path.ratio, level_steps),
    )
    return Algorithm(
        model=bridged(sampler, bridge, space),
        learner=GradientLearner(
            network,
            MultiLevelDenoisingScoreMatching(),
            learning_rate=learning_rate,
            clip=1.0,
            bridge=bridge,
        ),
        batch_size=batch_size,
        steps=10_000,
        ema=0.999,
    )
