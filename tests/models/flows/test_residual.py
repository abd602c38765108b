import math

import pytest
import torch
from torch import nn

from ptheta.errors import NotConverged
from ptheta.models.flows.bijections import Composition, Reshaped
from ptheta.models.flows.linear import ActNorm
from ptheta.models.flows.log_dets import (
    PowerSeries,
    RussianRoulette,
    exact_log_det,
    series_log_det,
)
from ptheta.models.flows.residual import Residual
from ptheta.networks.contraction import contraction_of_images, contraction_of_vectors
from ptheta.networks.lipschitz import LipSwish
from ptheta.testing.bijections import bijection_checks

DRAWS = 20_000


def of_vectors(features, context_features=0, activation=LipSwish, lipschitz=0.8, series=None):
    network = contraction_of_vectors(
        features, [7, 6], activation, lipschitz=lipschitz, context_features=context_features
    )
    return Residual(network, series)


def of_images(context_features=0):
    network = contraction_of_images(
        (2, 3, 2), 4, LipSwish, lipschitz=0.8, context_features=context_features
    )
    return Residual(network)


# how each is made, the shape of an example, and the number of features of the context
BIJECTIONS = {
    "lipswish": (lambda: of_vectors(4), (4,), 0),
    "elu": (lambda: of_vectors(3, activation=nn.ELU), (3,), 0),
    "of-one": (lambda: of_vectors(1), (1,), 0),
    "conditional": (lambda: of_vectors(3, 2), (3,), 2),
    "roulette": (lambda: of_vectors(3, 2, series=RussianRoulette(2, 0.5)), (3,), 2),
    "series": (lambda: of_vectors(3, series=PowerSeries(20)), (3,), 0),
    "images": (of_images, (2, 3, 2), 0),
    "images-conditional": (lambda: of_images(2), (2, 3, 2), 2),
    "images-as-vectors": (lambda: Reshaped(of_images(), (2, 3, 2)), (12,), 0),
    "composed": (
        lambda: Composition([of_vectors(3), ActNorm(3), of_vectors(3), ActNorm(3)]),
        (3,),
        0,
    ),
}
CASES = [
    pytest.param(check, id=f"{name}: {check.name}")
    for name, (make, shape, context_features) in BIJECTIONS.items()
    for check in bijection_checks(make, shape, context_features=context_features)
]


@pytest.mark.parametrize("check", CASES)
def test_the_contract_of_bijections(check):
    check.run()


def stirred(features, lipschitz=0.6):
    """A contraction whose slopes come near their bound: its weights are far too large."""
    torch.manual_seed(0)
    network = contraction_of_vectors(features, [features], LipSwish, lipschitz=lipschitz).double()
    with torch.no_grad():
        for layer in network.steps:
            layer.weight.copy_(4 * torch.eye(features) + torch.randn(features, features))
            layer.bias.add_(2)
    return network


def many(network, weights, rows=DRAWS):
    """Draws of the estimate at one point, and the gradient of each by a weight."""
    x = torch.linspace(-1, 1, 3, dtype=torch.float64).expand(rows, 3)
    bounded = network.bounded()
    return series_log_det(lambda x: bounded(x, None), x, weights)[1]


def exact(network):
    x = torch.linspace(-1, 1, 3, dtype=torch.float64)[None]
    bounded = network.bounded()
    return exact_log_det(lambda x: bounded(x, None), x)[1][0]


def by_a_weight(network, values):
    return torch.autograd.grad(values, network.steps[1].weight)[0][2, 1]


def assert_mean(draws, expected):
    error = draws.std() / math.sqrt(len(draws))
    assert 0 < error < 0.05
    assert (draws.mean() - expected).abs() < 5 * error


def test_the_mean_of_the_roulette_is_the_log_determinant_and_its_gradient():
    network = stirred(3)
    series = RussianRoulette(terms=1, stop=0.4)
    log_det = exact(network)
    gradient = by_a_weight(network, log_det)
    found = [many(network, series.weights(), rows=50).mean() for _ in range(250)]
    assert_mean(torch.stack(found).detach(), log_det.detach())
    assert_mean(torch.stack([by_a_weight(network, each) for each in found]), gradient)


def test_the_mean_of_the_power_series_is_that_of_its_terms():
    network = stirred(3)
    series = PowerSeries(terms=3)
    x = torch.linspace(-1, 1, 3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: network(x[None])[0], x, create_graph=True
    )
    powers = [torch.linalg.matrix_power(jacobian, k).trace() for k in (1, 2, 3)]
    expected = powers[0] - powers[1] / 2 + powers[2] / 3
    found = many(network, series.weights())
    assert_mean(found.detach(), expected.detach())
    # three terms of these are not the whole, and the test could tell
    assert (expected - exact(network)).abs() > 1e-3
    means = found.reshape(100, -1).mean(dim=1)
    gradients = torch.stack(
        [
            torch.autograd.grad(each, network.steps[1].weight, retain_graph=True)[0][2, 1]
            for each in means
        ]
    )
    assert_mean(gradients, by_a_weight(network, expected))


