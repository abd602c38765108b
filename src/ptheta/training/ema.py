"""The moving average of a model's weights, evaluated and saved in place of the weights."""

__all__ = ["Average"]

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    r"""An exponential moving average, :math:`\bar\theta \leftarrow d \bar\theta + (1-d) \theta`.

    Early on the decay is held below :math:`(1 + s) / (10 + s)` at step :math:`s`, so that the
    start is soon forgotten. Buffers are copied.

    References:
        Acceleration of stochastic approximation by averaging (Polyak & Juditsky, 1992),
        https://doi.org/10.1137/0330046

    Arguments:
        model: The model that is trained, on the device where it is trained.
        decay: The decay d.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay
        self.steps = 0
        self._mine: list[Tensor] = list(self.model.parameters())
        self._theirs: list[Tensor] = [parameter.detach() for parameter in model.parameters()]
        self._buffers = list(zip(self.model.buffers(), model.buffers(), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights as they are now."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        get_ema_multi_avg_fn(decay)(self._mine, self._theirs, self.steps)
        for mine, theirs in self._buffers:
            mine.copy_(theirs)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights and the number of updates."""
        return {"steps": self.steps, "model": self.model.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state."""
        self.steps = int(state["steps"])
        self.model.load_state_dict(state["model"])
