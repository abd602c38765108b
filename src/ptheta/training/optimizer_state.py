"""Putting the state of an optimiser back, where it belongs to the parameters at hand."""

__all__ = ["restore_optimizer"]

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def restore_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Puts a state back.

    A state goes by the order of the parameters, and what does not fit is read and written outside
    of its memory by fused updates. So it is compared first.

    Arguments:
        optimizer: The optimiser.
        state: What its `state_dict` gave.

    Raises:
        ValueError: It is the state of other parameters.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for place, kept in state["state"].items():
        for name, value in kept.items():
            # those of no dimension count steps
            if isinstance(value, Tensor) and value.dim() and value.shape != parameters[place].shape:
                raise ValueError(
                    f"expected '{name}' of parameter {place} with shape "
                    f"{tuple(parameters[place].shape)}, got {tuple(value.shape)}"
                )
    optimizer.load_state_dict(dict(state))
