r"""Layers and activations whose slope has a bound that always holds.

Power iteration finds the largest singular value from below, by vectors that are kept beside the
weights and lag behind them; then a bound holds nearly, and not after weights were averaged or
brought to another precision. Here it is found from above, from the weights alone:

.. math:: \sigma_1(W) \le \lVert (W^T W)^{2^k} \rVert_F^{1 / 2^{k+1}}
    \le n^{1 / 2^{k+2}} \, \sigma_1(W)

which k squarings of a matrix of n x n give, with its gradient.

References:
    Efficient Bound of Lipschitz Constant for Convolutional Layers by Gram Iteration (Delattre,
    Barthelemy, Araujo & Allauzen, 2023), https://arxiv.org/abs/2305.16173, algorithm 2
"""

__all__ = [
    "Bounded",
    "BoundedConv2d",
    "BoundedLinear",
    "Conv2dWithin",
    "LinearWithin",
    "LipSwish",
    "spectral_bound",
]

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.networks.sizes import kernel_reach

_SQUARINGS = 5  # the bound of a matrix of 128 x 128 is at most 1.04 of its singular value
_STEEPEST = 1.1  # the slope of x sigmoid(x) is at most 1.0998


def spectral_bound(matrices: Tensor) -> Tensor:
    """A number that the largest singular value of a matrix does not exceed, and comes near.

    Arguments:
        matrices: The matrices, with shape (..., rows, columns), real or complex.

    Returns:
        The bounds, with shape (...).

    Example:
        >>> spectral_bound(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        tensor(3.)
    """
    bound: Tensor = _Bound.apply(matrices)[0]
    return bound


class _Bound(torch.autograd.Function):
    """The bound, and its gradient, which is kept so that backward passes need no squarings."""

    generate_vmap_rule = True

    @staticmethod
    def forward(matrices: Tensor) -> tuple[Tensor, Tensor]:
        # the bound grows as the matrix does, so that it is the product of both
        gradient = _gradient_of_bound(matrices)
        return (gradient.conj() * matrices).real.sum(dim=(-2, -1)), gradient

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        matrices, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():
            # the gradient of the gradient is asked for
            gradient = _gradient_of_bound(matrices)
        return grad_outputs[0][..., None, None] * gradient


def _gradient_of_bound(matrices: Tensor) -> Tensor:
    """The bound is tr(G^2m)^(1/4m) with G = W^T W, so its gradient is along W G^(2m - 1)."""
    tiny = torch.finfo(matrices.dtype).tiny
    unit = matrices.abs().amax(dim=(-2, -1), keepdim=True).clamp(min=tiny)
    matrices = matrices / unit
    tall = matrices.shape[-2] > matrices.shape[-1]
    gram = matrices.mH @ matrices if tall else matrices @ matrices.mH
    log, power, product = torch.zeros_like(unit), gram, None
    for _ in range(_SQUARINGS + 1):
        power = power if product is None else power @ power
        size = torch.linalg.vector_norm(power, dim=(-2, -1), keepdim=True).clamp(min=tiny)
        power = power / size
        log = 2 * log + size.log()
        # 1 + 2 + 4 + ... + m = 2m - 1
        product = power if product is None else product @ power
    assert product is not None
    bound = unit * (log / 2 ** (_SQUARINGS + 1)).exp()
    along = matrices @ product if tall else product @ matrices
    share = (along.conj() * matrices).real.sum(dim=(-2, -1), keepdim=True).clamp(min=tiny)
    return bound / unit * along / share


class LinearWithin(nn.Module):
    """Scales the weights of a linear layer, so that its largest singular value is at most a number.

    It may be what `torch.nn.utils.parametrize` makes the weights of a layer by.

    Arguments:
        bound: The largest singular value that is allowed.

    Example:
        >>> LinearWithin(0.5)(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        tensor([[0.5000, 0.0000],
                [0.0000, 0.1667]])
    """

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.bound = bound

    def forward(self, weight: Tensor) -> Tensor:
        """The weights, with shape (out_features, in_features)."""
        return _within(weight, spectral_bound(weight), self.bound)


