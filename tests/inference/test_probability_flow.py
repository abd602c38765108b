import math

import pytest
import torch
from analytic import GaussianDenoiser, normal_log_prob
from torch import nn

from ptheta.errors import PthetaError
from ptheta.inference.diffusing import WithEstimatedProbabilityFlow, WithProbabilityFlow
from ptheta.inference.divergence import estimated, exact
from ptheta.inference.probability_flow import Solver
from ptheta.models.diffusion.paths import (
    Straight,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)
from ptheta.noising import Prediction
from ptheta.protocols import capabilities

PATHS = [
    VarianceExploding(0.02, 20.0),
    VariancePreserving(),
    SubVariancePreserving(),
    Straight(),
]
each_path = pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
MEAN, STD = [0.5, -1.0, 0.0], [0.3, 1.2, 2.0]


def drawn_law(model):
    """The mean and standard deviation of what the flow makes of its own noise."""
    one = torch.ones(())
    scale = (model.path.alpha(one).square() + model.path.sigma(one).square()).sqrt()
    (mean_1, std_1), (mean_0, std_0) = model.noised(1.0), model.noised(model.path.times()[0])
    return mean_0 - mean_1 * std_0 / std_1, scale * std_0 / std_1


@each_path
def test_the_density_of_a_gaussian_is_the_closed_form(path):
    torch.manual_seed(0)
    denoiser = GaussianDenoiser(MEAN, STD, path)
    model = WithProbabilityFlow(denoiser, (3,), solver=Solver(1e-6))
    x = 2 * denoiser.drawn(40)
    expected = normal_log_prob(x, *drawn_law(denoiser))
    torch.testing.assert_close(model.log_prob(x), expected, atol=2e-3, rtol=1e-4)


@each_path
def test_draws_follow_the_density(path):
    torch.manual_seed(0)
    n = 20_000
    denoiser = GaussianDenoiser(MEAN, STD, path)
    x = WithProbabilityFlow(denoiser, (3,)).sample(n)
    mean, std = drawn_law(denoiser)
    assert ((x.mean(dim=0) - mean).abs() < 4 * std / math.sqrt(n)).all()
    assert ((x.std(dim=0) / std - 1).abs() < 4 / math.sqrt(2 * n)).all()


class Bent(nn.Module):
    """A denoiser of nothing in particular, in two values that depend on each other."""

    path = VariancePreserving(levels=50)

    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))

    def predict(self, x, context=None, *, t):
        t = torch.as_tensor(t, dtype=x.dtype).expand(len(x))[:, None]
        turned = self.network(torch.cat([x, t], dim=1))
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        return Prediction(alpha * x + sigma * turned, sigma * x - alpha * turned)


def test_the_density_of_any_denoiser_integrates_to_one():
    torch.manual_seed(0)
    model = WithProbabilityFlow(Bent(), (2,))
    axis = torch.linspace(-7, 7, 71)
    mass = model.log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * 0.2**2
    assert abs(mass - 1) < 2e-3


def test_the_estimate_is_right_in_the_mean_and_of_few_passes():
    torch.manual_seed(0)
    denoiser = Bent()
    model = WithProbabilityFlow(denoiser, (2,))
    guess = WithEstimatedProbabilityFlow(denoiser, (2,))
    x = torch.randn(8, 2)
    draws = torch.stack([guess.log_prob_estimate(x) for _ in range(200)])
    error = draws.std(dim=0) / math.sqrt(200)
    assert (error > 0).all()
    # beside the error of the mean, that of the solver; 8 rows beyond 4.5 once in 18,000 runs
    assert ((draws.mean(dim=0) - model.log_prob(x)).abs() < 4.5 * error + 1e-3).all()
    assert capabilities(model) == ("sample", "log_prob")
    assert capabilities(guess) == ("sample", "log_prob_estimate")


def test_divergence_is_the_trace_of_the_jacobian():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    jacobians = torch.func.vmap(torch.func.jacrev(network))(x)
    traces = jacobians.diagonal(dim1=1, dim2=2).sum(dim=1).detach()
    torch.testing.assert_close(exact(network, x), (network(x).detach(), traces))
    # along all axes, each scaled by the root of their number, the estimate is the trace itself
    axes = 2 * torch.eye(4, dtype=torch.float64)[:, None].expand(4, 5, 4)
    torch.testing.assert_close(estimated(network, x, axes), (network(x).detach(), traces))


def test_a_flow_that_is_not_solved_in_time_is_one_sentence():
    model = WithProbabilityFlow(Bent(), (2,), solver=Solver(1e-6, evaluations=20))
    with pytest.raises(PthetaError, match="not solved within 20 evaluations.*a larger tolerance"):
        model.sample(4)


def test_a_flow_that_runs_off_is_one_sentence():
    class Lost(Bent):
        def predict(self, x, context=None, *, t):
            return Prediction(x / 0, x / 0)

    with pytest.raises(PthetaError, match="values that are not finite at t = 1"):
        WithProbabilityFlow(Lost(), (2,)).sample(4)
