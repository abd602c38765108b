"""A denoiser on the reals, at every time of a path."""

__all__ = ["Denoiser"]

import torch
from torch import Tensor, nn

from ptheta.models.diffusion.paths import log_noise
from ptheta.networks.context import ContextFeatures
from ptheta.networks.residual import ResidualMLP
from ptheta.networks.time import TimeFeatures
from ptheta.noising import Path, Prediction
from ptheta.spaces import Categorical, Real


class Denoiser(nn.Module):
    r"""What data of unit variance and their noise are expected to be, given the two mixed.

    The network F learns by how much the prediction departs from that of a standard normal,

    .. math:: \hat x = c^2 \alpha x_t + c \sigma F(c x_t, t), \quad
        \hat \epsilon = c^2 \sigma x_t - c \alpha F(c x_t, t), \quad
        c = (\alpha^2 + \sigma^2)^{-1/2} ,

    so that its input and what it has to learn are of unit size at every time; where the variance is
    preserved, :math:`-F` is v. Of the time it is told :math:`\log (\sigma / \alpha)`, brought to
    [0, 1] between the ends of the path.

    References:
        Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019),
        https://arxiv.org/abs/1907.05600
        Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022),
        https://arxiv.org/abs/2206.00364, table 1, for the scaling

    Arguments:
        features: The number of values in one example.
        path: The path from data to noise.
        context_space: What examples are conditioned on.
        hidden_features: The width of the network.
        blocks: The number of its residual blocks.
        dropout: The share of hidden units dropped in training.

    Example:
        >>> from ptheta.models.diffusion.paths import VarianceExploding
        >>> model = Denoiser(2, VarianceExploding(), hidden_features=8)
        >>> model.score(torch.zeros(5, 2), t=0.5).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        features: int,
        path: Path,
        context_space: Categorical | Real | None = None,
        *,
        hidden_features: int = 128,
        blocks: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.path = path
        ends = path.times()[[0, -1]].double()
        self.least, self.most = log_noise(path, ends).tolist()
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

    def predict(self, x: Tensor, context: Tensor | None = None, *, t: Tensor | float) -> Prediction:
        """What the data and the noise of noised examples are expected to be.

        Arguments:
            x: Noised examples, with shape (batch, features).
            context: What they are conditioned on.
            t: The time of each, with shape (batch,), or of all.
        """
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))
        alpha, sigma = self.path.alpha(t)[:, None], self.path.sigma(t)[:, None]
        level = (log_noise(self.path, t) - self.least) / (self.most - self.least)
        scale = (alpha.square() + sigma.square()).rsqrt()
        features = self.context.join(self.time(level.clamp(0, 1)), context)
        departure = self.network(scale * x, features)
        mixed = scale.square() * x
        return Prediction(
            data=alpha * mixed + sigma * scale * departure,
            noise=sigma * mixed - alpha * scale * departure,
        )

    def score(self, x: Tensor, context: Tensor | None = None, *, t: Tensor | float = 0.0) -> Tensor:
        """The score of the data noised to t, where there is noise.

        Arguments:
            x: Noised examples, with shape (batch, features).
            context: What they are conditioned on.
            t: The time of each, with shape (batch,), or of all.

        Returns:
            The gradient of log p_t by x, with shape (batch, features).
        """
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))
        return -self.predict(x, context, t=t).noise / self.path.sigma(t)[:, None]
