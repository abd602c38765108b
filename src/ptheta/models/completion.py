"""Filling in: what models share that draw some values given others."""

__all__ = ["Completing"]

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ptheta.spaces import Space


class Completing(ABC):
    """A model that draws any values given any others.

    Required: `draw_given`. Promised: `complete`, which keeps what is known to the last bit.

    Attributes:
        space: The space of the examples.
    """

    space: Space

    @torch.no_grad()
    def complete(self, x: Tensor, known: Tensor, context: Tensor | None = None) -> Tensor:
        """Examples that keep the values that are known, the others drawn given them.

        Arguments:
            x: The examples, with shape (n, *space.shape); what is not known is not looked at.
            known: Which values are known, boolean, with shape space.shape.
            context: What they are conditioned on, with n rows.

        Returns:
            The examples, shaped as x.

        Raises:
            ValueError: The shapes are others, or the mask is not boolean.
        """
        shape = self.space.shape
        if x.dim() == 0 or x.shape[1:] != shape or known.shape != torch.Size(shape):
            raise ValueError(
                f"expected x of shape (n, *{shape}) and known of shape {shape}, got "
                f"{tuple(x.shape)} and {tuple(known.shape)}"
            )
        if known.dtype != torch.bool:
            raise ValueError(f"expected known of torch.bool, got {known.dtype}")
        # what is not known may hold anything, such as no number
        x = torch.where(known, x, torch.zeros_like(x))
        drawn = self.draw_given(x, known.flatten(), context)
        return torch.where(known, x.to(drawn.dtype), drawn)

    @abstractmethod
    def draw_given(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        """Examples whose values are drawn given those that are known.

        Arguments:
            x: The examples, with shape (n, *space.shape), and zeros for what is not known.
            known: Which values are known, boolean, with shape (space.features,).
            context: What they are conditioned on, with n rows, or None.

        Returns:
            The examples, with shape (n, *space.shape); what they hold for values that are known
            does not matter.
        """
