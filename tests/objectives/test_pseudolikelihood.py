"""Pseudolikelihood by a model's own conditionals, and what it learns of fields."""

import pytest
import torch
from lightning_fabric import Fabric
from torch.nn import functional as F

from ptheta.models.energy.pairwise import PairwiseField
from ptheta.models.energy.rbm import RBM
from ptheta.models.energy.units import BinaryUnits
from ptheta.objectives.accepts import accepts
from ptheta.objectives.neighbours import Pseudolikelihood
from ptheta.objectives.pseudolikelihood import ConditionalPseudolikelihood
from ptheta.objectives.types import Batch
from ptheta.random import seeded
from ptheta.training.quasi_newton import QuasiNewtonLearner

CASES = pytest.mark.parametrize(
    ("shape", "states", "tables"),
    [((3, 3), 2, False), ((2, 3), 3, False), ((2, 3), 3, True), ((1, 3, 2), 2, True)],
)


def stirred(shape, states, tables):
    with seeded(1), torch.no_grad():
        field = PairwiseField(shape, states, tables=tables).double()
        for parameter in field.parameters():
            parameter.copy_(0.7 * torch.randn_like(parameter))
    return field


def every(shape, states):
    sites = shape[-2] * shape[-1]
    return torch.cartesian_prod(*[torch.arange(states)] * sites).reshape(-1, *shape)


def direct(field, x, context):
    """The loss by masses of whole grids, those with one site changed among them."""
    total = 0.0
    for site in range(x[0].numel()):
        masses = []
        for state in range(field.states):
            other = x.flatten(1).clone()
            other[:, site] = state
            masses.append(field.unnormalized_log_prob(other.reshape(x.shape), context))
        here = field.unnormalized_log_prob(x, context)
        total = total + (torch.stack(masses).logsumexp(dim=0) - here).mean()
    return total


@CASES
def test_loss_and_gradient_are_those_of_the_direct_formula(shape, states, tables):
    torch.manual_seed(0)
    field = stirred(shape, states, tables)
    x = torch.randint(0, states, (20, *shape), dtype=torch.uint8)
    context = torch.randn(*x.shape, states, dtype=torch.float64)
    expected = direct(field, x, context)
    for objective in (ConditionalPseudolikelihood(), Pseudolikelihood(states)):
        found = objective.loss(field, Batch(x, context)).value
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(
            torch.autograd.grad(found, list(field.parameters())),
            torch.autograd.grad(expected, list(field.parameters()), retain_graph=True),
        )


def mean_gradient(field, x, shares):
    """The largest entry of the gradient of the loss, averaged over data of known shares."""
    objective = ConditionalPseudolikelihood()
    losses = torch.stack([objective.loss(field, Batch(row)).value for row in x.split(1)])
    gradients = torch.autograd.grad(shares @ losses, list(field.parameters()))
    return max(gradient.abs().max().item() for gradient in gradients)


@pytest.mark.parametrize(
    ("shape", "states", "tables"),
    [((2, 3), 2, False), ((2, 2), 3, False), ((2, 2), 3, True), ((1, 3, 2), 2, True)],
)
def test_the_mean_gradient_is_zero_at_the_truth_alone(shape, states, tables):
    field, x = stirred(shape, states, tables), every(shape, states)
    shares = field.unnormalized_log_prob(x).softmax(dim=0).detach()
    # sums over all states in float64
    assert mean_gradient(field, x, shares) < 1e-12
    with torch.no_grad():
        field.horizontal.view(-1)[0] += 0.3
    # far above rounding, however little this coupling matters
    assert mean_gradient(field, x, shares) > 1e-5


def fitted(field, x):
    """The optimum, which is the only one: the loss is convex in all parameters."""
    learner = QuasiNewtonLearner(field, ConditionalPseudolikelihood(), tolerance=1e-7)
    learner.setup(Fabric(accelerator="cpu", devices=1))
    for _ in range(60):
        learner.step(Batch(x))
        if learner.converged:
            return field
    raise AssertionError("not converged")


def regression(x, theta):
    """An Ising model's conditionals as a logistic regression on the signs of the neighbours.

    Gives the gradient of each example's loss by (bias, horizontal, vertical), and the mean
    curvature.
    """
    signs = F.pad(2.0 * x - 1, (1, 1, 1, 1))
    beside = signs[:, 1:-1, :-2] + signs[:, 1:-1, 2:]
    above = signs[:, :-2, 1:-1] + signs[:, 2:, 1:-1]
    features = torch.stack([torch.ones_like(beside), beside, above], dim=-1).double().flatten(1, 2)
    p = torch.sigmoid(features @ theta)
    gradients = ((p - x.flatten(1)).unsqueeze(-1) * features).sum(dim=1)
    curvature = torch.einsum("ns,nsa,nsb->ab", p * (1 - p), features, features) / len(x)
    return gradients, curvature


def test_it_recovers_the_couplings_of_an_ising_model_within_their_errors():
    torch.manual_seed(0)
    truth, n = torch.tensor([-0.3, 0.8, 0.3], dtype=torch.float64), 3000
    field = PairwiseField((4, 4)).double()
    with torch.no_grad():
        field.unary.copy_(torch.stack([torch.zeros(()).double(), truth[0]]))
        field.horizontal.copy_(truth[1])
        field.vertical.copy_(truth[2])
        states = every((4, 4), 2)
        shares = field.unnormalized_log_prob(states).softmax(dim=0)
    x = states[torch.multinomial(shares, n, replacement=True)]
    found = fitted(PairwiseField((4, 4)).double(), x)
    bias = (found.unary[1] - found.unary[0]).detach()
    theta = torch.stack([bias, found.horizontal.detach(), found.vertical.detach()])
    gradients, curvature = regression(x, theta)
    # it is the optimum of the regression too
    assert gradients.mean(dim=0).abs().max() < 1e-6
    # sites of an example are not independent, so that the errors are those of Godambe's sandwich
    inverse = torch.linalg.inv(curvature)
    error = (inverse @ gradients.T.cov() @ inverse / n).diagonal().sqrt()
    # three numbers: beyond 4 by chance once in 5000 runs
    assert ((theta - truth).abs() < 4 * error).all()
    # and the errors are small enough to tell the couplings apart
    assert error.max() < 0.05


def test_it_needs_a_model_that_gives_conditionals():
    objective = ConditionalPseudolikelihood()
    assert accepts(objective, PairwiseField((2, 2)))
    assert not accepts(objective, RBM(BinaryUnits((4,)), 2))
