"""A number for each row, shaped to stand beside rows of any shape."""

__all__ = ["over"]

from torch import Tensor


def over(of_rows: Tensor, x: Tensor) -> Tensor:
    """Numbers of shape (n,) that spread over all values of rows.

    Arguments:
        of_rows: The numbers, with shape (n,).
        x: Rows, with shape (n, *shape).

    Returns:
        The numbers, with shape (n, 1, ..., 1).
    """
    return of_rows.reshape(-1, *[1] * (x.dim() - 1))
