"""The learner of most families: one gradient step on one objective."""

from __future__ import annotations

__all__ = ["GradientLearner", "LossModule", "Sealed"]

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ptheta.objectives.types import Batch, Objective
from ptheta.training.devices import has_compiler, prepare
from ptheta.training.optimizer_state import restore_optimizer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ptheta.training.types import Metrics

N = TypeVar("N", bound=nn.Module)


class ToReals(Protocol):
    """The way from data to the reals: the half of a bridge that training needs."""

    def to_reals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The reals, and the log-determinant."""
        ...


class Sealed:
    """A batch that wrappers hand on as it is.

    For mixed precision they would round every tensor that they can see, and data have to be
    standardised before they are rounded: a time stamp has no digits to spare.

    Arguments:
        batch: The batch.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch


class LossModule(nn.Module, Generic[N]):
    """A model and an objective as one module, so that wrappers for devices see one forward.

    Arguments:
        model: What is trained.
        objective: What it is trained by.
        bridge: The way from data to the reals on which the objective works, if it does.
        compiled: Whether torch compiles the loss.
    """

    def __init__(
        self,
        model: N,
        objective: Objective[N],
        bridge: ToReals | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.bridge = (bridge,)  # in a tuple, so that its buffers are not registered here again
        self.computed = torch.compile(self._loss) if compiled else self._loss

    def forward(self, sealed: Sealed) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and its terms without gradient."""
        return self.computed(sealed.batch)

    def _loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        if self.bridge[0] is not None:
            batch = Batch(self.bridge[0].to_reals(batch.x)[0], batch.context)
        loss = self.objective.loss(self.model, batch)
        return loss.value, {name: term.detach() for name, term in loss.terms.items()}


class GradientLearner(Generic[N]):
    r"""Adam on an objective, at one rate or at rates that fall as :math:`r / (1 + s / n)`.

    References:
        A Stochastic Approximation Method (Robbins & Monro, 1951),
        https://doi.org/10.1214/aoms/1177729586, for rates that fall so

    Arguments:
        model: What is trained.
        objective: What it is trained by. One with state of its own (chains, a learned log Z) is
            a module; its parameters are trained too.
        learning_rate: The step size of Adam.
        clip: The largest norm of the gradient; None leaves it as it is.
        weight_decay: The decoupled decay of matrices of weights per unit of learning rate; biases
            and scales are left alone.
        bridge: The way from data to the reals on which the objective works; None hands the
            objective the data as they are.
        halving_steps: The number n of updates s after which the rate is half of r, and after twice
            as many a third; None keeps it.
    """

    def __init__(
        self,
        model: N,
        objective: Objective[N],
        *,
        learning_rate: float = 1e-3,
        clip: float | None = None,
        weight_decay: float = 0.0,
        bridge: ToReals | None = None,
        halving_steps: int | None = None,
    ) -> None:
        self.model = model
        self.objective = objective
        self.learning_rate = learning_rate
        self.halving_steps = halving_steps
        self.updates = 0
        self.clip = clip
        self.weight_decay = weight_decay
        self.bridge = bridge
        self.compiled = False

    def compile(self) -> None:
        """Has torch compile the loss at the first step."""
        self.compiled = True

    def setup(self, fabric: Fabric) -> None:
        compiled = self.compiled and has_compiler(fabric.device.type)
        module = LossModule(self.model, self.objective, self.bridge, compiled=compiled)
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            self._groups(),
            lr=self.learning_rate,
            fused=fabric.device.type in ("cpu", "cuda"),
        )
        self.module, self.optimizer, self.backward = prepare(fabric, module, optimizer)

    def step(self, batch: Batch) -> Metrics:
        value, terms = self.module(Sealed(batch))
        self.backward(value)
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        if self.halving_steps is not None:
            rate = self.learning_rate / (1 + self.updates / self.halving_steps)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.updates += 1
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {"loss": value.detach(), **terms}

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"optimizer": self.optimizer.state_dict()}
        if isinstance(self.objective, nn.Module):
            state["objective"] = self.objective.state_dict()
        if self.halving_steps is not None:
            state["updates"] = self.updates
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        restore_optimizer(self.optimizer, state["optimizer"])
        if isinstance(self.objective, nn.Module):
            self.objective.load_state_dict(state["objective"])
        if self.halving_steps is not None:
            self.updates = int(state["updates"])

    def _groups(self) -> list[dict[str, Any]]:
        if self.weight_decay == 0:
            # a second group is a second call of the fused update
            return [{"params": self.parameters, "weight_decay": 0.0}]
        matrices = [p for p in self.parameters if p.dim() > 1]
        others = [p for p in self.parameters if p.dim() <= 1]
        groups = ((matrices, self.weight_decay), (others, 0.0))
        return [{"params": params, "weight_decay": decay} for params, decay in groups if params]
