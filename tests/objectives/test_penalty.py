import math

import pytest
import torch
from torch import nn

from ptheta.objectives.likelihood import MaximumLikelihood
from ptheta.objectives.penalty import L1Penalised
from ptheta.objectives.types import Batch


class Located(nn.Module):
    """A unit Gaussian at a weight plus a bias."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def log_prob(self, x, context=None):
        distance = x - self.weight[0] - self.bias
        return -distance.square().sum(dim=1) / 2 - math.log(2 * math.pi) / 2


@pytest.mark.parametrize(("strength", "found"), [(0.0, 1.5), (0.4, 1.1), (2.0, 0.0)])
def test_the_least_of_a_quadratic_and_the_penalty_is_soft_thresholding(strength, found):
    model, objective = Located(), L1Penalised(MaximumLikelihood(), strength)
    model.bias.requires_grad_(False)
    x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    steps = 2000
    for step in range(steps):
        (gradient,) = torch.autograd.grad(objective.loss(model, Batch(x)).value, [model.weight])
        with torch.no_grad():
            model.weight -= 0.5 * (1 - step / steps) * gradient
    assert model.weight.item() == pytest.approx(found, abs=2e-3)


def test_weights_alone_are_penalised_and_both_parts_are_told():
    model = Located()
    with torch.no_grad():
        model.weight.fill_(-3.0)
        model.bias.fill_(5.0)
    batch = Batch(torch.tensor([[2.0]], dtype=torch.float64))
    loss = L1Penalised(MaximumLikelihood(), 0.1).loss(model, batch)
    assert loss.terms["penalty"].item() == pytest.approx(0.3)
    assert loss.terms["objective"].item() == pytest.approx(math.log(2 * math.pi) / 2)
    assert loss.value.item() == pytest.approx(0.3 + math.log(2 * math.pi) / 2)
