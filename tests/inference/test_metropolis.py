import math

import torch

from ptheta.inference.kernels import run
from ptheta.inference.metropolis import RandomWalk


def two_bumps(x):
    """Normals at -2 and 2 with standard deviation 1, three quarters of them on the right."""
    left = -(x[:, 0] + 2).square() / 2
    right = -(x[:, 0] - 2).square() / 2 + math.log(3)
    return torch.logaddexp(left, right)


def test_the_walk_leaves_a_density_where_it_is():
    torch.manual_seed(0)
    n = 40_000
    side = torch.where(torch.rand(n, 1) < 0.75, 2.0, -2.0)
    kernel = RandomWalk(2.0)
    state = run(kernel, two_bumps, kernel.init(two_bumps, side + torch.randn(n, 1)), 20)
    # true mean 1 and variance 1 + 4 - 1; chains are independent of each other
    assert abs(state.x.mean() - 1) < 4 * 2 / math.sqrt(n)
    assert abs((state.x > 0).float().mean() - right_of_zero()) < 4 * 0.5 / math.sqrt(n)


def right_of_zero():
    beyond = 0.5 * (1 + math.erf(2 / math.sqrt(2)))
    return 0.75 * beyond + 0.25 * (1 - beyond)


def test_the_share_of_steps_taken_is_that_of_the_integral():
    torch.manual_seed(0)
    n = 40_000
    kernel = RandomWalk(1.5)
    start = torch.randn(n, 1)
    normal = lambda x: -x.square().sum(dim=1) / 2  # noqa: E731
    state = kernel.step(normal, kernel.init(normal, start))
    moved = (state.x != start).float().mean()
    # of a normal and steps of s standard deviations, 2 / pi arctan(2 / s) are taken
    expected = 2 / math.pi * math.atan(2 / 1.5)
    assert abs(moved - expected) < 4 * math.sqrt(expected * (1 - expected) / n)
    assert abs(state.acceptance - expected) < 4 * 0.5 / math.sqrt(n)


def test_the_step_is_tuned_to_its_target_and_then_held():
    torch.manual_seed(0)
    normal = lambda x: -x.square().sum(dim=1) / 2  # noqa: E731
    kernel = RandomWalk(5.0, target=0.234)
    state = run(kernel, normal, kernel.init(normal, torch.randn(2000, 20)), 200)
    assert abs(state.acceptance - 0.234) < 0.04  # 2,000 chains: 0.01, and the tuning's own stir
    # the theory of many dimensions has 2.38 over the root of their number
    assert abs(state.step_size - 2.38 / math.sqrt(20)) < 0.06
    held = kernel.settled()
    assert held.step(normal, state).step_size == state.step_size


def test_proposals_without_a_density_are_refused():
    kernel = RandomWalk(1.0)

    def half_line(x):
        outside = torch.where(x[:, 0] < -1, torch.nan, torch.inf)
        return torch.where(x[:, 0].abs() <= 1, -x[:, 0], outside)

    torch.manual_seed(0)
    state = run(kernel, half_line, kernel.init(half_line, torch.zeros(500, 1)), 50)
    assert (state.x.abs() <= 1).all()
    assert state.log_prob.isfinite().all()
