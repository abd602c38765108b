r"""Networks of values in an order, that see the values before and grow with each value itself.

Units belong to values. A unit sees those of its own value and of values before it; a weight within
one value counts by its size alone, and the activations grow, so that the slope of an output by its
own value is not negative. It needs no Jacobian:

.. math:: s^{(l)} = \phi'(a^{(l)}) \odot \left(|W^{(l)}_\text{own}| \, s^{(l-1)}\right)

Every other unit takes the activation turned about the origin, so that slopes can fall with a value
as well as rise.
"""

__all__ = ["Monotone", "MonotoneConv2d", "MonotoneLinear", "MonotoneNetwork"]

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ptheta.networks.causal import raster
from ptheta.networks.context import ContextShift, check_features
from ptheta.networks.masked import MaskedLinear


class Monotone(nn.Module, ABC):
    """A masked linear layer whose weights within a value are not negative. Abstract."""

    @abstractmethod
    def forward(self, x: Tensor, slope: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """The outputs, and their slopes by the values that they belong to.

        Arguments:
            x: The inputs, with shape (batch, inputs, ...).
            slope: Their slopes by the values that they belong to, shaped as x.
            context: Features of the context, with shape (batch, context_features), or None.
        """


class MonotoneLinear(Monotone):
    """Of vectors.

    Arguments:
        inputs: The value that each input belongs to.
        outputs: The value that each output belongs to.
        context_features: The number of features of the context; 0 means that there is none.
    """

    own: Tensor

    def __init__(self, inputs: Tensor, outputs: Tensor, context_features: int = 0) -> None:
        super().__init__()
        self.layer = MaskedLinear(outputs[:, None] >= inputs)
        self.register_buffer("own", outputs[:, None] == inputs, persistent=False)
        self.context_features = context_features
        self.given = ContextShift.of(context_features, len(outputs))

    def forward(self, x: Tensor, slope: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        check_features(context, self.context_features)
        weight, bias = self.layer.weight_and_bias
        weight = _sized(weight, self.own)
        y = F.linear(x, weight, bias)
        if self.given is not None:
            y = y + self.given(context)
        return y, F.linear(slope, weight * self.own)


class MonotoneConv2d(Monotone):
    """Of images, whose values stand in raster order.

    Arguments:
        inputs: The colour of each input channel, ascending.
        outputs: The colour of each output channel.
        kernel_size: The width of the kernel, an odd number.
        context_features: The number of features of the context; 0 means that there is none.
    """

    own: Tensor

    def __init__(
        self, inputs: Tensor, outputs: Tensor, kernel_size: int, context_features: int = 0
    ) -> None:
        super().__init__()
        self.context_features = context_features
        self.layer = raster(inputs, outputs, kernel_size, context_features=context_features)
        own = torch.zeros_like(self.layer.mask, dtype=torch.bool)
        own[:, :, self.layer.above, self.layer.left] = outputs[:, None] == inputs
        self.register_buffer("own", own, persistent=False)

    def forward(self, x: Tensor, slope: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        check_features(context, self.context_features)
        weight = _sized(self.layer.weight, self.own)
        y: Tensor = functional_call(self.layer, {"weight": weight}, (x, context))
        row, column = self.layer.above, self.layer.left
        pixel = (weight * self.own)[:, :, row : row + 1, column : column + 1]
        return y, F.conv2d(slope, pixel)


class MonotoneNetwork(nn.Module):
    """Monotone layers with activations between them.

    Arguments:
        layers: The layers.
        sizes: The number of units, or of channels, of each hidden layer.
    """

    def __init__(self, layers: Sequence[Monotone], sizes: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        for i, size in enumerate(sizes):
            sign = 1.0 - 2.0 * (torch.arange(size) % 2)
            self.register_buffer(f"sign_{i}", sign, persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The outputs, and the slope of each by its own value.

        Arguments:
            x: The values, with shape (batch, values) or (batch, colours, height, width).
            context: Features of the context, with shape (batch, context_features), or None.
        """
        first, *others = self.layers
        h, slope = first(x, torch.ones_like(x), context)
        for i, layer in enumerate(others):
            sign = self.get_buffer(f"sign_{i}").reshape(-1, *(1,) * (x.dim() - 2))
            turned = sign * h
            # the slope of the exponential linear unit
            slope = slope * turned.clamp(max=0).exp()
            h, slope = layer(sign * F.elu(turned), slope, context)
        return h, slope


def _sized(weight: Tensor, own: Tensor) -> Tensor:
    return weight * torch.where(own & (weight < 0), -1.0, 1.0).to(weight)
