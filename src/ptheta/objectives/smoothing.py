"""Objectives on smoothed data."""

__all__ = ["Smoothed"]

from typing import Any

import torch
from torch import nn

from ptheta.objectives.types import Batch, Loss, Objective


class Smoothed(nn.Module):
    r"""An objective on data with Gaussian noise, so that the smoothed density is what is fitted.

    It gives the density a gradient everywhere, and a scale below which it need not be learned.

    Arguments:
        objective: The objective.
        noise: The standard deviation of the noise.
    """

    def __init__(self, objective: Objective[Any], noise: float) -> None:
        super().__init__()
        self.objective = objective
        self.noise = noise

    def loss(self, model: Any, batch: Batch) -> Loss:
        """The loss of the objective on the noised examples."""
        noised = batch.x + self.noise * torch.randn_like(batch.x)
        return self.objective.loss(model, batch._replace(x=noised))
