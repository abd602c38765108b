"""A U-Net: an image read at ever coarser resolutions, and written back at ever finer ones."""

__all__ = ["UNet"]

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.networks.attention import Attention, whole
from ptheta.networks.folding import Folded

Layer = TypeVar("Layer", bound=nn.Module)

_GROUPS = 8  # of channels that are normalised together


class UNet(nn.Module):
    r"""Residual blocks on the way down and up, each told of a condition, with bridges across.

    A block is :math:`h + W_2 * \phi((1 + a) \, \nu(W_1 * \phi(\nu(h))) + b)`, with :math:`\nu` a
    group normalisation, :math:`\phi(a) = a \, \sigma(a)`, and a scale a and shift b that a
    perceptron makes of the condition. The coarsest resolution has attention between its blocks.
    Every block and the network start at zero.

    Patches of pixels may be folded into channels before the first resolution, which is several
    times quicker at hardly worse draws on small machines. An image whose sides the coarsest
    resolution does not divide is padded with zeros, and what is padded cut off.

    References:
        U-Net: Convolutional Networks for Biomedical Image Segmentation (Ronneberger, Fischer &
        Brox, 2015), https://arxiv.org/abs/1505.04597
        Denoising Diffusion Probabilistic Models (Ho, Jain & Abbeel, 2020),
        https://arxiv.org/abs/2006.11239, appendix B
        Diffusion Models Beat GANs on Image Synthesis (Dhariwal & Nichol, 2021),
        https://arxiv.org/abs/2105.05233, section 3, for the scale and shift

    Arguments:
        channels: The number of channels of an image.
        condition_features: The size of the condition.
        hidden_channels: The number of channels at the first resolution, a multiple of 8; each
            further one has twice as many, up to four times.
        levels: The number of resolutions, each of half the sides of the one before.
        blocks: The number of blocks at each on the way down; there is one more on the way up.
        patch: The side of a patch that is folded into channels.
        dropout: The share of values within blocks dropped in training.
        out_channels: The number of channels that come out; None means as many as go in.

    Raises:
        ValueError: The hidden channels do not make groups.

    Example:
        >>> import torch
        >>> net = UNet(1, condition_features=4, hidden_channels=8, levels=2)
        >>> net(torch.zeros(5, 1, 7, 7), torch.zeros(5, 4)).shape
        torch.Size([5, 1, 7, 7])
    """

    def __init__(
        self,
        channels: int,
        condition_features: int,
        *,
        hidden_channels: int = 64,
        levels: int = 2,
        blocks: int = 2,
        patch: int = 1,
        dropout: float = 0.0,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        if hidden_channels % _GROUPS:
            raise ValueError(f"hidden_channels must be a multiple of 8, got {hidden_channels}")
        self.folded = Folded(channels, patch, multiple=2 ** (levels - 1))
        widths = [hidden_channels * min(4, 2**level) for level in range(levels)]
        given = 4 * hidden_channels
        self.told = nn.Sequential(
            nn.Linear(condition_features, given), nn.SiLU(), nn.Linear(given, given), nn.SiLU()
        )
        self.enter = nn.Conv2d(self.folded.channels, widths[0], 3, padding=1)
        down: list[nn.Module] = []
        kept, width = [widths[0]], widths[0]
        for level, wider in enumerate(widths):
            if level:
                down.append(_Coarser(width))
                kept.append(width)
            for _ in range(blocks):
                down.append(_Block(width, wider, given, dropout))
                width = wider
                kept.append(width)
        self.down = nn.ModuleList(down)
        self.middle = nn.ModuleList(
            [
                _Block(width, width, given, dropout),
                _Looking(width),
                _Block(width, width, given, dropout),
            ]
        )
        up: list[nn.Module] = []
        for level, narrower in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                up.append(_Block(width + kept.pop(), narrower, given, dropout))
                width = narrower
            if level:
                up.append(_Finer(width))
        self.up = nn.ModuleList(up)
        self.leave = nn.Sequential(
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(),
            _zero(nn.Conv2d(width, (out_channels or channels) * patch**2, 3, padding=1)),
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Maps images, with shape (batch, channels, height, width), to those of out_channels.

        Arguments:
            x: The images.
            condition: What they are told, with shape (batch, condition_features).
        """
        given = self.told(condition)
        h = self.enter(self.folded.fold(x))
        kept = [h]
        for step in self.down:
            h = step(h, given)
            kept.append(h)
        for step in self.middle:
            h = step(h, given)
        for step in self.up:
            h = step(h if isinstance(step, _Finer) else _beside(h, kept.pop()), given)
        return self.folded.unfold(self.leave(h), x)


class _Block(nn.Module):
    def __init__(self, inward: int, outward: int, given: int, dropout: float) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(_GROUPS, inward)
        self.first = nn.Conv2d(inward, outward, 3, padding=1)
        self.told = _zero(nn.Linear(given, 2 * outward))
        self.second_norm = nn.GroupNorm(_GROUPS, outward)
        self.dropout = nn.Dropout(dropout)
        self.second = _zero(nn.Conv2d(outward, outward, 3, padding=1))
        self.past = nn.Identity() if inward == outward else nn.Conv2d(inward, outward, 1)

    def forward(self, h: Tensor, given: Tensor) -> Tensor:
        inner = self.second_norm(self.first(F.silu(self.first_norm(h))))
        scale, shift = self.told(given)[:, :, None, None].chunk(2, dim=1)
        inner = F.silu(torch.addcmul(shift, inner, 1 + scale))
        return self.past(h) + self.second(self.dropout(inner))


class _Looking(nn.Module):
    """Attention of every pixel to all, which convolutions have told where they are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.attention = Attention(channels, math.gcd(channels // _GROUPS, 4))
        _zero(self.attention.outward)

    def forward(self, h: Tensor, given: Tensor) -> Tensor:
        pixels = self.norm(h).flatten(2).transpose(1, 2)
        return h + self.attention(pixels, None, whole).transpose(1, 2).unflatten(2, h.shape[2:])


class _Coarser(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, h: Tensor, given: Tensor) -> Tensor:
        return self.convolution(h)


class _Finer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, h: Tensor, given: Tensor) -> Tensor:
        return self.convolution(F.interpolate(h, scale_factor=2.0))


def _beside(h: Tensor, kept: Tensor) -> Tensor:
    return torch.cat([h, kept], dim=1)


def _zero(layer: Layer) -> Layer:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
