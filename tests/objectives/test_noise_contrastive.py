import math

import pytest
import torch
from reference import ReferenceGaussian
from torch import nn
from torch.nn import functional as F

from ptheta.models.energy.self_normalised import SelfNormalised
from ptheta.objectives.noise_contrastive import FlowContrastive, NoiseContrastive
from ptheta.objectives.types import Batch

MEAN, STD = [1.0, -0.5], [0.7, 1.5]
LOG_Z = math.log(2 * math.pi * 0.7 * 1.5)


class Drawn(nn.Module):
    """Noise that always draws the same."""

    def __init__(self, density, n):
        super().__init__()
        self.density = density
        self.drawn = density.sample(n)

    def sample(self, n, context=None):
        assert n == len(self.drawn)
        return self.drawn

    def log_prob(self, x, context=None):
        return self.density.log_prob(x).detach()


@pytest.mark.parametrize("ratio", [1, 5])
def test_the_constant_of_a_gaussian_is_recovered(ratio):
    torch.manual_seed(0)
    fits = [fitted(ratio) for _ in range(16)]
    found = torch.stack([model.log_normalizer.detach() for model in fits])
    error = found.std() / math.sqrt(len(found))
    # one fit is off by its own error of 0.02 to 0.04; the mean of all shows no bias beside theirs
    assert abs(found.mean() - LOG_Z) < 4 * error
    assert error < 0.02
    means = torch.stack([model.energy.mean.detach() for model in fits])
    assert ((means.mean(dim=0) - torch.tensor(MEAN)).abs() < 4 * means.std(dim=0) / 4).all()


def fitted(ratio, n=5000):
    x = ReferenceGaussian(MEAN, STD).sample(n)
    noise = Drawn(ReferenceGaussian([0.0, 0.0], [1.5, 2.0]), ratio * n)
    model = SelfNormalised(ReferenceGaussian([0.0, 0.0], [1.0, 1.0]))
    objective = NoiseContrastive(noise, ratio=ratio)
    solver = torch.optim.LBFGS(model.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        value = objective.loss(model, Batch(x)).value
        value.backward()
        return value

    solver.step(closure)
    return model


def test_the_loss_is_the_binary_entropy_where_noise_and_model_are_one():
    torch.manual_seed(0)
    density = ReferenceGaussian(MEAN, STD)
    model = SelfNormalised(ReferenceGaussian(MEAN, STD))
    model.log_normalizer.data.fill_(LOG_Z)
    for ratio in (1, 4):
        loss = NoiseContrastive(density, ratio=ratio).loss(model, Batch(density.sample(100)))
        expected = math.log(1 + ratio) + ratio * math.log(1 + 1 / ratio)
        assert abs(loss.value.item() - expected) < 1e-5


def test_a_context_goes_with_each_example_and_its_noise():
    seen = []

    class Conditional(nn.Module):
        def log_prob_estimate(self, x, context=None):
            seen.append(context)
            return -x.square().sum(dim=1)

    objective = NoiseContrastive(ReferenceGaussian(MEAN, STD), ratio=2)
    objective.loss(Conditional(), Batch(torch.randn(3, 2), torch.tensor([5, 6, 7])))
    assert [c.tolist() for c in seen] == [[5, 6, 7], [5, 6, 7, 5, 6, 7]]


def test_both_sides_of_flow_contrast_go_down_their_own_side_of_one_value():
    model = SelfNormalised(ReferenceGaussian(MEAN, STD))
    flow = ReferenceGaussian([0.3, 0.3], [1.2, 1.0])
    x = ReferenceGaussian([0.5, 0.0], [1.0, 1.0]).sample(64)

    torch.manual_seed(1)
    loss = FlowContrastive(flow).loss(model, Batch(x))
    loss.value.backward()

    torch.manual_seed(1)
    drawn, log_q = flow.rsample_and_log_prob(64)
    of_data = model.log_prob_estimate(x) - flow.log_prob(x)
    of_draws = model.log_prob_estimate(drawn) - log_q
    contrast = F.softplus(-of_data).mean() + F.softplus(of_draws).mean()
    up = torch.autograd.grad(contrast, list(model.parameters()), retain_graph=True)
    # what the draws carry to the model's side is the flow's affair
    down = torch.autograd.grad(contrast, list(flow.parameters()))
    for parameter, expected in zip(model.parameters(), up, strict=True):
        torch.testing.assert_close(parameter.grad, expected)
    for parameter, expected in zip(flow.parameters(), down, strict=True):
        torch.testing.assert_close(parameter.grad, -expected)
    assert abs(loss.value.item()) < 1e-6
    torch.testing.assert_close(loss.terms["contrast"], contrast.detach())
    assert all(p.requires_grad for p in model.parameters())
