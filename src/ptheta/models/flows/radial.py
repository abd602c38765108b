"""Radial flows, invertible both ways."""

__all__ = ["Radial"]

import torch
from torch import Tensor
from torch.nn import functional as F

from ptheta.models.flows.bijections import Bijection
from ptheta.networks.context import LearnedVector


class Radial(Bijection):
    r"""A push towards a centre or away from it, that weakens with the distance r from it.

    .. math:: x = z + \frac{\beta}{\alpha + r} (z - z_0), \qquad r = \lVert z - z_0 \rVert, \quad
        \alpha > 0, \quad \beta > -\alpha

    The distance of x is :math:`r + \beta r / (\alpha + r)`, which grows with r, so that r is a root
    of a quadratic.

    References:
        Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015),
        https://arxiv.org/abs/1505.05770, equation 14 and appendix A.2

    Arguments:
        features: The number of values.
        context_features: The number of features of the context, on which all coefficients depend.
    """

    def __init__(self, features: int, context_features: int = 0) -> None:
        super().__init__()
        self.features = features
        start = torch.cat([torch.randn(features), torch.full((2,), 0.5)])
        self.coefficients = LearnedVector(start, context_features)

    def forward_and_log_det(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        centre, alpha, beta = self._read(context)
        away = z - centre
        pull = 1 / (alpha + torch.linalg.vector_norm(away, dim=1))
        return z + (beta * pull).unsqueeze(1) * away, self._log_det(alpha, beta, pull)

    def inverse_and_log_det(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        centre, alpha, beta = self._read(context)
        away = x - centre
        distance = torch.linalg.vector_norm(away, dim=1)
        gap = distance - alpha - beta
        # of the two forms of the root, that in which nothing cancels
        root = torch.hypot(gap, 2 * (alpha * distance).sqrt()) + gap.abs()
        r = torch.where(gap > 0, root / 2, 2 * alpha * distance / root)
        pull = 1 / (alpha + r)
        return centre + away / (1 + beta * pull).unsqueeze(1), -self._log_det(alpha, beta, pull)

    def _log_det(self, alpha: Tensor, beta: Tensor, pull: Tensor) -> Tensor:
        across, outward = torch.log1p(beta * pull), torch.log1p(alpha * beta * pull.square())
        return (self.features - 1) * across + outward

    def _read(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        centre, alpha, beta = self.coefficients(context).split((self.features, 1, 1), 1)
        alpha = F.softplus(alpha.squeeze(1))
        return centre, alpha, F.softplus(beta.squeeze(1)) - alpha
