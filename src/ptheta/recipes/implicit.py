"""Implicit generators."""

__all__ = ["gan"]

from ptheta.data.bridged import bridged
from ptheta.data.bridging import dequantising
from ptheta.models.implicit.generator import Generator
from ptheta.networks.context import ContextFeatures
from ptheta.networks.residual import ResidualMLP
from ptheta.networks.sizes import default_width
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.critics import against_critic
from ptheta.recipes.settings import Count, PositiveFloat
from ptheta.spaces import Categorical, Real, Space


def gan(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    latent_features: Count | None = None,
    hidden_features: Count | None = None,
    layers: Count = 3,
    blocks: Count = 2,
    r1: PositiveFloat = 1.0,
    learning_rate: PositiveFloat = 1e-3,
    batch_size: Count = 128,
) -> Algorithm:
    """Generative adversarial network, non-saturating, with the R1 penalty.

    A generator turns noise into examples while a critic learns to tell them from data. The
    critic works on standardised data, levels made real by uniform noise, so draws fall back on
    levels. Samples come quickly and there is no density of any kind.

    References:
        Generative Adversarial Networks (Goodfellow et al., 2014), https://arxiv.org/abs/1406.2661
        Which Training Methods for GANs do actually Converge? (Mescheder, Geiger & Nowozin, 2018),
        https://arxiv.org/abs/1801.04406
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (Heusel
        et al., 2017), https://arxiv.org/abs/1706.08500, for the quicker critic

    Arguments:
        space: What one example is.
        context_space: What examples are conditioned on.
        latent_features: The size of the noise; none means half the size of an example, within
            16 and 128.
        hidden_features: The width of both networks; none means by the size of an example.
        layers: The number of hidden layers of the critic.
        blocks: The number of residual blocks of the generator.
        r1: The weight of the R1 penalty.
        learning_rate: The step size of Adam for the generator; the critic's is twice as large.
        batch_size: The number of examples in a batch.
    """
    bridge = dequantising(space)
    width = hidden_features or default_width(space.features)
    latent = latent_features or min(128, max(16, space.features // 2))
    extra = ContextFeatures(context_space).features
    generator = Generator(
        ResidualMLP(latent + extra, space.features, width, blocks), latent, context_space
    )
    return Algorithm(
        model=bridged(generator, bridge, space),
        learner=against_critic(
            generator,
            generator.context,
            space.features,
            width,
            bridge,
            layers=layers,
            r1=r1,
            learning_rate=learning_rate,
        ),
        batch_size=batch_size,
        steps=6000,
        ema=0.998,
    )
