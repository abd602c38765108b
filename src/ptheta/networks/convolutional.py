"""Convolutional networks that keep the size of an image."""

__all__ = ["ContextConv2d", "PooledCNN", "ResidualCNN"]

import torch
from torch import Tensor, nn

from ptheta.networks.context import ContextShift, check_features
from ptheta.networks.folding import Folded


class ContextConv2d(nn.Module):
    r"""A convolution of 3 x 3, whose outputs a context shifts alike in all pixels.

    .. math:: y = W * x + b + V c

    Edges are padded with zeros, so that the image keeps its size.

    Arguments:
        in_channels: The number of channels of the input.
        out_channels: The number of channels of the output.
        context_features: The number of features of the context; 0 means that there is none.
        zero: Whether all weights start at zero.

    Example:
        >>> layer = ContextConv2d(1, 2, context_features=3)
        >>> layer(torch.zeros(5, 1, 8, 8), torch.zeros(5, 3)).shape
        torch.Size([5, 2, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        context_features: int = 0,
        *,
        zero: bool = False,
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.context_features = context_features
        self.shift = ContextShift.of(context_features, out_channels)
        if zero:
            for parameter in self.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The outputs, with shape (batch, out_channels, height, width).

        Arguments:
            x: The inputs, with shape (batch, in_channels, height, width).
            context: The features of the context, with shape (batch, context_features), or None.
        """
        check_features(context, self.context_features)
        y = self.convolution(x)
        return y if self.shift is None else y + self.shift(context)[:, :, None, None]


class ResidualCNN(nn.Module):
    r"""Blocks of convolutions that each add to what is before them.

    A block is :math:`h + W_2 * \phi(W_1 * \phi(h) + V c)`. The last layer of every block starts
    at zero, which keeps deep networks steady without normalisation; so does that of the network.

    References:
        Identity Mappings in Deep Residual Networks (He et al., 2016),
        https://arxiv.org/abs/1603.05027

    Arguments:
        in_channels: The number of channels of the input.
        out_channels: The number of channels of the output.
        hidden_channels: The number of channels of every hidden layer.
        blocks: The number of blocks, of two layers each.
        context_features: The number of features of the context; 0 means that there is none.
        dropout: The share of hidden channels' values dropped in training.

    Example:
        >>> net = ResidualCNN(1, 2, 16, context_features=3)
        >>> y = net(torch.ones(5, 1, 8, 8), torch.ones(5, 3))
        >>> y.shape, y.count_nonzero().item()
        (torch.Size([5, 2, 8, 8]), 0)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        blocks: int = 2,
        context_features: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.enter = ContextConv2d(in_channels, hidden_channels, context_features)
        self.blocks = nn.ModuleList(
            _Block(hidden_channels, context_features, dropout) for _ in range(blocks)
        )
        self.leave = ContextConv2d(hidden_channels, out_channels, zero=True)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The outputs, with shape (batch, out_channels, height, width).

        Arguments:
            x: The inputs, with shape (batch, in_channels, height, width).
            context: The features of the context, with shape (batch, context_features), or None.
        """
        h = self.enter(x, context)
        for block in self.blocks:
            h = block(h, context)
        return self.leave(torch.relu(h))


class PooledCNN(nn.Module):
    """A residual network of convolutions over patches, whose outputs are averaged over the image.

    Arguments:
        channels: The number of channels of an image.
        out_features: The size of the output.
        hidden_channels: The number of channels of every hidden layer.
        blocks: The number of blocks, of two layers each.
        condition_features: The size of a condition; 0 means that there is none.
        patch: The side of a patch of pixels that is folded into channels.

    Example:
        >>> net = PooledCNN(1, 3, 8, condition_features=2, patch=2)
        >>> net(torch.ones(5, 1, 7, 7), torch.ones(5, 2)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        channels: int,
        out_features: int,
        hidden_channels: int,
        blocks: int = 3,
        *,
        condition_features: int = 0,
        patch: int = 1,
    ) -> None:
        super().__init__()
        self.folded = Folded(channels, patch)
        self.network = ResidualCNN(
            self.folded.channels, out_features, hidden_channels, blocks, condition_features
        )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Maps images, with shape (batch, channels, height, width), to (batch, out_features)."""
        return self.network(self.folded.fold(x), condition).mean(dim=(2, 3))


class _Block(nn.Module):
    def __init__(self, channels: int, context_features: int, dropout: float) -> None:
        super().__init__()
        self.first = ContextConv2d(channels, channels, context_features)
        self.second = ContextConv2d(channels, channels, zero=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, context: Tensor | None) -> Tensor:
        inner = torch.relu(self.first(torch.relu(h), context))
        return h + self.second(self.dropout(inner))
