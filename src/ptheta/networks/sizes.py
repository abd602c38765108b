"""How wide a network to give to data of a size, where a person does not say."""

__all__ = ["default_width"]


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
