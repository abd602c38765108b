"""Affine coupling: half of the values scale and shift the other half."""

__all__ = ["AffineCoupling"]

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ptheta.models.flows.bijections import Bijection
from ptheta.networks.mlp import MLP


class AffineCoupling(Bijection):
    r"""An affine map of one half of the values, whose coefficients depend on the other half.

    .. math:: x_a = z_a, \qquad x_b = z_b \odot e^{s(z_a)} + t(z_a)

    The log-scale is kept within :math:`\pm c` as :math:`c \tanh(s / c)`, so that a step can
    neither vanish nor explode; the last layer starts at zero, so that the map starts as the
    identity.

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2016),
        https://arxiv.org/abs/1605.08803, equations 4 to 8

    Arguments:
        features: The number of values.
        context_features: The number of features of the context.
        hidden_features: The sizes of the hidden layers of the network.
        flip: Whether the second half conditions the first, and not the other way round.
        bound: The bound c of the log-scale.
        dropout: The share of hidden units dropped in training.
    """

    def __init__(
        self,
        features: int,
        context_features: int = 0,
        hidden_features: Sequence[int] = (128, 128),
        *,
        flip: bool = False,
        bound: float = 2.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.flip = flip
        self.bound = bound
        self.sizes = features - features // 2, features // 2
        fixed, moved = reversed(self.sizes) if flip else self.sizes
        self.network = MLP(
            fixed + context_features, 2 * moved, hidden_features, nn.ReLU, dropout=dropout
        )
        for parameter in self.network[-1].parameters():
            nn.init.zeros_(parameter)

    def forward_and_log_det(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        fixed, moved = self._split(z)
        log_scale, shift = self._coefficients(fixed, context)
        return self._join(fixed, moved * log_scale.exp() + shift), log_scale.sum(dim=1)

    def inverse_and_log_det(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        fixed, moved = self._split(x)
        log_scale, shift = self._coefficients(fixed, context)
        return self._join(fixed, (moved - shift) * (-log_scale).exp()), -log_scale.sum(dim=1)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.split(self.sizes, dim=1)
        return (second, first) if self.flip else (first, second)

    def _join(self, fixed: Tensor, moved: Tensor) -> Tensor:
        return torch.cat([moved, fixed] if self.flip else [fixed, moved], dim=1)

    def _coefficients(self, fixed: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        given = fixed if context is None else torch.cat([fixed, context], dim=1)
        raw, shift = self.network(given).chunk(2, dim=1)
        return self.bound * torch.tanh(raw / self.bound), shift
