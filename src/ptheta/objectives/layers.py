"""Objectives of the layers of deep models."""

__all__ = ["OnLayer", "SupportsUpDown", "UpDown"]

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from ptheta.inference.gibbs import SupportsGibbs
from ptheta.objectives.types import Batch, Loss, Objective

M = TypeVar("M")


class OnLayer(nn.Module, Generic[M]):
    """An objective of one layer, on what layers that stay as they are make of data.

    Arguments:
        below: From examples to what the layer is fitted to.
        objective: The objective of the layer.
    """

    def __init__(self, below: Callable[[Tensor], Tensor], objective: Objective[M]) -> None:
        super().__init__()
        self.below = below
        self.objective = objective

    def loss(self, model: M, batch: Batch) -> Loss:
        """The objective's loss."""
        with torch.no_grad():
            x = self.below(batch.x)
        return self.objective.loss(model, batch._replace(x=x))


@runtime_checkable
class SupportsUpDown(Protocol):
    """Directed layers below a machine, with conditionals both ways."""

    @property
    def machine(self) -> SupportsGibbs:
        """The machine."""
        ...

    def recognise(self, x: Tensor) -> list[Tensor]:
        """Examples, and draws of each layer given the one below it."""
        ...

    def generate(self, top: Tensor) -> list[Tensor]:
        """Draws of each layer given the one above it, from data up to what is given."""
        ...

    def log_generative(self, layers: Sequence[Tensor]) -> Tensor:
        """The log-density of layers downwards, with shape (batch,)."""
        ...

    def log_recognition(self, layers: Sequence[Tensor]) -> Tensor:
        """The log-density of layers upwards, with shape (batch,)."""
        ...


class UpDown:
    r"""Contrastive wake-sleep, the fine-tuning of a deep belief network.

    .. math:: \mathcal{L} = - \sum_i \log p(h_{i-1} \mid h_i)
        + \log \tilde p(h'_{L-1}) - \log \tilde p(h_{L-1})
        - \sum_i \log q(h'_i \mid h'_{i-1})

    Wake: from data upwards each layer is recognised, and the weights that generate learn to undo
    it. From there the machine on top runs for some sweeps, and learns as in contrastive divergence.
    Sleep: from where it got to, downwards, layers are generated, and the weights that recognise
    learn to undo it. The loss is no bound and need not fall.

    References:
        A Fast Learning Algorithm for Deep Belief Nets (Hinton, Osindero & Teh, 2006),
        https://doi.org/10.1162/neco.2006.18.7.1527, section 5 and appendix B

    Arguments:
        steps: The number of sweeps of the machine on top.
    """

    def __init__(self, *, steps: int = 5) -> None:
        self.steps = steps

    def loss(self, model: SupportsUpDown, batch: Batch) -> Loss:
        """The loss."""
        awake = model.recognise(batch.x)
        top = awake[-1]
        for _ in range(self.steps):
            top = model.machine.gibbs(top)
        asleep = model.generate(top)
        generative = -model.log_generative(awake).mean()
        recognition = -model.log_recognition(asleep).mean()
        data = model.machine.unnormalized_log_prob(awake[-1]).mean()
        draws = model.machine.unnormalized_log_prob(top).mean()
        terms = {"generative": generative, "recognition": recognition, "data": data, "draws": draws}
        return Loss(generative + recognition + draws - data, terms)
