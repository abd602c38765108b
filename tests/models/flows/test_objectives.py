"""One flow under several objectives: what each is right about."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from ptheta.data.targets import banana, funnel, ring_of_gaussians
from ptheta.errors import PthetaError
from ptheta.models.flows.bases import Gaussian
from ptheta.models.flows.bijections import Composition
from ptheta.models.flows.coupling import Coupling
from ptheta.models.flows.flow import Flow
from ptheta.models.flows.linear import LULinear
from ptheta.models.flows.univariate import Affine
from ptheta.objectives.likelihood import MaximumLikelihood
from ptheta.objectives.reverse_kl import ReverseKL
from ptheta.objectives.score_matching import DenoisingScoreMatching, ScoreMatching
from ptheta.objectives.types import Batch
from ptheta.recipes.registry import build
from ptheta.spaces import Binary, Real

COVARIANCE = torch.tensor([[2.0, 0.9], [0.9, 0.7]])


def gaussian_flow(features, scale=1.0):
    return Flow(LULinear(scale * torch.eye(features)), Gaussian(features))


def train(model, objective, rows, steps, learning_rate=0.02):
    """Descends on the objective, with a step size that goes to zero; gives the last loss."""
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    for _ in range(steps):
        loss = objective.loss(model, Batch(rows())).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return loss.item()


def covariance(model):
    """Of a flow that is a matrix: the matrix by its transpose."""
    matrix = model.decode(torch.eye(2)) - model.decode(torch.zeros(2, 2))
    return matrix.t() @ matrix


def test_reverse_kl_finds_the_normaliser_and_the_shape_of_a_target():
    precision = COVARIANCE.inverse()
    model = gaussian_flow(2)
    objective = ReverseKL(lambda x: -0.5 * ((x - 1) @ precision * (x - 1)).sum(dim=1))
    train(model, objective, lambda: torch.zeros(512, 2), 600)
    log_z = math.log(2 * math.pi) + 0.5 * torch.logdet(COVARIANCE).item()
    # at the optimum log p and the target differ by log Z at every point
    assert math.isclose(-objective.loss(model, Batch(torch.zeros(500, 2))).value.item(), log_z,
                        abs_tol=0.01)  # fmt: skip
    torch.testing.assert_close(covariance(model), COVARIANCE, rtol=0.03, atol=0.03)


@pytest.mark.parametrize(
    ("target", "log_z", "most"),
    # a flow that missed all but one of eight modes would be off by log 8
    [(banana, math.log(math.pi), 0.1), (funnel, 0.0, 0.2), (ring_of_gaussians, 0.0, 1.5)],
)
def test_reverse_kl_takes_a_flow_to_targets_that_are_no_gaussians(target, log_z, most):
    torch.manual_seed(0)
    couplings = [Coupling(Affine(), 2, 0, (64, 64), flip=i % 2 == 1) for i in range(6)]
    model, objective = Flow(Composition(couplings), Gaussian(2)), ReverseKL(target)
    train(model, objective, lambda: torch.empty(256, 2), 400, 3e-3)
    with torch.no_grad():
        divergence = objective.loss(model, Batch(torch.empty(20_000, 2))).value.item() + log_z
    assert -0.02 < divergence < most


def test_score_matching_fits_what_likelihood_fits():
    x = MultivariateNormal(torch.ones(2), COVARIANCE).sample((20_000,))
    model = gaussian_flow(2)
    train(model, ScoreMatching(), lambda: x, 400)
    torch.testing.assert_close(covariance(model), x.t().cov(), rtol=0.02, atol=0.02)


def test_likelihood_covers_two_modes_and_reverse_kl_keeps_to_one():
    def target(x):
        return torch.logaddexp(-0.5 * (x[:, 0] - 6).square(), -0.5 * (x[:, 0] + 6).square())

    covering, seeking = gaussian_flow(1), gaussian_flow(1)
    with torch.no_grad():
        seeking.bijection.shift.start += 1.0  # towards one of them
    data = torch.randn(20_000, 1) + 6 * (2 * torch.randint(0, 2, (20_000, 1)) - 1)
    train(covering, MaximumLikelihood(), lambda: data, 600, 0.05)
    train(seeking, ReverseKL(target), lambda: torch.zeros(512, 1), 600, 0.05)
    # a Gaussian by likelihood has the variance of the data, 1 + 6 squared
    assert math.isclose(covering.bijection.log_diagonal.exp().item(), 37**0.5, rel_tol=0.05)
    assert math.isclose(seeking.bijection.log_diagonal.exp().item(), 1.0, rel_tol=0.05)
    assert math.isclose(seeking.bijection.shift.start.item(), 6.0, abs_tol=0.1)


def test_draws_come_with_their_density_in_one_pass():
    flow = Flow(Composition([Coupling(Affine(), 3), LULinear(torch.randn(3, 3))]), Gaussian(3))
    x, log_prob = flow.double().rsample_and_log_prob(20)
    torch.testing.assert_close(flow.log_prob(x), log_prob)
    assert log_prob.requires_grad


def test_the_score_of_a_flow_is_the_gradient_of_its_density():
    x = torch.randn(10, 2, dtype=torch.float64)
    model = gaussian_flow(2, 2.0).double()
    torch.testing.assert_close(model.score(x), -x / 4)
    with torch.no_grad():
        assert not model.score(x).requires_grad


def test_denoising_score_matching_trains_a_flow():
    flow = Flow(Coupling(Affine(), 2, activation=nn.SiLU), Gaussian(2))
    objective, x = DenoisingScoreMatching(0.1), torch.randn(50, 2)
    objective.loss(flow, Batch(x)).value.backward()
    assert all(p.grad is not None for p in flow.parameters())


@pytest.mark.parametrize(
    ("target", "half_width", "integral"),
    [(banana, 12.0, math.pi), (ring_of_gaussians, 10.0, 1.0)],
)
def test_targets_integrate_to_what_is_said(target, half_width, integral):
    line = torch.linspace(-half_width, half_width, 1201, dtype=torch.float64)
    points = torch.cartesian_prod(line, line)
    total = target(points).exp().sum().item() * (line[1] - line[0]).item() ** 2
    assert math.isclose(total, integral, rel_tol=1e-3)


def test_the_funnel_is_a_gaussian_whose_width_is_drawn():
    x = torch.randn(10, 4, dtype=torch.float64)
    neck = torch.distributions.Normal(0, 3).log_prob(x[:, 0])
    rest = torch.distributions.Normal(0, (x[:, :1] / 2).exp()).log_prob(x[:, 1:]).sum(dim=1)
    torch.testing.assert_close(funnel(x), neck + rest)


def test_score_matching_refuses_levels():
    with pytest.raises(PthetaError, match="objective=likelihood"):
        build("realnvp", Binary((4,)), None, {"objective": "score-matching"})


def test_a_flow_that_plays_against_a_critic_keeps_its_last_weights():
    # likelihood falls as the game goes on, so that the best by it would be those it started with
    algorithm = build("realnvp", Real((2,)), None, {"objective": "adversarial"})
    assert algorithm.keep == "last"
    assert algorithm.patience is None
    assert build("realnvp", Real((2,))).keep == "best"


def test_reverse_kl_needs_a_row_for_a_draw():
    with pytest.raises(ValueError, match="a draw for each row of the batch, and it has none"):
        ReverseKL(lambda x: x.sum(dim=1)).loss(
            Flow(Coupling(Affine(), 2), Gaussian(2)), Batch(torch.empty(0, 2))
        )


def test_a_target_must_give_a_number_for_each_draw():
    objective = ReverseKL(lambda x: -x.square())
    with pytest.raises(ValueError, match=r"log-densities of shape \(5,\), got \(5, 2\)"):
        objective.loss(gaussian_flow(2), Batch(torch.zeros(5, 2)))
