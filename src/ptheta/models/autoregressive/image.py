r"""Images whose values are given by those before them in raster order, by causal convolutions.

.. math:: p(x) = \prod_{r, c} \prod_k p(x_{r c k} \mid x_{< (r, c)}, x_{r c, < k})

with the rows r from the top, the pixels c from left to right, and the colours k in turn.
"""

__all__ = ["CausalImages", "spread_colours"]

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from ptheta.models.autoregressive.distribution import Autoregressive
from ptheta.models.heads.head import Factorised, Head, kind_of
from ptheta.models.normalised import Normalised
from ptheta.networks.causal import CausalConv2d, Evaluate, EvaluateStates, Whole, raster
from ptheta.networks.context import ContextFeatures
from ptheta.networks.features import Encode, Features
from ptheta.networks.incremental import Pixels, Rows
from ptheta.spaces import Categorical, Discrete, Real, Space

_FITTED_VALUES = 2**22  # that the marginals are taken from


class CausalImages(Normalised):
    """A model of images by causal convolutions. Abstract: the network is the subclass's.

    Required: `first`, the layer that reads the image; `above`, what a row knows of the rows above
    it apart from its own pixels; `hidden`, the network after the first layer. All layers are
    called through the `Evaluate` that is handed in, and what is done between them acts on each
    channel alike. Promised: draws are those of a whole evaluation for each value.

    Optional: `margin`, how many columns without values the network is to see at the right of the
    image, where what is at the end of a row can be taken up.

    Arguments:
        space: The space of the images.
        context_space: What they are conditioned on, or None.
        channels: The number of channels that reach the last layers.
        components: The number of logistics of a mixture, for many levels.
        softmax_levels: The number of levels up to which each level has a logit of its own.

    Raises:
        ValueError: The space is not one of images of levels.
    """

    margin = 0

    def __init__(
        self,
        space: Discrete,
        context_space: Categorical | Real | None,
        *,
        channels: int,
        components: int,
        softmax_levels: int,
    ) -> None:
        super().__init__()
        if space.layout != "image" or len(space.shape) != 3:
            raise ValueError(f"expected images of levels, got {space.describe()}")
        self.space: Space = space
        self.features = Features(space)
        self.context = ContextFeatures(context_space)
        self.head = Head(
            space, choose=lambda group: kind_of(group.space, components, 0.0, softmax_levels)
        )
        count = space.shape[0]
        size = self.head.kinds[0].size
        colours = spread_colours(channels, count)
        self.middle = raster(colours, colours, 1)
        self.output = raster(colours, torch.arange(count).repeat_interleave(size), 1)

    @property
    @abstractmethod
    def first(self) -> CausalConv2d:
        """The layer that reads the image."""

    @abstractmethod
    def above(self, x: Tensor, evaluate: Evaluate) -> Iterator[Tensor]:
        """What is known of layers from the rows above, to be added where they are called.

        It comes layer by layer, so that images taken whole need not be held for all layers.

        Arguments:
            x: The features of the image moved down by a row, with shape (n, colours, rows, width).
            evaluate: Computes layers.
        """

    @abstractmethod
    def hidden(self, x: Tensor | None, above: Iterable[Tensor], evaluate: EvaluateStates) -> Tensor:
        """The channels that the last layers see.

        Arguments:
            x: The features of the image, or None where `first` has them already.
            above: What `above` gave.
            evaluate: Computes layers.
        """

    def forward(self, context: Tensor | None = None) -> Autoregressive:
        """The distribution of images, given the context if the model is conditional."""
        return Autoregressive(self, self.output.weight.device, context)

    def conditionals(self, x: Tensor, context: Tensor | None = None) -> Factorised:
        """The distribution of each value given those before it.

        Arguments:
            x: The images, with shape (batch, *space.shape).
            context: What they are conditioned on.

        Raises:
            ValueError: The images are of another size than the model.
        """
        if x.shape[1:] != self.space.shape:
            raise ValueError(
                f"expected images of shape {self.space.shape}, got {tuple(x.shape[1:])}"
            )
        features = self.features(x).reshape(x.shape)
        evaluate = Whole(self.context(context, len(x)))
        features = F.pad(features, (0, self.margin)) if self.margin else features
        moved = F.pad(features, (0, 0, 1, -1))
        hidden = self.hidden(features, self.above(moved, evaluate), evaluate)
        parameters = self._from_hidden(hidden, evaluate)[..., : x.shape[3]]
        # from (batch, colours x size, ...) to what the head wants, (batch, size x values)
        parts = parameters.unflatten(1, (self.space.shape[0], -1)).transpose(1, 2)
        return self.head(parts.flatten(1))

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts near the product of the marginals of the colours.

        Arguments:
            x: The training images, with shape (rows, *space.shape).
            context: Not looked at.
        """
        step = -(-x.numel() // _FITTED_VALUES)
        values = x[::step].movedim(1, -1).flatten(0, -2)
        self.output.bias.copy_(self.head.kinds[0].fit(values).T.flatten())
        self.output.weight.mul_(0.1)

    @torch.no_grad()
    def draw(self, uniforms: Tensor, context: Tensor | None = None) -> Tensor:
        """Images as a deterministic function of noise, of which each value costs its own only.

        Arguments:
            uniforms: Noise from [0, 1), with shape (2, space.features, n), in the values' order.
            context: What they are conditioned on, with n rows.

        Returns:
            The images, with shape (n, *space.shape).
        """
        n = uniforms.shape[2]
        colours, height, width = self.space.shape
        given = self.context(context, n)
        rows, pixels = Rows(given), Pixels(n, width + self.margin, colours, given)
        noise = uniforms.reshape(2, colours, height, width, n)
        drawn = self.output.weight.new_empty(colours, height, width, n)
        features = self.output.weight.new_zeros(n, colours, 1, width)
        encode = self.features.by_value()[0]
        for r in range(height):
            above = list(self.above(features, rows))
            self._draw_row(drawn[:, r], noise[:, :, r], above, pixels, encode)
            features = pixels.row(self.first)
        return drawn.movedim(-1, 0).to(self.space.dtype)

    def _draw_row(
        self, drawn: Tensor, noise: Tensor, above: list[Tensor], pixels: Pixels, encode: Encode
    ) -> None:
        colours, width = drawn.shape[:2]
        kind = self.head.kinds[0]
        for c, k in product(range(width + self.margin), range(colours)):
            pixels.column, pixels.colour = c, k
            hidden = self.hidden(None, above, pixels)
            if c < width:
                parameters = self._from_hidden(hidden, pixels)
                x = drawn[k, c] = kind.draw(parameters.T, noise[:, k, c])
                pixels.write(self.first, encode(x).T)

    def _from_hidden(self, hidden: Tensor, evaluate: Evaluate) -> Tensor:
        return evaluate(self.output, evaluate(self.middle, hidden.relu()).relu())


def spread_colours(channels: int, colours: int) -> Tensor:
    """The colour of each channel of a hidden layer: groups as equal as can be, in order.

    Arguments:
        channels: The number of channels.
        colours: The number of colours.

    Example:
        >>> spread_colours(7, 3).tolist()
        [0, 0, 0, 1, 1, 2, 2]
    """
    return torch.arange(channels) * colours // channels
