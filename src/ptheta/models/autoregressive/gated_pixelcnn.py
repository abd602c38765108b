"""Gated PixelCNN: images by a vertical and a horizontal stack of gated convolutions."""

__all__ = ["GatedPixelCNN"]

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from ptheta.models.autoregressive.image import CausalImages, spread_colours
from ptheta.networks.causal import CausalConv2d, Evaluate, along, vertical
from ptheta.spaces import Categorical, Discrete, Real


class GatedPixelCNN(CausalImages):
    r"""Gated PixelCNN, for images of levels, of any number of colours.

    A vertical stack sees all rows above, a horizontal one what is to the left, and the first is
    added to the second in each layer, so that no pixel of the past is unseen. The units are

    .. math:: y = \tanh(W_f * x + V_f h) \odot \sigma(W_g * x + V_g h)

    in both, with h the context.

    References:
        Conditional Image Generation with PixelCNN Decoders (van den Oord et al., 2016),
        https://arxiv.org/abs/1606.05328, equations 2 and 4, and figure 2

    Arguments:
        space: The space of the images.
        context_space: What they are conditioned on, or None.
        channels: The number of channels of each stack.
        layers: The number of layers.
        kernel_size: The width of the kernels after the first layer, an odd number; there it is 7.
        components: The number of logistics of a mixture, for many levels.
        softmax_levels: The number of levels up to which each level has a logit of its own.
        dropout: The share of gated units of the horizontal stack that is dropped in training.

    Raises:
        ValueError: The space is not one of images of levels, or the width is even.

    Example:
        >>> from ptheta.spaces import Binary
        >>> model = GatedPixelCNN(Binary((1, 2, 2), "image"), channels=4, layers=2)
        >>> every = torch.cartesian_prod(*[torch.arange(2)] * 4).reshape(-1, 1, 2, 2)
        >>> bool(torch.isclose(model.log_prob(every).exp().sum(), torch.tensor(1.0)))
        True
    """

    def __init__(
        self,
        space: Discrete,
        context_space: Categorical | Real | None = None,
        *,
        channels: int = 32,
        layers: int = 10,
        kernel_size: int = 3,
        components: int = 5,
        softmax_levels: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            space,
            context_space,
            channels=channels,
            components=components,
            softmax_levels=softmax_levels,
        )
        count = space.shape[0]
        colours, given = spread_colours(channels, count), self.context.features
        reader = _Layer(torch.arange(count), colours, 7, given, dropout, first=True)
        others = (_Layer(colours, colours, kernel_size, given, dropout) for _ in range(1, layers))
        self.layers = nn.ModuleList([reader, *others])

    @property
    def first(self) -> CausalConv2d:
        return self._stack[0].horizontal

    def above(self, x: Tensor, evaluate: Evaluate) -> Iterator[Tensor]:
        """What the vertical stack adds to each layer of the horizontal one."""
        for layer in self._stack:
            features = evaluate(layer.vertical, x)
            yield layer.link(features)
            x = _gate(features)

    def hidden(self, x: Tensor | None, above: Iterable[Tensor], evaluate: Evaluate) -> Tensor:
        first, *others = self._stack
        links = iter(above)
        y = first(x, next(links), evaluate)
        # the vertical stack goes along, and is not asked for the units after its last layer
        for layer, link in zip(others, links, strict=False):
            y = y + layer(y, link, evaluate)
        return y

    @property
    def _stack(self) -> list["_Layer"]:
        return [layer for layer in self.layers if isinstance(layer, _Layer)]


class _Layer(nn.Module):
    def __init__(
        self,
        before: Tensor,
        after: Tensor,
        kernel_size: int,
        context_features: int,
        dropout: float,
        *,
        first: bool = False,
    ) -> None:
        super().__init__()
        gates = after.repeat(2)
        self.vertical = vertical(len(before), len(gates), kernel_size, context_features)
        self.link = nn.Conv2d(len(gates), len(gates), 1, bias=False)
        self.horizontal = along(
            before,
            gates,
            kernel_size,
            hidden_from_itself=first,
            context_features=context_features,
        )
        self.leave = along(after, after, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor | None, added: Tensor, evaluate: Evaluate) -> Tensor:
        """The horizontal stack; what the vertical one adds is given."""
        y = _gate(evaluate(self.horizontal, x, added))
        return evaluate(self.leave, self.dropout(y))


def _gate(x: Tensor) -> Tensor:
    features, gates = x.chunk(2, dim=1)
    return features.tanh() * gates.sigmoid()
