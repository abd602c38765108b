"""Orders in which the values of an example are drawn."""

__all__ = ["value_order"]

from collections.abc import Sequence


def value_order(order: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """An order of values, checked.

    Arguments:
        order: The values of a flattened example in the order in which they are drawn; None takes
            them as they stand.
        count: The number of values.

    Raises:
        ValueError: The order is no permutation.

    Example:
        >>> value_order(None, 3), value_order([2, 0, 1], 3)
        ((0, 1, 2), (2, 0, 1))
    """
    order = tuple(range(count)) if order is None else tuple(order)
    if sorted(order) != list(range(count)):
        raise ValueError(f"expected an order of the {count} values, got {order}")
    return order
