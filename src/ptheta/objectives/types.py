"""What an objective is given and gives back."""

__all__ = ["Batch", "Loss", "Objective"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from torch import Tensor

M = TypeVar("M", contravariant=True)


class Batch(NamedTuple):
    """Examples, and what each is conditioned on.

    Arguments:
        x: The examples, with shape (batch, *shape).
        context: What they are conditioned on, with shape (batch, *context_shape), or None.
        last: Whether a pass over the data ends here. Data that are taken whole come in pieces
            where they lie on disk.
    """

    x: Tensor
    context: Tensor | None = None
    last: bool = True


def _no_terms() -> dict[str, Tensor]:
    return {}


@dataclass(frozen=True)
class Loss:
    """What is minimised, and what it is made of.

    Arguments:
        value: The loss: nats per example averaged over the batch, a scalar.
        terms: Its parts by name, without gradient, for the record and for the message when
            a part is not finite.
    """

    value: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=_no_terms)


class Objective(Protocol[M]):
    """What "close to the data" means; it is given the model in its call."""

    def loss(self, model: M, batch: Batch) -> Loss:
        """The loss of a model on a batch."""
        ...
