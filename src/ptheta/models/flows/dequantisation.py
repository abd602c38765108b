r"""Noise that makes levels real, whose law a flow learns.

For any law q of noise in [0, 1), a density p of the reals bounds the mass of levels:

.. math:: \log P(x) \ge \mathbb{E}_{q(u \mid x)} [\log p(x + u) - \log q(u \mid x)]
"""

__all__ = ["LevelNoise"]

import torch
from torch import Tensor, nn

from ptheta.models.flows.bases import Logistic
from ptheta.models.flows.bijections import Composition
from ptheta.models.flows.image_coupling import CheckerboardCoupling
from ptheta.models.flows.univariate import Affine
from ptheta.networks.convolutional import ResidualCNN


class LevelNoise(nn.Module):
    r"""Noise in [0, 1] given an image of levels: :math:`u = \sigma(f(\epsilon; x))`.

    The flow f is of checkerboards, whose networks see the levels. It starts as the identity of
    logistic noise, and so u starts uniform.

    References:
        Flow++: Improving Flow-Based Generative Models with Variational Dequantization and
        Architecture Design (Ho, Chen, Srinivas, Duan & Abbeel, 2019),
        https://arxiv.org/abs/1902.00275, section 3.1

    Arguments:
        shape: The shape (channels, height, width) of an image.
        levels: The number of levels of a value.
        layers: The number of checkerboards.
        hidden_channels: The number of channels within the networks.
        blocks: The number of residual blocks of a network.

    Example:
        >>> noise = LevelNoise((1, 4, 4), levels=17)
        >>> u, log_q = noise(torch.zeros(5, 1, 4, 4, dtype=torch.uint8))
        >>> u.shape, log_q.tolist()
        (torch.Size([5, 1, 4, 4]), [0.0, 0.0, 0.0, 0.0, 0.0])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        levels: int,
        *,
        layers: int = 4,
        hidden_channels: int = 32,
        blocks: int = 1,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.half_range = max(levels - 1, 1) / 2
        self.base = Logistic(shape[0] * shape[1] * shape[2])

        def conditioner(in_channels: int, out_channels: int) -> nn.Module:
            network = ResidualCNN(in_channels + shape[0], out_channels, hidden_channels, blocks)
            return _Beside(network)

        self.bijection = Composition(
            [
                CheckerboardCoupling(Affine(), shape[0], conditioner, flip=i % 2 == 1)
                for i in range(layers)
            ]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Noise, shaped as x and with gradient, and its log-density with shape (batch,).

        Arguments:
            x: The levels, with shape (batch, *shape).
        """
        start = self.base.draw(len(x))
        seen = x.to(start.dtype) / self.half_range - 1
        logit, log_det = self.bijection.forward_and_log_det(start.unflatten(1, self.shape), seen)
        # the slope of the sigmoid is the density of logistic noise
        slope = self.base.log_prob(logit.flatten(1))
        return logit.sigmoid(), self.base.log_prob(start) - log_det - slope


class _Beside(nn.Module):
    """A network that sees an image beside its input."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        return self.network(torch.cat([x, image], dim=1))
