import math

import torch

from ptheta.objectives.adversarial import NON_SATURATING, R1


def normal_log_prob(x, mean, std):
    return -((x - mean) ** 2) / (2 * std**2) - math.log(std * math.sqrt(2 * math.pi))


def test_loss_at_the_best_critic_is_log_4_less_twice_the_jensen_shannon_divergence():
    torch.manual_seed(0)
    n = 400_000
    real, fake = torch.randn(n), 1 + 0.5 * torch.randn(n)

    def best(x):
        return normal_log_prob(x, 0, 1) - normal_log_prob(x, 1, 0.5)

    grid = torch.linspace(-9, 9, 20001, dtype=torch.float64)
    p, q = normal_log_prob(grid, 0, 1), normal_log_prob(grid, 1, 0.5)
    log_mean = torch.logaddexp(p, q) - math.log(2)
    divergence = torch.trapezoid(
        p.exp() * (p - log_mean) / 2 + q.exp() * (q - log_mean) / 2, grid
    ).item()
    losses = torch.nn.functional.softplus(-best(real)), torch.nn.functional.softplus(best(fake))
    error = (sum(side.var() for side in losses) / n) ** 0.5
    loss = NON_SATURATING.critic(best(real), best(fake))
    assert abs(loss.item() - (math.log(4) - 2 * divergence)) < 4 * error


def test_best_critic_for_one_pair_of_points_is_the_log_ratio_of_their_weights():
    # three in four at a point are data: the loss is least at log 3
    value = torch.tensor(math.log(3), requires_grad=True)
    loss = 3 * NON_SATURATING.critic(value[None], torch.tensor([-99.0]))
    (loss + NON_SATURATING.critic(torch.tensor([99.0]), value[None])).backward()
    assert abs(value.grad.item()) < 1e-6


def test_generator_still_learns_where_the_critic_is_sure():
    value = torch.tensor([-20.0], requires_grad=True)
    NON_SATURATING.generator(value).backward()
    torch.testing.assert_close(value.grad, torch.tensor([-1.0]))


def test_r1_is_half_the_weighted_squared_slope_on_data_alone():
    slope = torch.tensor([3.0, 4.0], requires_grad=True)
    penalty = R1(2.0)(lambda x: x @ slope, torch.randn(7, 2), torch.full((7, 2), math.nan))
    penalty.backward()
    torch.testing.assert_close(penalty.item(), 25.0)
    torch.testing.assert_close(slope.grad, torch.tensor([6.0, 8.0]))