def test_the_gradient_of_the_estimate_reaches_what_comes_before():
    network = stirred(3)
    x = torch.linspace(-1, 1, 3, dtype=torch.float64).requires_grad_()
    bounded = network.bounded()

    def g(x):
        return bounded(x, None)

    (expected,) = torch.autograd.grad(exact_log_det(g, x[None])[1].sum(), x)
    rows = x.detach().repeat(DRAWS, 1).requires_grad_()
    weights = PowerSeries(terms=60).weights()
    (found,) = torch.autograd.grad(series_log_det(g, rows, weights)[1].sum(), rows)
    error = found.std(dim=0) / math.sqrt(DRAWS)
    assert ((found.mean(dim=0) - expected).abs() < 5 * error).all()


def test_the_roulette_takes_each_term_as_often_as_it_weighs_it():
    torch.manual_seed(0)
    series = RussianRoulette(terms=2, stop=0.3)
    drawn = [series.weights() for _ in range(4000)]
    for k in (2, 3, 6):
        weighed = torch.tensor([weights[k - 1] if len(weights) >= k else 0.0 for weights in drawn])
        if k == 2:
            assert (weighed == 1).all()
        else:
            assert_mean(weighed, 1.0)


def test_the_estimate_of_a_composition_adds_up():
    torch.manual_seed(0)
    blocks = [of_vectors(3).double() for _ in range(2)]
    for block in blocks:
        block.series, block.probes = PowerSeries(terms=40), 2
    flow = Composition([blocks[0], ActNorm(3).double(), blocks[1]])
    x = torch.randn(1, 3, dtype=torch.float64)
    z, log_det = flow.inverse_and_log_det(x, None)
    found, estimates = flow.inverse_and_log_det_estimate(x.expand(DRAWS, 3), None)
    torch.testing.assert_close(found[:1], z)
    assert_mean(estimates.detach(), log_det.detach())


def test_a_flow_in_the_plane_integrates_to_one():
    torch.manual_seed(0)
    blocks = [of_vectors(2, lipschitz=0.95) for _ in range(3)]
    flow = Composition(blocks).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(3)
    side = torch.linspace(-12, 12, 301, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    with torch.no_grad():
        z, log_det = flow.inverse_and_log_det(x, None)
    density = (log_det - 0.5 * z.square().sum(dim=1) - math.log(2 * math.pi)).exp()
    assert log_det.std() > 0.1
    assert density.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=1e-3)


def test_an_iteration_that_is_cut_short_says_so():
    torch.manual_seed(0)
    map_ = of_vectors(2)
    map_.iterations = 2
    with pytest.raises(NotConverged, match="the inverse of a residual layer was not found"):
        map_(torch.randn(5, 2))


def test_rows_of_many_values_are_taken_in_parts(monkeypatch):
    torch.manual_seed(0)
    map_, x, context = of_vectors(3, 2), torch.randn(7, 3), torch.randn(7, 2)
    whole = map_.inverse_and_log_det(x, context)
    monkeypatch.setattr("ptheta.models.flows.residual._NUMBERS", 6)
    torch.testing.assert_close(map_.inverse_and_log_det(x, context), whole)
    monkeypatch.setattr("ptheta.models.flows.log_dets._AT_ONCE", 5)
    torch.testing.assert_close(map_.inverse_and_log_det(x, context), whole)


# rounding in g is of the size of the largest value of a row, whatever that of the others
@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("features", "sizes"), [(4, [1.0, 1e4]), (256, [1e3])])
def test_the_inverse_converges_where_values_differ_in_size(features, sizes, dtype):
    torch.manual_seed(0)
    network = contraction_of_vectors(features, [64, 64], LipSwish, lipschitz=0.98)
    for parameter in network.parameters():
        parameter += 0.3 * torch.randn_like(parameter)
    map_ = Residual(network.to(dtype))
    z = torch.randn(100, features, dtype=dtype)
    z *= torch.tensor(sizes, dtype=dtype).repeat(features // len(sizes))
    x = map_(z)
    # the error of a solution is that of a step, over 1 - 0.98
    allowed = 50 * 32 * torch.finfo(dtype).eps * float(x.abs().max())
    torch.testing.assert_close(map_.inverse(x), z, rtol=0, atol=allowed)


@pytest.mark.parametrize("option", ["probes", "iterations"])
def test_a_layer_without_probes_or_steps_is_refused(option):
    network = contraction_of_vectors(2, [4], LipSwish, lipschitz=0.9)
    with pytest.raises(ValueError, match=f"{option} must be 1 or more, got 0"):
        Residual(network, **{option: 0})


def test_more_probes_make_the_estimate_vary_less():
    torch.manual_seed(0)
    network = contraction_of_vectors(5, [16], LipSwish, lipschitz=0.9)
    x = torch.randn(1, 5).expand(20_000, 5)
    one, nine = (
        Residual(network, PowerSeries(5), probes=probes)
        .inverse_and_log_det_estimate(x)[1]
        .detach()
        .std()
        for probes in (1, 9)
    )
    # a mean of nine independent probes has a third of the deviation
    assert nine / one == pytest.approx(1 / 3, rel=0.1)
