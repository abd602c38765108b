"""Values of finite spaces as codes."""

__all__ = ["Codes", "draw_codes"]

import torch
from torch import Tensor

from ptheta.errors import PthetaError
from ptheta.spaces import Categorical, Discrete, Space, Table, groups


class Codes:
    """The values of an example as codes, each with a number of codes of its own.

    Arguments:
        space: A space of levels or categories.

    Attributes:
        sizes: The number of codes of each value.

    Raises:
        PthetaError: The space has real or missing values.

    Example:
        >>> Codes(Discrete((3,), 2)).sizes
        (2, 2, 2)
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        sizes = [0] * space.features
        for group in groups(space):
            for position in group.positions:
                sizes[position] = _size(group.space)
        if isinstance(space, Table) and space.missing:
            gaps = next(column.name for column in space.columns if column.missing)
            raise PthetaError(f"tables of counts have no place for the missing values of '{gaps}'.")
        self.sizes = tuple(sizes)

    def __call__(self, x: Tensor) -> Tensor:
        """The codes of examples, with shape (batch, values).

        Raises:
            ValueError: The examples are not of the space's shape.
        """
        if x.dim() == 0 or x.shape[1:] != self.space.shape:
            raise ValueError(
                f"expected examples of shape (batch, {', '.join(map(str, self.space.shape))}), got "
                f"{tuple(x.shape)}"
            )
        return x.reshape(len(x), self.space.features).long()

    def back(self, codes: Tensor) -> Tensor:
        """The examples of codes, with shape (batch, *space.shape)."""
        return codes.reshape(len(codes), *self.space.shape).to(self.space.dtype)

    @property
    def one_size(self) -> int:
        """The number of codes of every value, where all have the same.

        Raises:
            PthetaError: They differ.
        """
        if len(set(self.sizes)) > 1:
            raise PthetaError("its values must all be of one kind, and these differ.")
        return self.sizes[0]


def _size(scalar: Space) -> int:
    match scalar:
        case Discrete():
            return scalar.levels
        case Categorical():
            return scalar.categories
        case _:
            raise PthetaError(
                f"it counts levels and categories, and cannot count {scalar.describe()}; leave "
                "such columns out (--drop), or read them as categories (--kind)."
            )


def draw_codes(logits: Tensor) -> Tensor:
    """One code for each row of log-probabilities.

    Arguments:
        logits: Log-probabilities that sum to one, with shape (..., codes); minus infinity where
            there is no such code.

    Returns:
        The codes, with shape (...,).
    """
    cumulative = logits.double().exp().cumsum(dim=-1)
    uniform = torch.rand_like(cumulative[..., :1]) * cumulative[..., -1:]
    return (cumulative <= uniform).sum(dim=-1)
