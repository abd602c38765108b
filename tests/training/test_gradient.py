"""The learner by gradients: how far it steps."""

import pytest
import torch
from torch import nn

from ptheta.objectives.types import Batch, Loss
from ptheta.training.devices import make_fabric
from ptheta.training.gradient import GradientLearner


class Slope:
    """A loss with one slope everywhere, of which Adam takes steps as long as its rate."""

    def loss(self, model, batch):
        return Loss(model.weight.sum())


@pytest.mark.parametrize(
    ("halving_steps", "expected"),
    [(None, [0.1, 0.1, 0.1, 0.1, 0.1]), (2, [0.1, 0.1 / 1.5, 0.05, 0.04, 0.1 / 3])],
)
def test_rates_are_halved_after_so_many_steps(halving_steps, expected):
    model = nn.Linear(1, 1, bias=False)
    learner = GradientLearner(model, Slope(), learning_rate=0.1, halving_steps=halving_steps)
    learner.setup(make_fabric("cpu"))
    moved = []
    for _ in expected:
        before = model.weight.item()
        learner.step(Batch(torch.zeros(1, 1)))
        moved.append(before - model.weight.item())
    assert moved == pytest.approx(expected, rel=1e-4)
