"""What recipes ask of images."""

__all__ = ["image_shape"]

from ptheta.spaces import Space


def image_shape(space: Space) -> tuple[int, int, int] | None:
    """The channels, height and width of images; None where examples are none.

    Arguments:
        space: What one example is.
    """
    if space.layout != "image" or len(space.shape) != 3:
        return None
    channels, height, width = space.shape
    return channels, height, width
