import torch
from torch import nn

from ptheta.models.implicit.critic import Critic
from ptheta.models.implicit.generator import Generator
from ptheta.protocols import SupportsRsample, SupportsSample, capabilities
from ptheta.spaces import Categorical


def test_draws_are_the_image_of_standard_normal_noise():
    torch.manual_seed(0)
    generator = Generator(nn.Linear(2, 2, bias=False), latent_features=2)
    with torch.no_grad():
        generator.network.weight.copy_(torch.tensor([[2.0, 0.0], [1.0, 1.0]]))
    covariance = generator.sample(50_000).T.cov()
    # 4 standard errors of a covariance of 50,000 draws, whose largest variance is 4
    torch.testing.assert_close(
        covariance, torch.tensor([[4.0, 2.0], [2.0, 2.0]]), atol=4 * 4 * (2 / 50_000) ** 0.5, rtol=0
    )


def test_rsample_carries_gradient_and_sample_does_not():
    generator = Generator(nn.Linear(3, 2), latent_features=3)
    assert isinstance(generator, SupportsSample)
    assert isinstance(generator, SupportsRsample)
    generator.rsample(4).sum().backward()
    assert generator.network.weight.grad is not None
    assert not generator.sample(4).requires_grad
    assert "log_prob" not in capabilities(generator)


def test_context_is_read_beside_the_noise():
    space = Categorical(categories=2)
    generator = Generator(nn.Linear(3, 1, bias=False), 1, space)
    critic = Critic(nn.Linear(3, 1, bias=False), space)
    with torch.no_grad():
        generator.network.weight.copy_(torch.tensor([[0.0, -1.0, 1.0]]))
        critic.network.weight.copy_(torch.tensor([[1.0, 10.0, 20.0]]))
    context = torch.tensor([0, 1])
    x = generator.sample(2, context)
    assert x.flatten().tolist() == [-1.0, 1.0]
    assert critic(x, context).tolist() == [9.0, 21.0]
