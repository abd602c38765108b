"""How wide a network to give to data of a size, where a person does not say."""

__all__ = ["default_dropout", "default_width", "is_small", "kernel_reach", "pixel_dropout"]

from collections.abc import Sequence


def default_width(features: int, least: int = 128, most: int = 512) -> int:
    """Four units for each value of an example, within bounds.

    Arguments:
        features: The number of values in one example.
        least: The width for the smallest examples.
        most: The width for the largest.

    Example:
        >>> default_width(2), default_width(64), default_width(784)
        (128, 256, 512)
    """
    return min(most, max(least, 64 * -(-4 * features // 64)))


def default_dropout(features: int) -> float:
    """The share of hidden units to drop where a network sees whole examples and a person is silent.

    Data of few values are learnt whole from few rows; of many, they are learnt by heart.

    Arguments:
        features: The number of values in one example.

    Example:
        >>> default_dropout(2), default_dropout(64)
        (0.0, 0.2)
    """
    return 0.0 if features <= 4 else 0.2


def is_small(shape: Sequence[int]) -> bool:
    """Whether an image is up to 16 pixels a side, for which networks are wide and shallow.

    Arguments:
        shape: Its channels, height and width.
    """
    return max(shape[1:]) <= 16


def kernel_reach(kernel_size: int) -> int:
    """How many pixels a kernel sees on each side of the one in its middle.

    Arguments:
        kernel_size: The width of the kernel.

    Raises:
        ValueError: The width is not odd, so that no pixel is in the middle.

    Example:
        >>> kernel_reach(1), kernel_reach(7)
        (0, 3)
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd, for a pixel in its middle, got {kernel_size}")
    return kernel_size // 2


def pixel_dropout(shape: Sequence[int]) -> float:
    """The share of hidden channels to drop where convolutions see images and a person is silent.

    Arguments:
        shape: The channels, height and width of an image.

    Example:
        >>> pixel_dropout((1, 8, 8)), pixel_dropout((1, 28, 28))
        (0.2, 0.0)
    """
    return 0.2 if is_small(shape) else 0.0
