r"""Variational autoencoders: a Gaussian latent, and a head for values of any kind.

.. math:: p(x) = \int p(x \mid z) \, \mathcal{N}(z; 0, I) \, dz, \qquad
    q(z \mid x) = \mathcal{N}(z; \mu(x), \operatorname{diag} \sigma^2(x))
"""

__all__ = ["VAE"]

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.models.heads.head import Factorised, Head
from ptheta.networks.context import ContextFeatures
from ptheta.networks.features import Features
from ptheta.networks.mlp import MLP
from ptheta.protocols import checked_particles
from ptheta.spaces import Categorical, Real, Space


class VAE(nn.Module):
    r"""A variational autoencoder with a Gaussian encoder and prior.

    With one particle the bound has the divergence in closed form,

    .. math:: \log p(x) \ge \mathbb{E}_{q(z|x)} \log p(x \mid z) - KL(q(z \mid x), p(z)),

    and with several it is the importance-weighted one,
    :math:`\log \frac{1}{K} \sum_k p(x, z_k) / q(z_k \mid x)`. Values that are missing are marked
    for the encoder, and marginalised by the decoder.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2013), https://arxiv.org/abs/1312.6114,
        equation 10 and appendix B
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016),
        https://arxiv.org/abs/1509.00519, equation 8

    Arguments:
        space: The space of the examples; real values are expected to be standardised.
        context_space: What they are conditioned on, or None. Encoder and decoder see it.
        latent_features: The size of the latent.
        hidden_features: The sizes of the hidden layers of the encoder, and in reverse of the
            decoder.
        components: The number of components of mixtures, for real values and many levels.
        one_hot_levels: The number of levels up to which levels enter one-hot.
        activation: Makes the activation.
        dropout: The share of hidden units dropped in training.
        min_scale: The smallest scale of a Gaussian, in standard deviations of the data.

    Example:
        >>> model = VAE(Real((3,)), latent_features=2, hidden_features=(8,))
        >>> model.elbo(torch.zeros(5, 3), particles=4).shape
        torch.Size([5])
    """

    def __init__(
        self,
        space: Space,
        context_space: Categorical | Real | None = None,
        *,
        latent_features: int = 16,
        hidden_features: Sequence[int] = (256,),
        components: int = 1,
        one_hot_levels: int = 0,
        activation: Callable[[], nn.Module] = nn.SiLU,
        dropout: float = 0.0,
        min_scale: float = 1e-3,
    ) -> None:
        super().__init__()
        self.space = space
        self.latent_features = latent_features
        self.features = Features(space, one_hot_levels)
        self.context = ContextFeatures(context_space)
        self.head = Head(space, components, min_scale)
        seen, given = self.features.features, self.context.features
        sizes = tuple(hidden_features)
        self.encoder = MLP(seen + given, 2 * latent_features, sizes, activation, dropout)
        self.decoder = MLP(
            latent_features + given, self.head.features, sizes[::-1], activation, dropout
        )

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts near the product of the marginals.

        Arguments:
            x: The training examples, with shape (rows, *space.shape).
            context: Not looked at.
        """
        last = self.decoder[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(self.head.fit(x))

    def posterior(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The mean and standard deviation of q(z|x), each with shape (batch, latent_features)."""
        inputs = self.context.join(self.features(x), context)
        mean, raw = self.encoder(inputs).chunk(2, dim=1)
        return mean, F.softplus(raw + _UNIT)

    def likelihood(self, z: Tensor, context: Tensor | None = None) -> Factorised:
        """p(x|z).

        Arguments:
            z: The latents, with shape (..., batch, latent_features).
            context: What is conditioned on, with batch rows.
        """
        given = self.context(context, z.shape[-2])
        if given is not None:
            z = torch.cat([z, given.expand(*z.shape[:-1], -1)], dim=-1)
        return self.head(self.decoder(z))

    def elbo(self, x: Tensor, context: Tensor | None = None, *, particles: int = 1) -> Tensor:
        """A lower bound on log p(x) in nats, with shape (batch,).

        Arguments:
            x: The examples, with shape (batch, *space.shape); NaN is missing.
            context: What they are conditioned on.
            particles: The number of latents drawn for each; more give a tighter bound.

        Raises:
            ValueError: There are no particles.
        """
        mean, scale = self.posterior(x, context)
        if checked_particles(particles) == 1:
            z = mean + scale * torch.randn_like(mean)
            return self.likelihood(z, context).log_prob(x) - _divergence(mean, scale)
        eps = torch.randn(particles, *mean.shape, device=mean.device, dtype=mean.dtype)
        z = mean + scale * eps
        # the constants of prior and posterior cancel
        prior_over_posterior = 0.5 * (eps.square() - z.square()).sum(dim=-1) + scale.log().sum(-1)
        weights = self.likelihood(z, context).log_prob(x) + prior_over_posterior
        return weights.logsumexp(dim=0) - math.log(particles)

    @torch.no_grad()
    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws, with shape (n, *space.shape), inside the space."""
        like = next(self.parameters())
        z = torch.randn(n, self.latent_features, device=like.device, dtype=like.dtype)
        return self.likelihood(z, context).sample()

    @torch.no_grad()
    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The mean of q(z|x), with shape (batch, latent_features)."""
        return self.posterior(x, context)[0]

    @torch.no_grad()
    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The centre of p(x|z): means, levels nearest to them, likeliest categories.

        Arguments:
            z: The latents, with shape (batch, latent_features).
            context: What is conditioned on.

        Returns:
            The examples, with shape (batch, *space.shape), inside the space.
        """
        return self.likelihood(z, context).centre()


_UNIT = math.log(math.expm1(1.0))  # softplus is 1 here: q starts at the scale of the prior


def _divergence(mean: Tensor, scale: Tensor) -> Tensor:
    """KL(N(mean, scale^2), N(0, 1)) summed over the latent, with shape (batch,)."""
    return (0.5 * (mean.square() + scale.square() - 1) - scale.log()).sum(dim=1)
