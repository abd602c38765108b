"""Radial flows, invertible both ways."""

__all__ = ["Radial"]

import torch
from torch import Tensor
from torch.nn import functional as F

from ptheta.models.flows.bijections import Bijection, check_shape, check_sizes
from ptheta.networks.context import LearnedVector, check_features

_MARGIN = 1e-3


class Radial(Bijection):
    r"""A push towards a centre or away from it, that weakens with the distance r from it.

    .. math:: x = z + \frac{\beta}{\alpha + r} (z - z_0), \qquad r = \lVert z - z_0 \rVert, \quad
        \alpha > 0, \quad \beta > -\alpha

    The distance of x is :math:`r + \beta r / (\alpha + r)`, which grows with r, so that r is a root
    of a quadratic. Both coefficients keep a margin from their bounds, 0.001, which is ours.

    References:
        Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015),
        https://arxiv.org/abs/1505.05770, equation 14 and appendix A.2

    Arguments:
        features: The number of values.
        context_features: The number of features of the context, on which all coefficients depend.

    Raises:
        ValueError: There are no values.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> map_, z = Radial(2), torch.randn(5, 2)
        >>> x, log_det = map_.forward_and_log_det(z)
        >>> torch.allclose(map_.inverse(x), z, atol=1e-5)
        True
    """

    def __init__(self, features: int, context_features: int = 0) -> None:
        super().__init__()
        check_sizes("features", features)
        self.features = features
        self.context_features = context_features
        start = torch.cat([torch.randn(features), torch.full((2,), 0.5)])
        self.coefficients = LearnedVector(start, context_features)

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_shape(z, (self.features,))
        centre, alpha, total = self._read(context)
        away = z - centre
        stretch, log_det = self._stretch(_length(away), alpha, total)
        return centre + stretch.unsqueeze(1) * away, log_det

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_shape(x, (self.features,))
        centre, alpha, total = self._read(context)
        away = x - centre
        distance = _length(away)
        # in units in which no square is too large for its type
        unit = (distance + alpha + total).detach()
        gap, product = (distance - total) / unit, alpha / unit * (distance / unit)
        root = unit * ((gap.square() + 4 * product).sqrt() + gap.abs())
        # of the two forms of the root, that in which nothing cancels
        r = torch.where(gap > 0, root / 2, 2 * alpha * (distance / root))
        stretch, log_det = self._stretch(r, alpha, total)
        return centre + away / stretch.unsqueeze(1), -log_det

    def _stretch(self, r: Tensor, alpha: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        """By how much distances from the centre grow, and the log-determinant."""
        far, near = r / (alpha + r), alpha / (alpha + r)
        pushed = total / (alpha + r)
        # 1 + beta / (alpha + r), and 1 + alpha beta / (alpha + r)^2, of positive terms only
        across, outward = far + pushed, far.square() + 2 * far * near + near * pushed
        return across, (self.features - 1) * across.log() + outward.log()

    def _read(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The centre, alpha, and alpha + beta."""
        check_features(context, self.context_features)
        centre, *sizes = self.coefficients(context).split((self.features, 1, 1), 1)
        alpha, total = (F.softplus(size.squeeze(1)) + _MARGIN for size in sizes)
        return centre, alpha, total


def _length(away: Tensor) -> Tensor:
    """The lengths of vectors, of which no square is too large for its type."""
    largest = away.detach().abs().amax(dim=1).clamp(min=torch.finfo(away.dtype).tiny)
    return largest * torch.linalg.vector_norm(away / largest.unsqueeze(1), dim=1)
