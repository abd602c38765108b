"""Implicit generators on the reals."""

__all__ = ["Generator"]

import torch
from torch import Tensor, nn

from ptheta.networks.context import ContextFeatures
from ptheta.spaces import Categorical, Real


class Generator(nn.Module):
    r"""Draws that are a network's image of noise, :math:`x = g(z)`, :math:`z \sim N(0, I)`.

    Their density is defined by the network, but cannot be had from it.

    References:
        Generative Adversarial Networks (Goodfellow et al., 2014), https://arxiv.org/abs/1406.2661

    Arguments:
        network: The map, from (n, latent_features) to (n, features).
        latent_features: The size of the noise.
        context_space: What draws are conditioned on; its features follow those of z in what the
            network is given.

    Example:
        >>> generator = Generator(nn.Linear(3, 2), latent_features=3)
        >>> generator.sample(5).shape
        torch.Size([5, 2])
    """

    origin: Tensor

    def __init__(
        self,
        network: nn.Module,
        latent_features: int,
        context_space: Categorical | Real | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.latent_features = latent_features
        self.context = ContextFeatures(context_space)
        self.register_buffer("origin", torch.zeros(()), persistent=False)  # where noise is made

    def latent(self, n: int) -> Tensor:
        """Noise, with shape (n, latent_features)."""
        like = self.origin
        return torch.randn(n, self.latent_features, device=like.device, dtype=like.dtype)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The examples of latents, with shape (n, features)."""
        return self.network(self.context.join(z, context))

    def rsample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws that carry gradient to the parameters, with shape (n, features)."""
        return self.decode(self.latent(n), context)

    @torch.no_grad()
    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws, with shape (n, features)."""
        return self.rsample(n, context)
