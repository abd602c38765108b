"""A model that checks are made of: a few updates from its start."""

__all__ = ["Fitted", "fitted", "Make", "one", "require", "ROWS", "stirred"]

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ptheta.objectives.types import Batch
from ptheta.protocols import SupportsInitialize
from ptheta.random import seeded
from ptheta.recipes.algorithm import Algorithm
from ptheta.spaces import Categorical, Real, Space
from ptheta.testing.examples import example_context, example_rows

ROWS = 256
_STIR, _FEW = 0.1, 10  # how far parameters are moved, and the inputs that a vector counts as


@dataclass(frozen=True)
class Fitted:
    """A model after a few updates.

    Arguments:
        algorithm: The model and its learner.
        x: The rows that it learnt from.
        context: Their context, or None.
        before: The parameters before the first update.
    """

    algorithm: Algorithm
    x: Tensor
    context: Tensor | None
    before: dict[str, Tensor]

    @property
    def model(self) -> Any:
        """The model."""
        return self.algorithm.model

    def given(self, rows: int) -> Tensor | None:
        """The context of so many rows."""
        if self.context is None:
            return None
        return self.context[torch.arange(rows) % len(self.context)]


def fitted(
    make: Callable[[], Algorithm],
    space: Space,
    context_space: Categorical | Real | None,
    steps: int,
) -> Fitted:
    """A model after a few updates, the same at each call.

    Arguments:
        make: Makes the algorithm.
        space: The space.
        context_space: What it is conditioned on, if anything.
        steps: The number of updates.

    Raises:
        AssertionError: A loss is not finite.
    """
    from lightning_fabric import Fabric

    with seeded(0), torch.enable_grad():
        algorithm = make()
        x = example_rows(space, ROWS)
        context = example_context(context_space, ROWS)
        if isinstance(algorithm.model, SupportsInitialize):
            algorithm.model.initialize(x, context)
        before = {k: v.clone() for k, v in algorithm.model.named_parameters()}
        algorithm.learner.setup(Fabric(accelerator="cpu", devices=1))
        for _ in range(steps):
            metrics = algorithm.learner.step(Batch(x, context))
            require(bool(metrics["loss"].isfinite()), f"the loss is {metrics['loss'].item()}")
        algorithm.model.eval()
    return Fitted(algorithm, x, context, before)


Make = Callable[[], Fitted]


def stirred(fitted: Make) -> Fitted:
    """With parameters away from their start; what no update moves, as a masked weight, stays."""
    found = fitted()
    with torch.no_grad(), seeded(7):
        for name, parameter in found.model.named_parameters():
            inputs = parameter[0].numel() if parameter.dim() > 1 else _FEW
            noise = _STIR / math.sqrt(inputs) * torch.randn_like(parameter)
            parameter += noise * (parameter != found.before[name])
    return found


def one(found: Fitted, rows: int) -> Tensor | None:
    """The first context for every row: a density is normalised for each context."""
    if found.context is None:
        return None
    return found.context[:1].expand(rows, *found.context.shape[1:])


def require(holds: bool, message: str) -> None:
    """Raises AssertionError with a message, where something does not hold."""
    if not holds:
        raise AssertionError(message)
