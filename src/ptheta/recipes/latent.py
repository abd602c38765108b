"""Latent variable models with an encoder."""

__all__ = ["vae"]

from typing import Annotated

from annotated_types import Ge

from ptheta.data.bridged import bridged
from ptheta.data.bridges import standardising
from ptheta.models.heads import on_reals
from ptheta.models.latent.vae import VAE
from ptheta.networks.sizes import default_width
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.likelihood import likelihood_learner
from ptheta.recipes.settings import Count, Fraction, Rate
from ptheta.spaces import Categorical, Real, Space


def vae(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    latent_features: Count | None = None,
    hidden_features: Count | None = None,
    layers: Count = 1,
    components: Count = 1,
    particles: Count = 1,
    dropout: Fraction | None = None,
    learning_rate: Rate = 2e-3,
    weight_decay: Annotated[float, Ge(0)] = 0.1,
    batch_size: Count = 128,
    steps: Count = 6000,
) -> Algorithm:
    width = hidden_features or default_width(space.features, least=256)
    model = VAE(
        on_reals(space),
        context_space,
        latent_features=latent_features or 16,
        hidden_features=(width,) * layers,
        components=components,
        dropout=dropout or 0.,
    )
    joined = bridged(model, standardising(space), space)
    return Algorithm(
        joined,
        likelihood_learner(
            joined,
            learning_rate=learning_rate,
            clip=10.0,
            weight_decay=weight_decay,
            particles=particles,
        ),
        batch_size=batch_size,
        steps=steps,
        ema=0.99,
    )
