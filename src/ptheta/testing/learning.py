"""Checks of updates, of state, and of how contexts are taken in."""

__all__ = ["learns", "round_trip", "standardises"]

from typing import Any

import torch

from ptheta.protocols import SupportsInitializeContext
from ptheta.testing.fitted import ROWS, Make, require


def learns(fitted: Make) -> None:
    """Every update leaves finite numbers, and reaches every parameter."""
    found = fitted()
    for name, parameter in found.model.named_parameters():
        require(bool(parameter.isfinite().all()), f"{name} is not finite")
        moved = not torch.equal(parameter, found.before[name])
        # a weight that is masked whole is zero, and stays so
        idle = not parameter.requires_grad or not bool(parameter.any())
        require(moved or idle, f"{name} never moved: no gradient reaches it")


def round_trip(fitted: Make) -> None:
    """The state of a model, taken out and put back, is the same bit for bit."""
    found = fitted()
    state = {k: v.clone() for k, v in found.model.state_dict().items()}
    with torch.no_grad():
        for tensor in found.model.state_dict().values():
            tensor.zero_()
    found.model.load_state_dict(state)
    for name, tensor in found.model.state_dict().items():
        require(torch.equal(tensor, state[name]), f"{name} came back changed")


@torch.no_grad()
def standardises(fitted: Make) -> None:
    """Every part that takes a context in fits its scale."""
    found = fitted()
    modules = found.model.modules()
    pieces: list[Any] = [each for each in modules if isinstance(each, SupportsInitializeContext)]
    require(bool(pieces), "no part of the model fits the scale of the context")
    for piece in pieces:
        seen = piece(found.context, ROWS)
        assert seen is not None
        mean, spread = seen.mean(dim=0), seen.std(dim=0, correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-4)
        torch.testing.assert_close(spread, torch.ones_like(spread), rtol=0, atol=1e-4)
