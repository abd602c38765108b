"""Patches of pixels as channels, on images of any size."""

__all__ = ["Folded"]

from torch import Tensor
from torch.nn import functional as F


class Folded:
    """Folds patches of pixels into channels, and back.

    Images whose sides are no multiple of what is wanted are padded with zeros at their ends, and
    what is padded is cut off on the way back.

    Arguments:
        channels: The number of channels of an image.
        patch: The side of a patch.
        multiple: What the sides of what is folded must be multiples of.

    Example:
        >>> import torch
        >>> folded, x = Folded(1, patch=2, multiple=2), torch.rand(5, 1, 7, 7)
        >>> h = folded.fold(x)
        >>> h.shape, bool((folded.unfold(h, x) == x).all())
        (torch.Size([5, 4, 4, 4]), True)
    """

    def __init__(self, channels: int, patch: int = 1, multiple: int = 1) -> None:
        self.channels = channels * patch**2
        self.patch = patch
        self.multiple = patch * multiple

    def fold(self, x: Tensor) -> Tensor:
        """The patches as channels, with shape (batch, channels, height, width)."""
        height, width = (-side % self.multiple for side in x.shape[2:])
        padded = F.pad(x, (0, width, 0, height)) if height or width else x
        return F.pixel_unshuffle(padded, self.patch) if self.patch > 1 else padded

    def unfold(self, h: Tensor, like: Tensor) -> Tensor:
        """The pixels, shaped as images like those that were folded."""
        pixels = F.pixel_shuffle(h, self.patch) if self.patch > 1 else h
        return pixels[:, :, : like.shape[2], : like.shape[3]]
