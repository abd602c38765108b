"""What iterations do that do not end, and what the accuracy of those that do rests on."""

import pytest
import torch
from torch import nn

from ptheta.density import draw
from ptheta.errors import NotConverged, PthetaError
from ptheta.models.flows.bases import Gaussian
from ptheta.models.flows.bijections import Composition
from ptheta.models.flows.fixed_point import fixed_point, with_implicit_gradient
from ptheta.models.flows.flow import Flow
from ptheta.models.flows.log_dets import PowerSeries, RussianRoulette
from ptheta.models.flows.residual import Residual
from ptheta.models.flows.roots import increasing_root
from ptheta.networks.contraction import contraction_of_vectors


def residual(**options):
    torch.manual_seed(0)
    network = contraction_of_vectors(2, [8], nn.ELU, lipschitz=0.9)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(5)
    return Residual(network, **options)


def test_what_is_not_a_number_is_no_fixed_point():
    start = torch.tensor([[0.0, 1.0], [0.0, torch.nan], [torch.nan, 0.0]])
    with pytest.raises(NotConverged, match="fixed point was not found for 2 of 3 rows in 50 steps"):
        fixed_point(torch.cos, start, tolerance=1e-6, iterations=50)


def test_what_was_given_is_blamed_where_it_is_no_number():
    start = torch.tensor([[0.0, 1.0], [0.0, torch.nan]])
    with pytest.raises(NotConverged, match=r"1 of 2 rows .* missing or infinite: leave those rows"):
        fixed_point(torch.cos, start, tolerance=1e-6, iterations=50)


def test_an_iteration_takes_a_step():
    with pytest.raises(ValueError, match="needs a step at least, got iterations=0"):
        fixed_point(torch.cos, torch.zeros(1), tolerance=1e-6, iterations=0)


def test_draws_that_are_not_found_are_one_sentence_for_a_person():
    flow = Flow(Composition([residual(iterations=1)]), Gaussian(2))
    with pytest.raises(PthetaError, match="the inverse of a residual layer .* learning_rate"):
        draw(flow, 3)


def test_the_gradient_of_a_row_does_not_depend_on_the_rows_beside_it():
    matrix = torch.tensor([[0.5, 0.3], [-0.3, 0.5]])
    z = torch.ones(2, 2, requires_grad=True)

    def step(x):
        return z + x @ matrix

    exact = torch.linalg.inv(torch.eye(2) - matrix)
    x = with_implicit_gradient(step, z.detach() @ exact, tolerance=1e-6, iterations=200)
    # the second row's gradient is a millionth of the first's
    weights = torch.tensor([[1e6, 1e6], [1.0, 1.0]])
    (found,) = torch.autograd.grad((weights * x).sum(), z)
    torch.testing.assert_close(found, weights @ exact.mT, rtol=1e-5, atol=0)


def test_a_gradient_that_is_not_found_says_so():
    z = torch.ones(3, 1, requires_grad=True)
    x = with_implicit_gradient(
        lambda x: z + 0.9 * x, torch.full((3, 1), 10.0), tolerance=1e-6, iterations=5
    )
    with pytest.raises(NotConverged, match="gradient of a fixed point was not found for 3 of 3"):
        x.sum().backward()


def test_a_gradient_that_is_not_a_number_stays_in_its_row():
    z = torch.ones(2, 1, requires_grad=True)
    x = with_implicit_gradient(
        lambda x: z + 0.5 * x, torch.full((2, 1), 2.0), tolerance=1e-6, iterations=100
    )
    x.backward(torch.tensor([[torch.nan], [1.0]]))
    assert z.grad is not None
    assert z.grad[0].isnan()
    assert z.grad[1].item() == pytest.approx(2.0, rel=1e-5)


def test_a_root_that_is_not_found_says_so():
    # a slope that is far from that of the function, and a bracket that does not hold the root
    with pytest.raises(NotConverged, match="the root of a function was not found for 1 of 2 rows"):
        increasing_root(
            lambda x: (torch.stack([x[0], torch.tensor(-1.0)]), torch.tensor([1.0, 1e-3])),
            torch.tensor([-1.0, -1.0]),
            torch.tensor([1.0, torch.inf]),
        )


def test_a_root_of_what_is_not_a_number_is_not_a_number():
    target = torch.tensor([2.0, torch.nan])
    x = increasing_root(lambda x: (x - target, torch.ones(2)), target - 1, target + 1)
    torch.testing.assert_close(x, target, equal_nan=True)


def test_a_series_has_a_term():
    with pytest.raises(ValueError, match="at least one term, got 0"):
        PowerSeries(terms=0)
    with pytest.raises(ValueError, match="at least one term, got 0"):
        RussianRoulette(terms=0)
    with pytest.raises(ValueError, match="between 0 and 1, got 0"):
        RussianRoulette(stop=0.0)


def test_a_tolerance_of_zero_is_refused():
    with pytest.raises(ValueError, match="the tolerance must be positive, got 0"):
        residual(tolerance=0.0)
