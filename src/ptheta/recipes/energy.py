"""Energy-based models."""

__all__ = ["ebm"]

from typing import Literal

from ptheta.data.bridged import bridged
from ptheta.data.bridges import dequantising
from ptheta.inference.adapters import WithMCMC
from ptheta.inference.langevin import MALA
from ptheta.models.energy.energy import Energy
from ptheta.networks.context import ContextFeatures
from ptheta.networks.mlp import MLP
from ptheta.networks.sizes import default_width
from ptheta.objectives.contrastive import PersistentContrastiveDivergence
from ptheta.objectives.score_matching import DenoisingScoreMatching
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.settings import Count, Rate, Fraction
from ptheta.spaces import Categorical, Real, Space
from ptheta.training.gradient import GradientLearner


def ebm(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    objective: Literal["pcd", "dsm"] = "pcd",
    noise: Rate = 0.1,
    hidden_features: Count | None = None,
    layers: Count = 2,
    chains: Count = 1024,
    chain_steps: Count = 10,
    refresh: Fraction = 0.02,
    sample_steps: Count = 200,
    penalty: float = 1e-4,
    learning_rate: Rate = 5e-4,
    batch_size: Count = 128,
) -> Algorithm:
    bridge = dequantising(space)
    shape = (space.features,)
    width = hidden_features or default_width(space.features)
    extra = ContextFeatures(context_space).features
    kernel = MALA(0.05, target=0.574)
    energy = Energy(MLP(space.features + extra, 1, [width] * layers), context_space)
    match objective:
        case "pcd":
            obj = PersistentContrastiveDivergence(
                kernel,
                shape,
                context_space,
                chains=chains,
                steps=chain_steps,
                refresh=refresh,
                noise=noise,
                penalty=penalty,
            )
        case "dsm":
            obj = DenoisingScoreMatching(noise)
    model = WithMCMC(energy, kernel, shape, steps=sample_steps, jump=noise)
    return Algorithm(
        model=bridged(model, bridge, space),
        learner=GradientLearner(energy, obj, learning_rate=learning_rate, clip=1.0, bridge=bridge),
        batch_size=batch_size,
        steps=5_000,
        ema=0.998,
    )
