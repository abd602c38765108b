import copy
import math

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn.functional import softplus

from ptheta.models.implicit.critic import Critic
from ptheta.models.implicit.generator import Generator
from ptheta.networks.mlp import MLP
from ptheta.objectives.adversarial import NON_SATURATING, R1, Divergence
from ptheta.objectives.types import Batch
from ptheta.spaces import Categorical
from ptheta.training.adversarial import AdversarialLearner, CriticLoss, GeneratorLoss


def prepared(learner):
    learner.setup(Fabric(accelerator="cpu", devices=1))
    return learner


class Point(nn.Module):
    """A generator of one point, whatever the noise: the generator of the Dirac-GAN."""

    def __init__(self):
        super().__init__()
        self.at = nn.Parameter(torch.ones(1))

    def latent(self, n):
        return torch.zeros(n, 1)

    def decode(self, z, context=None):
        return self.at + z


# the zero-sum game, of which the non-saturating one is a variant that creeps inwards
MINIMAX = Divergence(NON_SATURATING.critic, lambda fake: -softplus(fake).mean())


def dirac(divergence, penalties, steps=1000):
    """The path of (point, slope of the critic) under gradient descent of each side in turn."""
    generator, critic = Point(), Critic(nn.Linear(1, 1, bias=False))
    nn.init.ones_(critic.network.weight)
    learner = prepared(AdversarialLearner(generator, critic, divergence, penalties))
    # Adam would hide the dynamics that the theorem is about
    learner.critic_side = learner.critic_side._replace(
        optimizer=torch.optim.SGD(critic.parameters(), lr=0.1)
    )
    learner.generator_side = learner.generator_side._replace(
        optimizer=torch.optim.SGD(generator.parameters(), lr=0.1)
    )
    path = []
    for _ in range(steps):
        learner.step(Batch(torch.zeros(1, 1)))
        path.append((generator.at.item(), critic.network.weight.item()))
    return torch.tensor(path)


@pytest.mark.parametrize("divergence", [NON_SATURATING, MINIMAX])
def test_dirac_gan_converges_with_r1(divergence):
    assert dirac(divergence, [R1(1.0)])[-1].norm() < 1e-3


def test_dirac_gan_circles_without_a_penalty():
    path = dirac(MINIMAX, [])
    radius = path.norm(dim=1)  # the square root of 2 at the start
    angle = torch.atan2(path[:, 1], path[:, 0])
    turns = ((angle[1:] - angle[:-1]).abs() > math.pi).sum()
    assert (radius - 2**0.5).abs().max() < 0.15
    assert turns >= 4


def test_dirac_gan_without_a_penalty_is_far_from_there_when_r1_has_arrived():
    assert dirac(NON_SATURATING, [])[-1].norm() > 0.2


def test_critic_of_a_fixed_generator_nears_the_log_ratio():
    torch.manual_seed(0)
    # data N(0, 1), draws N(1, 1): log p / q = 1/2 - x
    generator = Generator(nn.Linear(1, 1), latent_features=1)
    nn.init.ones_(generator.network.weight)
    nn.init.ones_(generator.network.bias)
    critic = Critic(MLP(1, 1, [32, 32]))
    learner = AdversarialLearner(
        generator, critic, NON_SATURATING, learning_rate=1e-12, critic_learning_rate=3e-3
    )
    prepared(learner)
    for _ in range(600):
        learner.step(Batch(torch.randn(512, 1)))
    x = torch.linspace(-1.5, 2.5, 41)[:, None]  # where both have examples
    error = critic(x) - (0.5 - x[:, 0])
    assert error.abs().max() < 0.35  # the ratio itself spans 4
    assert error.square().mean().sqrt() < 0.15


def small(context_space=None):
    torch.manual_seed(0)
    extra = 3 if context_space else 0
    generator = Generator(MLP(2 + extra, 2, [8]), 2, context_space)
    critic = Critic(MLP(2 + extra, 1, [8]), context_space)
    return prepared(AdversarialLearner(generator, critic, NON_SATURATING, [R1(0.1)]))


def test_each_side_owns_its_own_parameters():
    learner = small()
    owned = [
        {id(p) for p in side.module.parameters()}
        for side in (learner.critic_side, learner.generator_side)
    ]
    assert owned[0] == {id(p) for p in learner.critic.parameters()}
    assert owned[1] == {id(p) for p in learner.generator.parameters()}
    assert isinstance(learner.critic_side.module, CriticLoss)
    assert isinstance(learner.generator_side.module, GeneratorLoss)


def test_generator_step_leaves_nothing_in_the_critic_and_moves_the_generator():
    learner = small()
    critic = [p.clone() for p in learner.critic.parameters()]
    generator = [p.clone() for p in learner.generator.parameters()]
    learner._generator_step(Batch(torch.randn(8, 2)))
    for before, after in zip(critic, learner.critic.parameters(), strict=True):
        assert torch.equal(before, after)
        assert after.grad is None
        assert after.requires_grad
    for before, after in zip(generator, learner.generator.parameters(), strict=True):
        assert not torch.equal(before, after)


def test_metrics_name_the_parts_of_the_loss():
    metrics = small().step(Batch(torch.randn(8, 2)))
    assert set(metrics) == {"loss", "critic", "critic_gap", "r1", "generator"}
    torch.testing.assert_close(metrics["loss"], metrics["critic"] + metrics["r1"])
    assert not any(value.requires_grad for value in metrics.values())


def test_state_dict_goes_on_bit_for_bit():
    space = Categorical(categories=3)
    batch = Batch(torch.randn(8, 2), torch.randint(3, (8,)))
    one, two = small(space), small(space)
    for _ in range(3):
        one.step(batch)
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    two.generator.load_state_dict(one.generator.state_dict())
    ends = []
    for learner in (one, two):
        torch.manual_seed(1)
        ends.append(learner.step(batch))
    assert ends[0] == ends[1]
    for a, b in zip(one.generator.parameters(), two.generator.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("critic_steps", [1, 3])
def test_critic_steps_are_as_many_as_asked(critic_steps):
    learner = small()
    learner.critic_steps = critic_steps
    learner.step(Batch(torch.randn(8, 2)))
    state = learner.state_dict()
    assert state["critic_optimizer"]["state"][0]["step"] == critic_steps
    assert state["generator_optimizer"]["state"][0]["step"] == 1
