import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from ptheta.objectives.types import Batch, Loss
from ptheta.training.quasi_newton import QuasiNewtonLearner


class Linear(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, features, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(1, dtype=torch.float64))


class Squares:
    def loss(self, model, batch):
        found = batch.x @ model.weight[0] + model.bias
        return Loss(0.5 * (found - batch.context).square().mean())


def data(rows=50, features=4):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(rows, features, generator=g, dtype=torch.float64)
    x[:, 0] *= 30  # curvatures that differ a thousandfold
    return x, x.sum(dim=1) + 3 + torch.randn(rows, generator=g, dtype=torch.float64)


def learner(features=4, **options):
    found = QuasiNewtonLearner(Linear(features), Squares(), **options)
    found.setup(Fabric(accelerator="cpu", devices=1))
    return found


def run(found, pieces, steps=200):
    for step in range(steps * len(pieces)):
        found.step(pieces[step % len(pieces)])
        if found.converged:
            return step + 1
    raise AssertionError("not converged")


def ridge(x, y, penalty):
    ones = torch.cat([x, torch.ones(len(x), 1).double()], dim=1)
    matrix = ones.T @ ones + penalty * torch.diag(torch.tensor([1.0] * 4 + [0.0]).double())
    return torch.linalg.solve(matrix, ones.T @ y)


@pytest.mark.parametrize("penalty", [0.0, 7.0])
def test_least_squares_end_in_the_closed_form(penalty):
    x, y = data()
    found = learner(penalty=penalty, tolerance=1e-10)
    assert run(found, [Batch(x, y)]) < 60
    weights = torch.cat([found.model.weight[0], found.model.bias])
    torch.testing.assert_close(weights, ridge(x, y, penalty), rtol=0, atol=1e-8)


def test_pieces_of_unequal_size_are_the_whole():
    x, y = data()
    whole, parts = learner(penalty=7.0), learner(penalty=7.0)
    run(whole, [Batch(x, y)])
    run(parts, [Batch(x[:37], y[:37], last=False), Batch(x[37:], y[37:])])
    torch.testing.assert_close(parts.model.weight, whole.model.weight, rtol=0, atol=1e-7)


def test_it_goes_on_from_its_state_to_the_same_bits():
    x, y = data()
    pieces = [Batch(x[:37], y[:37], last=False), Batch(x[37:], y[37:])]
    straight, first, second = learner(), learner(), learner()
    for step in range(21):
        straight.step(pieces[step % 2])
        (first if step < 9 else second).step(pieces[step % 2])
        if step == 8:
            second.load_state_dict(first.state_dict())
            second.model.load_state_dict(first.model.state_dict())
    assert torch.equal(straight.model.weight, second.model.weight)


def test_it_never_goes_on_from_higher_ground():
    class Steep:
        def loss(self, model, batch):
            # the slope at the start promises far more than there is
            return Loss((model.weight.square().sum() + 1e-4).sqrt() + 3 * model.bias.square().sum())

    found = learner(tolerance=1e-9)
    found.objective = Steep()
    with torch.no_grad():
        found.model.weight.fill_(2.0)
        found.model.bias.fill_(1.0)
    values = []
    for _ in range(200):
        found.step(Batch(torch.zeros(1, 4)))
        values.append(found.accepted[1].item())
        if found.converged:
            break
    assert found.converged
    assert all(b <= a + 1e-13 for a, b in zip(values, values[1:], strict=False))
    assert found.model.weight.abs().max() < 1e-8
