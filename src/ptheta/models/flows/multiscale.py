"""Bijections of images that change their size: squeezing, and noise that leaves level by level."""

__all__ = ["MultiScale", "Squeeze"]

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.models.flows.bijections import Bijection, bijections_of, check_shape


class Squeeze(Bijection):
    """Trades size for channels: each block of 2 x 2 pixels of the data is a pixel of the noise.

    A channel of the data becomes four that stand side by side, for the upper left pixel of a
    block, the upper right, the lower left and the lower right.

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2016),
        https://arxiv.org/abs/1605.08803, section 3.6 and figure 3

    Both ways raise ValueError where what they are given are no images, or their sides are odd.

    Example:
        >>> z, _ = Squeeze().inverse_and_log_det(torch.arange(4.0).reshape(1, 1, 2, 2))
        >>> z.shape, z.flatten().tolist()
        (torch.Size([1, 4, 1, 1]), [0.0, 1.0, 2.0, 3.0])
    """

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if z.dim() != 4 or z.shape[1] % 4 != 0:
            raise ValueError(
                "expected squeezed images of shape (batch, channels, height, width) with a "
                f"multiple of 4 channels, got {tuple(z.shape)}"
            )
        return F.pixel_shuffle(z, 2), z.new_zeros(len(z))

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if x.dim() != 4 or x.shape[2] % 2 != 0 or x.shape[3] % 2 != 0:
            raise ValueError(
                "expected images of shape (batch, channels, height, width) whose sides are even, "
                f"got {tuple(x.shape)}; crop or pad them, or squeeze fewer times"
            )
        # torch's pixel_unshuffle gives a batch of no rows a wrong shape, and so is not taken
        blocks = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 1, 3, 5, 2, 4)
        return blocks.flatten(1, 3), x.new_zeros(len(x))


class MultiScale(Bijection):
    """Levels of bijections of images; after each but the last, half of the channels leave as noise.

    The first half of the channels go on to the next level. The noise of all levels is one flat
    vector, in the order in which it leaves. A level whose last bijection before noise is a coupling
    of the second half given the first gives what leaves a learned prior, while the noise itself
    stays standard.

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2016),
        https://arxiv.org/abs/1605.08803, section 3.6

    Arguments:
        levels: The bijections of the levels, that of the data first.
        shapes: The shape (channels, height, width) of the noise of each level.

    Raises:
        ValueError: There is not a shape for each level, or a level from which half should leave
            has an odd number of channels.

    Example:
        >>> flow = MultiScale([Squeeze(), Squeeze()], [(4, 2, 2), (8, 1, 1)])
        >>> z, _ = flow.inverse_and_log_det(torch.zeros(5, 1, 4, 4))
        >>> z.shape
        torch.Size([5, 16])
    """

    def __init__(self, levels: Sequence[Bijection], shapes: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        if not levels or len(levels) != len(shapes):
            raise ValueError(
                f"expected a shape for each of at least one level, got {len(levels)} levels and "
                f"{len(shapes)} shapes"
            )
        for channels, height, width in shapes[:-1]:
            if channels % 2 != 0:
                raise ValueError(
                    "half of the channels leave after each level but the last, so that their "
                    f"number must be even: got shape {(channels, height, width)}"
                )
        self.levels = nn.ModuleList(levels)
        self.shapes = tuple(shapes)
        self.leaving = [(c // 2, h, w) for c, h, w in shapes[:-1]] + [shapes[-1]]
        self.sizes = [math.prod(shape) for shape in self.leaving]

    @property
    def steps(self) -> tuple[Bijection, ...]:
        """The levels, from data to noise."""
        return bijections_of(self.levels)

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_shape(z, (sum(self.sizes),), "noise")
        parts = z.split(self.sizes, dim=1)
        noise = [part.unflatten(1, s) for part, s in zip(parts, self.leaving, strict=True)]
        x, log_det = self.steps[-1].forward_and_log_det(noise[-1], context)
        for level, left in zip(reversed(self.steps[:-1]), reversed(noise[:-1]), strict=True):
            x, step = level.forward_and_log_det(torch.cat([x, left], dim=1), context)
            log_det = log_det + step
        return x, log_det

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(len(x))
        noise: list[Tensor] = []
        for level, shape in zip(self.steps[:-1], self.shapes, strict=False):
            x, step = level.inverse_and_log_det(x, context)
            check_shape(x, shape, "noise of a level")
            x, left = x.chunk(2, dim=1)
            noise.append(left.flatten(1))
            log_det = log_det + step
        x, step = self.steps[-1].inverse_and_log_det(x, context)
        check_shape(x, self.shapes[-1], "noise of a level")
        return torch.cat([*noise, x.flatten(1)], dim=1), log_det + step

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        for level in self.steps[:-1]:
            level.initialize(x, context)
            x = level.inverse_and_log_det(x, context)[0].chunk(2, dim=1)[0]
        self.steps[-1].initialize(x, context)
