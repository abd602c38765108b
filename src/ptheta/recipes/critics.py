"""What the recipes that play against a critic share."""

__all__ = ["against_critic"]

from torch import nn

from ptheta.models.implicit.critic import Critic
from ptheta.networks.context import ContextFeatures
from ptheta.networks.mlp import MLP
from ptheta.objectives.adversarial import NON_SATURATING, R1
from ptheta.training.adversarial import AdversarialLearner, LatentGenerator
from ptheta.training.gradient import ToReals


def against_critic(
    generator: LatentGenerator,
    context: ContextFeatures,
    features: int,
    width: int,
    bridge: ToReals,
    *,
    layers: int = 3,
    r1: float = 1.0,
    learning_rate: float,
) -> AdversarialLearner:
    """A generator against a critic by the non-saturating loss, with the R1 penalty.

    Arguments:
        generator: The generator of examples on the reals.
        context: How the generator takes in what it is conditioned on.
        features: The number of values in one example.
        width: The width of the critic.
        bridge: The way from data to the reals.
        layers: The number of hidden layers of the critic.
        r1: The weight of the penalty.
        learning_rate: The step size of Adam for the generator; the critic's is twice as large.
    """
    # a critic of piecewise linear units tells narrow modes apart sooner than one of smooth ones
    sizes = features + context.features, 1, [width] * layers
    critic = Critic(MLP(*sizes, lambda: nn.LeakyReLU(0.2)), context.context_space)
    critic.context = context  # one scale of the context for both sides
    return AdversarialLearner(
        generator,
        critic,
        NON_SATURATING,
        [R1(r1)],
        learning_rate=learning_rate,
        critic_learning_rate=2 * learning_rate,
        betas=(0.0, 0.99),
        bridge=bridge,
    )
