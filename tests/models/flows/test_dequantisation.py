import math

import pytest
import torch
from torch import nn

from ptheta.data.bridged import bridged
from ptheta.data.bridging import dequantising
from ptheta.models.flows.dequantisation import LevelNoise
from ptheta.random import seeded
from ptheta.spaces import Discrete

IMAGES = Discrete((1, 1, 2), 3, layout="image")


class Gaussian(nn.Module):
    """A standard Gaussian of two values, whose mass of a cell is known."""

    def sample(self, n, context=None):
        return torch.randn(n, 2)

    def log_prob(self, x, context=None):
        return (-0.5 * x.square() - 0.5 * math.log(2 * math.pi)).sum(dim=1)


def exact_mass(model, x):
    standardise = model.bridge.steps[1]
    normal = torch.distributions.Normal(standardise.mean, standardise.scale)
    return (normal.cdf(x.double() + 1) - normal.cdf(x.double())).log().flatten(1).sum(dim=1)


def gap(model, x):
    """How far the bound lies under the exact mass on average, and its standard error."""
    with seeded(3), torch.no_grad():
        difference = exact_mass(model, x) - model.elbo(x).double()
    return difference.mean().item(), difference.std().item() / math.sqrt(len(x))


def stirred(noise):
    # not so far that the sigmoid is flat, where its derivative has no digits to compare
    with seeded(1), torch.no_grad():
        for parameter in noise.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return noise.double()


def test_noise_starts_uniform_whatever_the_levels():
    noise = LevelNoise((1, 4, 4), levels=17)
    with seeded(0), torch.no_grad():
        u, log_density = noise(torch.randint(17, (2500, 1, 4, 4)).byte())
    assert (log_density == 0).all()
    assert u.shape == (2500, 1, 4, 4)
    assert (u >= 0).all()
    assert (u <= 1).all()
    # z-bounds of 4 at 40,000 values, whose squares about the middle have deviation 1 / sqrt(180)
    assert float(u.mean()) == pytest.approx(0.5, abs=4 / math.sqrt(12 * 40_000))
    around = float((u - 0.5).square().mean())
    assert around == pytest.approx(1 / 12, abs=4 / math.sqrt(180 * 40_000))


def test_the_density_of_noise_is_that_of_its_start_over_the_determinant():
    noise = stirred(LevelNoise((2, 2, 3), levels=5, hidden_channels=4))
    with seeded(2):
        x = torch.randint(5, (3, 2, 2, 3)).byte()
    with seeded(5):
        u, log_density = noise(x)
    with seeded(5):
        start = noise.base.draw(3)
    for row in range(3):
        seen = x[row : row + 1].double() / 2 - 1

        def to_noise(start, seen=seen):
            return noise.bijection.forward_and_log_det(start.reshape(1, 2, 2, 3), seen)[0].sigmoid()

        torch.testing.assert_close(to_noise(start[row])[0], u[row])
        jacobian = torch.autograd.functional.jacobian(to_noise, start[row]).reshape(12, 12)
        exact = noise.base.log_prob(start[row : row + 1])[0] - torch.linalg.slogdet(jacobian)[1]
        torch.testing.assert_close(log_density[row], exact)


def test_noise_depends_on_the_levels():
    noise = stirred(LevelNoise((1, 2, 2), levels=3, hidden_channels=4))
    drawn = []
    for level in (0, 2):
        with seeded(0):
            drawn.append(noise(torch.full((4, 1, 2, 2), level).byte())[0])
    assert (drawn[0] - drawn[1]).abs().max() > 0.01


def test_a_learned_law_of_noise_tightens_the_bound_and_leaves_it_one():
    with seeded(0):
        noise = LevelNoise(IMAGES.shape, IMAGES.levels, layers=2, hidden_channels=8)
        x = torch.randint(3, (1000, *IMAGES.shape)).byte()
    model = bridged(Gaussian(), dequantising(IMAGES, noise=noise), IMAGES)
    model.initialize(x)
    uniform, error = gap(model, x)
    # the noise of a standard Gaussian that has a cell of this size is far from uniform
    assert uniform > 5 * error
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    with seeded(1):
        for _ in range(50):
            optimizer.zero_grad()
            (-model.elbo(x[:250]).mean()).backward()
            optimizer.step()
    learned, error = gap(model, x)
    assert learned < 0.3 * uniform
    assert learned > -4 * error


def test_what_a_model_starts_from_asks_no_network():
    noise = LevelNoise(IMAGES.shape, IMAGES.levels, hidden_channels=4)
    model = bridged(Gaussian(), dequantising(IMAGES, noise=noise), IMAGES)
    noise.forward = None  # a call of it would fail
    model.initialize(torch.randint(3, (1200, *IMAGES.shape)).byte())
    assert not any(buffer.requires_grad for buffer in model.buffers())
