"""Linear bijections."""

__all__ = ["ActNorm", "LULinear", "Scaling"]

import torch
from torch import Tensor, nn

from ptheta.models.flows.bijections import Bijection, check_shape, check_sizes, check_width
from ptheta.networks.context import LearnedVector


class Scaling(Bijection):
    r"""Scales each value by a number of its own, :math:`x = z \odot e^{s}`.

    References:
        NICE: Non-linear Independent Components Estimation (Dinh, Krueger & Bengio, 2014),
        https://arxiv.org/abs/1410.8516, section 3.3, whose scale is the reciprocal

    Arguments:
        features: The number of values.

    Raises:
        ValueError: There are no values.

    Example:
        >>> x, log_det = Scaling(3).forward_and_log_det(torch.ones(1, 3))
        >>> x.tolist(), log_det.tolist()
        ([[1.0, 1.0, 1.0]], [0.0])
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        check_sizes("features", features)
        self.log_scale = nn.Parameter(torch.zeros(features))

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_shape(z, self.log_scale.shape)
        return z * self.log_scale.exp(), self.log_scale.sum().expand(len(z))

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_shape(x, self.log_scale.shape)
        return x * (-self.log_scale).exp(), -self.log_scale.sum().expand(len(x))


class ActNorm(Bijection):
    r"""Scales and shifts each channel, :math:`x = z \, e^{s} + t`, starting from data.

    At the start the noise has mean 0 and variance 1 in each channel. The values of a vector are
    channels of one pixel. To start from data that are empty or not finite is a ValueError.

    References:
        Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
        https://arxiv.org/abs/1807.03039, section 3.1

    Arguments:
        channels: The number of channels, or of values of a vector.

    Raises:
        ValueError: There are no channels.

    Example:
        >>> norm, x = ActNorm(2), torch.tensor([[1.0, 10.0], [3.0, 30.0]])
        >>> norm.initialize(x)
        >>> norm.inverse(x).mean(dim=0).abs().max() < 1e-6
        tensor(True)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_sizes("channels", channels)
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._beside(z)
        return torch.addcmul(shift, z, log_scale.exp()), self._log_det(z)

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._beside(x)
        return (x - shift) * (-log_scale).exp(), -self._log_det(x)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        check_width(x, len(self.shift))
        if not (x.numel() and x.isfinite().all()):
            raise ValueError(f"expected finite data to start from, got {len(x)} rows of others")
        values = x.transpose(0, 1).flatten(1).double()
        self.shift.copy_(values.mean(dim=1))
        # a channel that is constant but for rounding, or was seen once, has no scale to go by
        spread = values.std(dim=1, correction=0)
        rounding = torch.finfo(x.dtype).eps * values.abs().amax(dim=1)
        self.log_scale.copy_(torch.where(spread > rounding, spread, 1.0).log())

    def _beside(self, x: Tensor) -> tuple[Tensor, Tensor]:
        check_width(x, len(self.shift))
        shape = (-1, *(1,) * (x.dim() - 2))
        return self.log_scale.reshape(shape), self.shift.reshape(shape)

    def _log_det(self, x: Tensor) -> Tensor:
        return (self.log_scale.sum() * x.shape[2:].numel()).expand(len(x))


class LULinear(Bijection):
    r"""A full matrix, :math:`x = P L U z + t`, by its triangular factors.

    On images it mixes the channels of each pixel: an invertible convolution of 1x1. The signs of
    the diagonal of U stay as they start, so that the matrix never becomes singular.

    References:
        Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
        https://arxiv.org/abs/1807.03039, section 3.2 and equation 10

    Arguments:
        matrix: The matrix at the start, square.
        context_features: The number of features of the context, which adds to the shift.

    Raises:
        ValueError: The matrix is not square, not of finite real numbers, or singular.

    Example:
        >>> map_ = LULinear(torch.tensor([[2.0, 1.0], [0.0, 3.0]]))
        >>> x, log_det = map_.forward_and_log_det(torch.ones(1, 2))
        >>> x.tolist(), log_det.exp().tolist()
        ([[3.0, 3.0]], [6.0])
    """

    order: Tensor
    sign: Tensor

    def __init__(self, matrix: Tensor, context_features: int = 0) -> None:
        super().__init__()
        if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
            raise ValueError(f"expected a square matrix, got shape {tuple(matrix.shape)}")
        if not (matrix.is_floating_point() and matrix.isfinite().all()):
            raise ValueError("expected a matrix of finite real numbers")
        rounding = len(matrix) * torch.finfo(matrix.dtype).eps
        if torch.linalg.matrix_rank(matrix.double(), rtol=rounding) < len(matrix):
            raise ValueError("the matrix is singular: a flow needs one that can be inverted")
        permutation, lower, upper = torch.linalg.lu(matrix.double())
        diagonal = upper.diagonal()
        self.register_buffer("order", permutation.argmax(dim=0))
        kept = matrix.dtype
        self.register_buffer("sign", diagonal.sign().to(kept))
        self.lower = nn.Parameter(lower.tril(-1).to(kept))
        self.upper = nn.Parameter(upper.triu(1).to(kept))
        self.log_diagonal = nn.Parameter(diagonal.abs().log().to(kept))
        self.shift = LearnedVector(torch.zeros(len(matrix), dtype=kept), context_features)

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_width(z, len(self.sign))
        lower, upper = self._factors()
        # the rows of P L U are those of L U in another order
        matrix = (lower @ upper)[self.order.argsort()]
        return _mix(matrix, z) + self._shift(z, context), self._log_det(z)

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_width(x, len(self.sign))
        lower, upper = self._factors()
        back = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)[self.order]
        back = torch.linalg.solve_triangular(lower, back, upper=False, unitriangular=True)
        matrix = torch.linalg.solve_triangular(upper, back, upper=True)
        return _mix(matrix, x - self._shift(x, context)), -self._log_det(x)

    def _factors(self) -> tuple[Tensor, Tensor]:
        one = torch.ones_like(self.sign).diag()
        upper = self.upper.triu(1) + (self.sign * self.log_diagonal.exp()).diag()
        return self.lower.tril(-1) + one, upper

    def _shift(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.shift(context).reshape(-1, x.shape[1], *(1,) * (x.dim() - 2))

    def _log_det(self, x: Tensor) -> Tensor:
        return (self.log_diagonal.sum() * x.shape[2:].numel()).expand(len(x))


def _mix(matrix: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("ij,bj...->bi...", matrix, x)
