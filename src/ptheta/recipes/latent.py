"""Latent variable models: mixtures, and autoencoders with a bound."""

__all__ = ["gmm", "latent_class", "vae"]

from typing import Literal

from ptheta.data.bridged import bridged, standardised
from ptheta.data.bridging import dequantising
from ptheta.models.heads import on_reals
from ptheta.models.latent.covariances import COVARIANCES
from ptheta.models.latent.gmm import GaussianMixture
from ptheta.models.latent.latent_class import LatentClass
from ptheta.models.latent.vae import VAE
from ptheta.networks.sizes import default_dropout, default_width
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.closed_form import expectation_maximised
from ptheta.recipes.likelihood import likelihood_learner
from ptheta.recipes.settings import Count, Fraction, NonNegative, PositiveFloat
from ptheta.spaces import Categorical, Real, Space
from ptheta.training.em import EMLearner


def gmm(
    space: Space,
    *,
    components: Count | None = None,
    covariance: Literal["full", "tied", "diagonal", "spherical"] = "full",
    shrinkage: NonNegative | None = None,
    floor: NonNegative = 1e-6,
    tolerance: NonNegative = 1e-4,
    steps: Count = 200,
) -> Algorithm:
    """Gaussian mixture, by expectation-maximisation from a k-means++ start.

    Levels are dequantised with uniform noise, drawn anew in each iteration, which makes the
    density of discrete data a lower bound.

    References:
        Maximum likelihood from incomplete data via the EM algorithm (Dempster, Laird & Rubin,
        1977), https://doi.org/10.1111/j.2517-6161.1977.tb01600.x

    Arguments:
        space: What one example is.
        components: The number of Gaussians; none means 20 for up to 16 values, and 10 for more.
        covariance: The kind of covariance matrix: full (one each), tied (one for all), diagonal,
            or spherical.
        shrinkage: The rows' worth of pull of each covariance towards that of the whole data;
            none means a third of the number of values, 0 plain maximum likelihood.
        floor: What is added to each variance, in units of the values' own variance.
        tolerance: The gain in nats per row under which an iteration counts as no gain.
        steps: The number of iterations where no budget is given.
    """
    bridge = dequantising(space)
    if components is None:
        components = 20 if space.features <= 16 else 10
    mixture = GaussianMixture(
        space.features,
        components,
        COVARIANCES[covariance],
        floor=floor,
        shrinkage=space.features / 3 if shrinkage is None else shrinkage,
    )
    return Algorithm(
        bridged(mixture, bridge, space),
        EMLearner(
            mixture, tolerance=tolerance, patience=5 if bridge.stochastic else 1, bridge=bridge
        ),
        batch_size=None,
        steps=steps,
        constraints=("parametric",),
        patience=10,
    )


def latent_class(
    space: Space,
    *,
    components: Count = 20,
    smoothing: NonNegative = 1.0,
    tolerance: NonNegative = 1e-3,
    steps: Count = 300,
) -> Algorithm:
    """Mixture of products: values independent given a hidden class, by expectation-maximisation.

    Of binary values it is the mixture of Bernoullis.

    References:
        Latent structure analysis (Lazarsfeld & Henry, 1968)
        On the use of Bernoulli mixture models for text classification (Juan & Vidal, 2002),
        https://doi.org/10.1016/S0031-3203(01)00242-4

    Arguments:
        space: What one example is; levels and categories, without missing values.
        components: The number of classes.
        smoothing: The counts added to each code of each class, spread as the marginals are.
        tolerance: The gain in nats per row under which an iteration counts as no gain.
        steps: The number of iterations where no budget is given.
    """
    model = LatentClass(space, components, smoothing)
    return expectation_maximised(model, tolerance, steps)


def vae(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    latent_features: Count | None = None,
    hidden_features: Count | None = None,
    layers: Count = 2,
    components: Count = 4,
    particles: Count = 1,
    dropout: Fraction | None = None,
    learning_rate: PositiveFloat = 2e-3,
    weight_decay: NonNegative = 0.1,
    batch_size: Count = 128,
    steps: Count = 6000,
) -> Algorithm:
    """Variational autoencoder: a Gaussian latent, and a lower bound on the likelihood.

    Encoder and decoder are networks of fully connected layers. The decoder's distribution suits
    the kind of value: a logit for binary values, a softmax for categories and few levels, a
    mixture of rounded logistics for many levels, a mixture of Gaussians for real values. Missing
    values are marked for the encoder, and marginalised by the decoder.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2013), https://arxiv.org/abs/1312.6114
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016),
        https://arxiv.org/abs/1509.00519, for more than one particle

    Arguments:
        space: What one example is; any space.
        context_space: What the model is conditioned on, if anything.
        latent_features: The size of the latent; none means that of the data, at least 2 and at
            most 16.
        hidden_features: The width of the hidden layers; none means four units for each value, at
            least 256 and at most 512.
        layers: The number of hidden layers of the encoder, and of the decoder.
        components: The number of components of mixtures, for real values and more than 8
            levels. With one, a latent that is not used yet is hard to put to use.
        particles: The number of particles of the bound in training; with more than one it is
            the importance-weighted bound.
        dropout: The share of hidden units dropped in training; none means 0 for up to 4 values
            in an example, and 0.2 for more.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    width = hidden_features or default_width(space.features, least=256)
    model = VAE(
        on_reals(space),
        context_space,
        latent_features=latent_features or min(16, max(2, space.features)),
        hidden_features=(width,) * layers,
        components=components,
        dropout=default_dropout(space.features) if dropout is None else dropout,
    )
    joined = standardised(model, space)
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
