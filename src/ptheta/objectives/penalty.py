"""Objectives with a penalty on the weights."""

__all__ = ["L1Penalised"]

from typing import Any

import torch
from torch import nn

from ptheta.objectives.types import Batch, Loss, Objective


class L1Penalised:
    r"""An objective plus the sum of absolute weights, which leaves few of them far from zero.

    .. math:: \mathcal{L} + \alpha \sum_w |w|

    With maximum likelihood on :math:`N` examples it finds the mode of the weights under a Laplace
    prior of scale :math:`1 / (\alpha N)`. Biases, and all else of one dimension, are left alone.

    References:
        Regression shrinkage and selection via the lasso (Tibshirani, 1996),
        https://doi.org/10.1111/j.2517-6161.1996.tb02080.x

    Arguments:
        objective: The objective.
        strength: The strength :math:`\alpha` of the penalty.
    """

    def __init__(self, objective: Objective[Any], strength: float) -> None:
        self.objective = objective
        self.strength = strength

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """The loss, with its two parts among the terms."""
        found = self.objective.loss(model, batch)
        sizes = [p.abs().sum() for p in model.parameters() if p.dim() > 1]
        penalty = self.strength * torch.stack(sizes).sum()
        parts = {"objective": found.value.detach(), "penalty": penalty.detach()}
        return Loss(found.value + penalty, {**found.terms, **parts})
