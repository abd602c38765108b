"""What the loop asks of a learner."""

from __future__ import annotations

__all__ = ["Learner", "Metrics", "SupportsCompile", "SupportsConverged"]

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import Tensor

from ptheta.objectives.types import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Metrics = Mapping[str, Tensor]


class Learner(Protocol):
    """One update, and the state that it needs beyond the model's own: optimisers, chains, counts.

    A learner is made with its model and settings, and knows nothing of devices until `setup`,
    which the loop calls once, before the first step, with the model on its device and its
    data-dependent start made.
    """

    def setup(self, fabric: Fabric) -> None:
        """Makes the optimisers, and wraps what is trained for the devices in use."""
        ...

    def step(self, batch: Batch) -> Metrics:
        """One update. The metrics are scalars without gradient; ``loss`` is among them."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All state but the model's, of nested dicts and lists of tensors, numbers and strings."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state, bit for bit; called after `setup`."""
        ...


@runtime_checkable
class SupportsConverged(Protocol):
    """A learner that can tell when there is nothing more to learn: counting, EM."""

    @property
    def converged(self) -> bool:
        """Whether another step would change nothing worth having."""
        ...


@runtime_checkable
class SupportsCompile(Protocol):
    """A learner whose loss torch can compile."""

    def compile(self) -> None:
        """Has torch compile the loss; called before `setup`."""
        ...
