"""Coupling: half of the values are mapped one by one, as the other half says."""

__all__ = ["Coupling"]

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ptheta.models.flows.bijections import Bijection, check_shape, check_sizes
from ptheta.models.flows.univariate import Univariate
from ptheta.networks.activations import relu
from ptheta.networks.context import beside
from ptheta.networks.mlp import MLP


class Coupling(Bijection):
    r"""Maps of one half of the values, whose coefficients depend on the other half.

    .. math:: x_a = z_a, \qquad x_b = \tau(z_b; \theta(z_a))

    The last layer of the network starts at zero, so that the map starts near the identity.

    References:
        NICE: Non-linear Independent Components Estimation (Dinh, Krueger & Bengio, 2014),
        https://arxiv.org/abs/1410.8516, section 3.2
        Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2016),
        https://arxiv.org/abs/1605.08803, section 3.2

    Arguments:
        univariate: The map of a value.
        features: The number of values.
        context_features: The number of features of the context.
        hidden_features: The sizes of the hidden layers of the network.
        flip: Whether the second half conditions the first, and not the other way round.
        activation: Makes the activation.
        dropout: The share of hidden units dropped in training.

    Raises:
        ValueError: There are fewer than two values, so that none is left to condition on, or a
            hidden layer has no units.

    Example:
        >>> from ptheta.models.flows.univariate import Affine
        >>> coupling = Coupling(Affine(), features=3)
        >>> coupling(torch.ones(1, 3)).detach()
        tensor([[1., 1., 1.]])
    """

    def __init__(
        self,
        univariate: Univariate,
        features: int,
        context_features: int = 0,
        hidden_features: Sequence[int] = (128, 128),
        *,
        flip: bool = False,
        activation: Callable[[], nn.Module] = relu,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if features < 2:
            raise ValueError(
                f"a coupling needs at least two values, one to condition on, got {features}; "
                "MaskedAutoregressive takes one"
            )
        check_sizes("hidden_features", *hidden_features)
        self.univariate = univariate
        self.flip = flip
        self.features = features
        self.context_features = context_features
        self.sizes = features - features // 2, features // 2
        fixed, moved = reversed(self.sizes) if flip else self.sizes
        self.network = MLP(
            fixed + context_features,
            univariate.size * moved,
            hidden_features,
            activation,
            dropout=dropout,
        )
        for parameter in self.network[-1].parameters():
            nn.init.zeros_(parameter)

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        fixed, moved = self._split(z)
        x, log_slope = self.univariate.forward(moved.t(), self._coefficients(fixed, context))
        return self._join(fixed, x), log_slope.sum(dim=0)

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        fixed, moved = self._split(x)
        z, log_slope = self.univariate.inverse(moved.t(), self._coefficients(fixed, context))
        return self._join(fixed, z), log_slope.sum(dim=0)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        check_shape(x, (self.features,))
        first, second = x.split(self.sizes, dim=1)
        return (second, first) if self.flip else (first, second)

    def _join(self, fixed: Tensor, moved: Tensor) -> Tensor:
        # a value's examples stay beside each other in memory, for the coupling after this
        rows = fixed.t()
        return torch.cat([moved, rows] if self.flip else [rows, moved]).t()

    def _coefficients(self, fixed: Tensor, context: Tensor | None) -> Tensor:
        given = beside(fixed, context, self.context_features)
        return self.network.features_first(given).unflatten(0, (self.univariate.size, -1))
