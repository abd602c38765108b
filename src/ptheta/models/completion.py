"""What models that fill in values share: what is known is looked at, and kept."""

__all__ = ["check_known", "keep_known", "of_known"]

import torch
from torch import Tensor

from ptheta.spaces import Space


def check_known(x: Tensor, known: Tensor, space: Space) -> None:
    """Refuses examples, or a mask of what is known of them, of another shape.

    Arguments:
        x: The examples, with shape (n, *space.shape).
        known: Which values are known, boolean, with shape space.shape.
        space: The space of the examples.

    Raises:
        ValueError: The shapes are others, or the mask is not boolean.
    """
    if x.shape[1:] != space.shape or x.dim() == 0 or known.shape != torch.Size(space.shape):
        raise ValueError(
            f"expected x of shape (n, *{space.shape}) and known of shape {space.shape}, got "
            f"{tuple(x.shape)} and {tuple(known.shape)}"
        )
    if known.dtype != torch.bool:
        raise ValueError(f"expected known of torch.bool, got {known.dtype}")


def of_known(x: Tensor, known: Tensor) -> Tensor:
    """The examples with zeros for what is not known, which may hold anything, such as no number.

    Arguments:
        x: The examples, with shape (n, *space.shape).
        known: Which values are known, boolean, with shape space.shape.
    """
    return torch.where(known, x, torch.zeros_like(x))


def keep_known(x: Tensor, known: Tensor, drawn: Tensor) -> Tensor:
    """What is known of examples, beside values that were drawn.

    Arguments:
        x: The examples, with shape (n, *space.shape).
        known: Which values are known, boolean, with shape space.shape.
        drawn: Examples to take the others from, with shape (n, *space.shape).

    Returns:
        The examples, with the shape and dtype of what was drawn.
    """
    return torch.where(known, of_known(x, known).to(drawn.dtype), drawn)
