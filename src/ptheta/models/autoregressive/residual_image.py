"""Images by residual blocks of layers that see the rows above themselves."""

__all__ = ["ResidualImages"]

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from ptheta.models.autoregressive.image import CausalImages, spread_colours
from ptheta.networks.causal import CausalConv2d, Evaluate, EvaluateStates, raster
from ptheta.spaces import Categorical, Discrete, Real


class ResidualImages(CausalImages):
    """A masked convolution of width 7 that reads the image, and residual blocks. Abstract.

    Required: `blocks`, set by the subclass's constructor. A block is called with its input and an
    `EvaluateStates`, and gives what follows.

    References:
        Pixel Recurrent Neural Networks (van den Oord, Kalchbrenner & Kavukcuoglu, 2016),
        https://arxiv.org/abs/1601.06759, section 3.3, figure 5 and table 1

    Arguments:
        space: The space of the images.
        context_space: What they are conditioned on, or None.
        channels: The number of channels between blocks, 2h in the paper; within, it is half.
        components: The number of logistics of a mixture, for many levels.
        softmax_levels: The number of levels up to which each level has a logit of its own.

    Attributes:
        outer: The colour of each channel between blocks.
        inner: The colour of each channel within.

    Raises:
        ValueError: The space is not one of images of levels.
    """

    blocks: nn.ModuleList
    outer: Tensor
    inner: Tensor

    def __init__(
        self,
        space: Discrete,
        context_space: Categorical | Real | None,
        *,
        channels: int,
        components: int,
        softmax_levels: int,
    ) -> None:
        super().__init__(
            space,
            context_space,
            channels=channels,
            components=components,
            softmax_levels=softmax_levels,
        )
        count = space.shape[0]
        inner = spread_colours(max(1, channels // 2), count)
        self.register_buffer("outer", spread_colours(channels, count), persistent=False)
        self.register_buffer("inner", inner, persistent=False)
        self.enter = raster(torch.arange(count), self.outer, 7, hidden_from_itself=True)

    @property
    def first(self) -> CausalConv2d:
        return self.enter

    def above(self, x: Tensor, evaluate: Evaluate) -> Iterator[Tensor]:
        """Nothing: its layers see the rows above themselves."""
        return iter(())

    def hidden(self, x: Tensor | None, above: Iterable[Tensor], evaluate: EvaluateStates) -> Tensor:
        y = evaluate(self.enter, x)
        for block in self.blocks:
            y = block(y, evaluate)
        return y
