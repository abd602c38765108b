"""Planar flows, invertible both ways."""

__all__ = ["Planar"]

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ptheta.models.flows.bijections import Bijection, check_shape, check_sizes
from ptheta.models.flows.roots import increasing_root
from ptheta.networks.context import LearnedVector, check_features

_MARGIN = 1e-3
_NEUTRAL = math.log(math.e - 1)  # of w^T u, at which the map neither stretches nor squeezes


class Planar(Bijection):
    r"""A push along one direction that depends on the position along another.

    .. math:: x = z + \hat u \tanh(w^T z + b), \qquad
        \hat u = u + (m(w^T u) - w^T u) \frac{w}{\lVert w \rVert^2}, \quad
        m(a) = -1 + \epsilon + \log(1 + e^a)

    which makes :math:`w^T \hat u > -1`, so that the map is invertible; the margin
    :math:`\epsilon`, 0.001, is ours and keeps it so once it is rounded. Its inverse has no formula;
    :math:`w^T z` is the root of an increasing function of one number.

    References:
        Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015),
        https://arxiv.org/abs/1505.05770, equation 10 and appendix A.1

    Arguments:
        features: The number of values.
        context_features: The number of features of the context, on which all of u, w and b depend.

    Raises:
        ValueError: There are no values.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> map_, z = Planar(2), torch.randn(5, 2)
        >>> x, log_det = map_.forward_and_log_det(z)
        >>> torch.allclose(map_.inverse(x), z, atol=1e-5)
        True
    """

    def __init__(self, features: int, context_features: int = 0) -> None:
        super().__init__()
        check_sizes("features", features)
        self.features = features
        self.context_features = context_features
        push, along = torch.randn(2, features) / features**0.5
        # small pushes at the start: many large ones fold the space until nothing can undo them
        push = 0.1 * push + _NEUTRAL * along / along.square().sum()
        start = torch.cat([push, along, torch.zeros(1)])
        self.coefficients = LearnedVector(start, context_features)

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_shape(z, (self.features,))
        push, along, offset = self._read(context)
        reach = ((along * z).sum(dim=1) + offset).tanh()
        stretch = (along * push).sum(dim=1) * (1 - reach.square())
        return z + push * reach.unsqueeze(1), torch.log1p(stretch)

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_shape(x, (self.features,))
        push, along, offset = self._read(context)
        target, strength = (along * x).sum(dim=1), (along * push).sum(dim=1).expand(len(x))

        def excess(a: Tensor) -> tuple[Tensor, Tensor]:
            reach = (a + offset).tanh()
            return a + strength * reach - target, 1 + strength * (1 - reach.square())

        margin = strength.abs() + 1
        a = increasing_root(excess, target - margin, target + margin)
        reach = (a + offset).tanh()
        return x - push * reach.unsqueeze(1), -torch.log1p(strength * (1 - reach.square()))

    def _read(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        check_features(context, self.context_features)
        raw, along, offset = self.coefficients(context).split((self.features, self.features, 1), 1)
        inner = (along * raw).sum(dim=1, keepdim=True)
        # the tiny number keeps a direction of zeros from dividing by zero
        length = along.square().sum(dim=1, keepdim=True) + torch.finfo(along.dtype).tiny
        outer = F.softplus(inner) - (1 - _MARGIN)
        return raw + (outer - inner) * along / length, along, offset.squeeze(1)