class Conv2dWithin(nn.Module):
    """Scales a kernel, so that the convolution's largest singular value is at most a number.

    A convolution padded with zeros is a part of that on a torus that is wider than the image by the
    kernel's reach. That one acts on each frequency alone, by a matrix of channels, so that its
    largest singular value is the largest of these.

    References:
        Spectral Norm of Convolutional Layers with Circular and Zero Paddings (Delattre, Barthelemy
        & Allauzen, 2024), https://arxiv.org/abs/2402.00240, section III

    Arguments:
        bound: The largest singular value that is allowed.
        kernel_size: The width of the kernel, an odd number.
        size: The height and width of the images.

    Raises:
        ValueError: The kernel is not of odd width.
    """

    def __init__(self, bound: float, kernel_size: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.bound = bound
        reach = kernel_reach(kernel_size)
        # a kernel of one pixel treats all frequencies alike
        self.torus = [max(side + reach, kernel_size) if reach else 1 for side in size]

    def forward(self, weight: Tensor) -> Tensor:
        """The kernel, with shape (out_channels, in_channels, kernel_size, kernel_size)."""
        frequencies = torch.fft.rfft2(weight, s=self.torus).permute(2, 3, 0, 1).flatten(0, 1)
        # only the largest has a gradient
        largest = spectral_bound(frequencies.detach()).argmax()
        return _within(weight, spectral_bound(frequencies[largest]), self.bound)


class Bounded(nn.Module, ABC):
    """A linear layer that stretches no difference of inputs by more than a factor. Abstract."""

    @abstractmethod
    def bounded(self) -> Callable[[Tensor], Tensor]:
        """The layer as a function, whose weights are brought within the bound once."""


class BoundedLinear(Bounded):
    """A linear layer whose largest singular value is at most a number.

    Arguments:
        in_features: The size of the input.
        out_features: The size of the output.
        bound: The largest singular value that is allowed.

    Example:
        >>> layer = BoundedLinear(3, 4, bound=0.5).bounded()
        >>> shift = layer(torch.full((1, 3), 2.0)) - layer(torch.zeros(1, 3))
        >>> bool(shift.norm() <= 0.5 * 12**0.5)
        True
    """

    def __init__(self, in_features: int, out_features: int, bound: float) -> None:
        super().__init__()
        self.within = LinearWithin(bound)
        self.weight = nn.Parameter(_drawn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def bounded(self) -> Callable[[Tensor], Tensor]:
        return partial(F.linear, weight=self.within(self.weight), bias=self.bias)


class BoundedConv2d(Bounded):
    """A convolution padded with zeros, whose largest singular value is at most a number.

    Arguments:
        in_channels: The number of channels of the input.
        out_channels: The number of channels of the output.
        kernel_size: The width of the kernel, an odd number.
        size: The height and width of the images.
        bound: The largest singular value that is allowed.

    Raises:
        ValueError: The kernel is not of odd width.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        size: tuple[int, int],
        bound: float,
    ) -> None:
        super().__init__()
        self.reach = kernel_reach(kernel_size)
        self.within = Conv2dWithin(bound, kernel_size, size)
        self.weight = nn.Parameter(_drawn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def bounded(self) -> Callable[[Tensor], Tensor]:
        weight = self.within(self.weight)
        return partial(F.conv2d, weight=weight, bias=self.bias, padding=self.reach)


class LipSwish(nn.Module):
    r"""A smooth activation whose slope is at most 1, :math:`x \, \sigma(\beta x) / 1.1`.

    References:
        Residual Flows for Invertible Generative Modeling (Chen, Behrmann, Duvenaud & Jacobsen,
        2019), https://arxiv.org/abs/1906.02735, section 3.3
    """

    def __init__(self) -> None:
        super().__init__()
        self.steepness = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """The activations, shaped as x."""
        beta = F.softplus(self.steepness)
        return F.silu(beta * x) / (_STEEPEST * beta)


def _within(weight: Tensor, largest: Tensor, bound: float) -> Tensor:
    return weight * (bound / largest).clamp(max=1)


def _drawn(*shape: int) -> Tensor:
    inputs = torch.Size(shape[1:]).numel()
    return torch.empty(shape).uniform_(-1, 1) / inputs**0.5
