"""How wide a network to give to data of a size, where a person does not say."""

__all__ = ["default_dropout", "default_width"]


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
