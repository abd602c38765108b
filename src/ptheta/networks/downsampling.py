"""Convolutional networks that halve an image from layer to layer, down to a few numbers."""

__all__ = ["DownsamplingCNN"]

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.utils import parametrize

from ptheta.networks.convolutional import ContextConv2d
from ptheta.networks.folding import Folded
from ptheta.networks.lipschitz import Conv2dWithin, LinearWithin


class DownsamplingCNN(nn.Module):
    """Convolutions of 3 x 3 over patches of 2 x 2, each at half the resolution, and a linear layer.

    It reads images as vectors, with the features of a context after them, and so stands where a
    multilayer perceptron of vectors would. Sides that are odd are padded with zeros.

    References:
        Implicit Generation and Modeling with Energy Based Models (Du & Mordatch, 2019),
        https://arxiv.org/abs/1903.08689, section 3.3, for spectral normalisation of energies

    Arguments:
        shape: The channels, height and width of an image.
        out_features: The size of the output.
        hidden_channels: The number of channels of each hidden layer.
        context_features: The number of features of the context; 0 means that there is none.
        activation: Makes the activation.
        spectral_norm: What the largest singular value of every layer is at most; None leaves the
            layers free. The context shifts the layers by as much as it likes.

    Example:
        >>> import torch
        >>> net = DownsamplingCNN((1, 7, 7), 3, [8, 16], context_features=2)
        >>> net(torch.zeros(5, 51)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        out_features: int,
        hidden_channels: Sequence[int],
        context_features: int = 0,
        activation: Callable[[], nn.Module] = nn.SiLU,
        *,
        spectral_norm: float | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.context_features = context_features
        self.halve = [Folded(channels, 2) for channels in (shape[0], *hidden_channels[:-1])]
        self.layers = nn.ModuleList(
            ContextConv2d(folded.channels, channels, context_features)
            for folded, channels in zip(self.halve, hidden_channels, strict=True)
        )
        self.activations = nn.ModuleList(activation() for _ in hidden_channels)
        sizes = _halved(shape[1:], len(hidden_channels))
        height, width = sizes[-1]
        self.leave = nn.Linear(hidden_channels[-1] * height * width, out_features)
        if spectral_norm is not None:
            for layer, size in zip(self.layers, sizes, strict=True):
                assert isinstance(layer, ContextConv2d)
                within = Conv2dWithin(spectral_norm, 3, size)
                parametrize.register_parametrization(layer.convolution, "weight", within)
            parametrize.register_parametrization(self.leave, "weight", LinearWithin(spectral_norm))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, channels * height * width + context_features) to (batch, out_features)."""
        values = x.shape[1] - self.context_features
        h = x[:, :values].unflatten(1, self.shape)
        context = x[:, values:] if self.context_features else None
        for folded, layer, activation in zip(
            self.halve, self.layers, self.activations, strict=True
        ):
            h = activation(layer(folded.fold(h), context))
        return self.leave(h.flatten(1))


def _halved(size: Sequence[int], times: int) -> list[tuple[int, int]]:
    sizes = [(size[0], size[1])]
    for _ in range(times):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes[1:]
