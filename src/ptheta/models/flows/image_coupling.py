"""Couplings of images, whose coefficients a convolutional network gives."""

__all__ = ["ChannelCoupling", "CheckerboardCoupling", "Conditioner", "ImageCoupling"]

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ptheta.models.flows.bijections import Bijection
from ptheta.models.flows.univariate import Univariate

# makes a network of (image, context) from the numbers of its input and output channels
Conditioner = Callable[[int, int], nn.Module]


class ImageCoupling(Bijection, ABC):
    r"""Maps of some values of an image, whose coefficients depend on those that stay.

    .. math:: x_a = z_a, \qquad x_b = \tau(z_b; \theta(z_a))

    Required: what the network sees, which values are moved, and where they go back to.

    Arguments:
        univariate: The map of a value.
        network: The network, from what it sees to (size * moved channels) channels.
    """

    def __init__(self, univariate: Univariate, network: nn.Module) -> None:
        super().__init__()
        self.univariate = univariate
        self.network = network

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        seen, moved = self._split(z)
        x, log_slope = self.univariate.forward(moved, self._coefficients(seen, context))
        return self._join(z, x, log_slope)

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        seen, moved = self._split(x)
        z, log_slope = self.univariate.inverse(moved, self._coefficients(seen, context))
        return self._join(x, z, log_slope)

    def _coefficients(self, seen: Tensor, context: Tensor | None) -> Tensor:
        return self.network(seen, context).unflatten(1, (self.univariate.size, -1)).movedim(1, 0)

    @abstractmethod
    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the network sees of an image, and the values that are mapped."""

    @abstractmethod
    def _join(self, x: Tensor, mapped: Tensor, log_slope: Tensor) -> tuple[Tensor, Tensor]:
        """The image with its mapped values, and the log-determinant."""


class ChannelCoupling(ImageCoupling):
    """A coupling of the second half of the channels, given the first.

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2016),
        https://arxiv.org/abs/1605.08803, section 3.4
        Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
        https://arxiv.org/abs/1807.03039, section 3.3

    Arguments:
        univariate: The map of a value.
        channels: The number of channels, at least 2.
        conditioner: Makes the network.
        flip: Whether the second half conditions the first, and not the other way round.

    Raises:
        ValueError: There is one channel only.

    Example:
        >>> from functools import partial
        >>> from ptheta.models.flows.univariate import Affine
        >>> from ptheta.networks.convolutional import ResidualCNN
        >>> conditioner = partial(ResidualCNN, hidden_channels=8)
        >>> coupling = ChannelCoupling(Affine(), 4, conditioner)
        >>> coupling(torch.zeros(5, 4, 8, 8)).shape
        torch.Size([5, 4, 8, 8])
    """

    def __init__(
        self,
        univariate: Univariate,
        channels: int,
        conditioner: Conditioner,
        *,
        flip: bool = False,
    ) -> None:
        if channels < 2:
            raise ValueError(
                f"a coupling of channels needs at least 2, got {channels}; squeeze the image "
                "first, or take a checkerboard"
            )
        sizes = channels - channels // 2, channels // 2
        fixed, moved = reversed(sizes) if flip else sizes
        super().__init__(univariate, conditioner(fixed, univariate.size * moved))
        self.sizes = sizes
        self.flip = flip

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _check_images(x, sum(self.sizes))
        first, second = x.split(self.sizes, dim=1)
        return (second, first) if self.flip else (first, second)

    def _join(self, x: Tensor, mapped: Tensor, log_slope: Tensor) -> tuple[Tensor, Tensor]:
        fixed = self._split(x)[0]
        whole = torch.cat([mapped, fixed] if self.flip else [fixed, mapped], dim=1)
        return whole, log_slope.flatten(1).sum(dim=1)


class CheckerboardCoupling(ImageCoupling):
    """A coupling of every other pixel, as on a checkerboard, given the pixels beside it.

    The network sees the image with zeros in the place of what is mapped. It gives coefficients for
    all pixels, and those of pixels that stay are left out.

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2016),
        https://arxiv.org/abs/1605.08803, section 3.4 and equation 9

    Arguments:
        univariate: The map of a value.
        channels: The number of channels.
        conditioner: Makes the network.
        flip: Whether the upper left pixel is mapped, and does not stay.

    Raises:
        ValueError: In a call: the image has one pixel only.

    Example:
        >>> from functools import partial
        >>> from ptheta.models.flows.univariate import Affine
        >>> from ptheta.networks.convolutional import ResidualCNN
        >>> conditioner = partial(ResidualCNN, hidden_channels=8)
        >>> coupling = CheckerboardCoupling(Affine(), 1, conditioner)
        >>> coupling(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 1, 8, 8])
    """

    def __init__(
        self,
        univariate: Univariate,
        channels: int,
        conditioner: Conditioner,
        *,
        flip: bool = False,
    ) -> None:
        super().__init__(univariate, conditioner(channels, univariate.size * channels))
        self.channels = channels
        self.flip = flip

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _check_images(x, self.channels)
        return torch.where(self._stays(x), x, 0), x

    def _join(self, x: Tensor, mapped: Tensor, log_slope: Tensor) -> tuple[Tensor, Tensor]:
        stays = self._stays(x)
        counted = torch.where(stays, 0, log_slope)
        return torch.where(stays, x, mapped), counted.flatten(1).sum(dim=1)

    def _stays(self, x: Tensor) -> Tensor:
        """Which pixels stay, with shape (height, width)."""
        if x.shape[2:].numel() < 2:
            raise ValueError("a checkerboard needs two pixels at least, one to condition on")
        rows, columns = (torch.arange(n, device=x.device) for n in x.shape[2:])
        return (rows[:, None] + columns) % 2 == int(self.flip)


def _check_images(x: Tensor, channels: int) -> None:
    if x.dim() != 4 or x.shape[1] != channels:
        raise ValueError(
            f"expected images of shape (batch, {channels}, height, width), got {tuple(x.shape)}"
        )
