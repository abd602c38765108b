"""A noise-conditional score network on the reals."""

__all__ = ["NoiseConditionalScore"]

import torch
from torch import Tensor, nn

from ptheta.models.diffusion.paths import VarianceExploding
from ptheta.networks.context import ContextFeatures
from ptheta.networks.residual import ResidualMLP
from ptheta.networks.time import TimeFeatures
from ptheta.spaces import Categorical, Real


class NoiseConditionalScore(nn.Module):
    r"""The score of data of unit variance, noised to any level.

    The network F learns by how much the score departs from that of a standard normal,

    .. math:: s(x, t) = - c^2 x + \frac{c}{\sigma} F(c x, t), \quad
        c = (1 + \sigma(t)^2)^{-1/2} ,

    so that its input and what it has to learn are of unit size at every level.

    References:
        Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019),
        https://arxiv.org/abs/1907.05600
        Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022),
        https://arxiv.org/abs/2206.00364, table 1, for the scaling

    Arguments:
        features: The number of values in one example.
        path: The levels of noise.
        context_space: What examples are conditioned on.
        hidden_features: The width of the network.
        blocks: The number of its residual blocks.
        dropout: The share of hidden units dropped in training.

    Example:
        >>> model = NoiseConditionalScore(2, VarianceExploding(), hidden_features=8)
        >>> model.score(torch.zeros(5, 2), t=0.5).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        features: int,
        path: VarianceExploding,
        context_space: Categorical | Real | None = None,
        *,
        hidden_features: int = 128,
        blocks: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.path = path
        self.context = ContextFeatures(context_space)
        self.time = TimeFeatures()
        self.network = ResidualMLP(
            features,
            features,
            hidden_features,
            blocks,
            self.time.features + self.context.features,
            dropout,
        )

    def score(self, x: Tensor, context: Tensor | None = None, *, t: Tensor | float = 0.0) -> Tensor:
        """The score of the data noised to t.

        Arguments:
            x: Noised examples, with shape (batch, features).
            context: What they are conditioned on.
            t: The time of each, with shape (batch,), or of all.

        Returns:
            The gradient of log p_t by x, with shape (batch, features).
        """
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))
        sigma = self.path.sigma(t)[:, None]
        scale = (1 + sigma.square()).rsqrt()
        departure = self.network(scale * x, self.context.join(self.time(t), context))
        return -scale.square() * x + (scale / sigma) * departure
