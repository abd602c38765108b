"""What is proper to each system, beside the contract that all bijections keep."""

import math

import pytest
import torch

from ptheta.errors import PthetaError
from ptheta.models.autoregressive.made import MADE
from ptheta.models.flows.autoregressive import MaskedAutoregressive
from ptheta.models.flows.bases import Gaussian, Logistic
from ptheta.models.flows.bijections import Composition, Inverse
from ptheta.models.flows.coupling import Coupling
from ptheta.models.flows.flow import Flow
from ptheta.models.flows.linear import ActNorm, LULinear
from ptheta.models.flows.planar import Planar
from ptheta.models.flows.radial import Radial
from ptheta.models.flows.roots import increasing_root
from ptheta.models.flows.univariate import Affine, Shift
from ptheta.random import seeded
from ptheta.recipes.registry import build
from ptheta.spaces import Real


def stirred(module, scale=0.3):
    """A module whose weights are away from their start; what is masked stays zero."""
    with torch.no_grad():
        for layer in module.modules():
            mask = getattr(layer, "mask", None)
            for name, parameter in layer.named_parameters(recurse=False):
                free = mask if mask is not None and name == "weight" else 1.0
                parameter += scale * torch.randn_like(parameter) * free
    return module


def test_nice_keeps_volumes_but_for_its_last_scale():
    model = stirred(build("nice", Real((4,))).model).model
    x = torch.randn(20, 4)
    _, log_det = model.bijection.inverse_and_log_det(x, None)
    expected = -model.bijection.steps[0].log_scale.sum()
    torch.testing.assert_close(log_det, expected.expand(20), rtol=1e-6, atol=1e-6)
    z = torch.randn(20, 5)
    _, log_det = stirred(Coupling(Shift(), 5)).forward_and_log_det(z, None)
    assert torch.equal(log_det, torch.zeros(20))


class AsInMADE(Affine):
    """Scales and shifts by the coefficients that MADE has for a Gaussian."""

    def forward(self, z, coefficients):
        mean, raw = coefficients
        scale = torch.nn.functional.softplus(raw) + 1e-3
        return mean + scale * z, scale.log()

    def inverse(self, x, coefficients):
        mean, raw = coefficients
        scale = torch.nn.functional.softplus(raw) + 1e-3
        return (x - mean) / scale, -scale.log()


@pytest.mark.parametrize("order", [None, (2, 0, 3, 1)])
def test_one_step_of_maf_is_made_with_gaussian_conditionals(order):
    hidden = {"hidden_features": (16, 12), "order": order}
    made = stirred(MADE(Real((4,)), components=1, direct=False, min_scale=1e-3, **hidden)).double()
    map_ = MaskedAutoregressive(AsInMADE(), 4, **hidden).double()
    map_.hidden.load_state_dict(made.layers.state_dict())
    map_.output.load_state_dict(made.output.state_dict())
    flow = Flow(map_, Gaussian(4)).double()
    x = torch.randn(30, 4, dtype=torch.float64)
    torch.testing.assert_close(flow.log_prob(x), made.log_prob(x))
    # MADE draws a value from its quantile, the flow from the noise at which that lies
    uniforms = torch.rand(2, 4, 30, dtype=torch.float64)
    noise = torch.special.ndtri(uniforms[1].t())
    drawn = made.draw(uniforms)
    torch.testing.assert_close(flow.decode(noise).to(drawn), drawn)


@pytest.mark.parametrize("order", [None, (2, 0, 3, 1)])
def test_the_jacobian_of_an_autoregressive_flow_is_triangular(order):
    map_ = stirred(MaskedAutoregressive(Affine(), 4, order=order)).double()
    x = torch.randn(1, 4, dtype=torch.float64)
    for way in (map_.inverse_and_log_det, map_.forward_and_log_det):
        jacobian = torch.autograd.functional.jacobian(lambda v, way=way: way(v, None)[0][0], x)
        ranked = jacobian[:, 0][list(map_.order)][:, list(map_.order)]
        assert (ranked.diagonal() > 0).all()
        assert torch.equal(ranked.triu(1), torch.zeros_like(ranked))
        assert (ranked.tril(-1).abs().sum(dim=1)[1:] > 0).all()


def test_iaf_draws_as_maf_scores():
    map_ = stirred(MaskedAutoregressive(Affine(), 4))
    z = torch.randn(10, 4)
    for drawn, scored in zip(
        Inverse(map_).forward_and_log_det(z, None), map_.inverse_and_log_det(z, None), strict=True
    ):
        assert torch.equal(drawn, scored)


@pytest.mark.parametrize("few", [0.0, math.inf], ids=["by values", "whole"])
@pytest.mark.parametrize("features", [2, 40, 70])
def test_data_are_found_one_by_one_or_whole_and_stay_in_place(features, few, monkeypatch):
    monkeypatch.setattr("ptheta.models.flows.autoregressive._FEW", few)
    map_ = stirred(MaskedAutoregressive(Affine(), features, 3), 0.1).double()
    z, context = (torch.randn(8, n, dtype=torch.float64) for n in (features, 3))
    x, _ = map_.forward_and_log_det(z, context)
    coefficients = map_._coefficients(map_._stack(), x, context, map_.dropout)
    again, _ = map_.univariate.forward(z.t(), coefficients)
    torch.testing.assert_close(again.t(), x, rtol=1e-12, atol=1e-12)


def test_few_rows_of_many_values_are_found_by_whole_evaluations(monkeypatch):
    rows = []
    monkeypatch.setattr(MaskedAutoregressive, "_whole", lambda *given: rows.append(len(given[2])))
    map_ = MaskedAutoregressive(Affine(), 64)
    monkeypatch.setattr(map_, "_in_turn", lambda network, z: rows.append(-len(z)))
    for n in (1, 256, 257):
        map_._found(map_._stack(), torch.zeros(n, 64), None)
    # four rows for each of 64 values
    assert rows == [1, 256, -257]


def test_the_log_determinant_of_a_matrix_is_that_of_the_matrix():
    matrix = torch.randn(5, 5, dtype=torch.float64)
    map_ = LULinear(matrix).double()
    z = torch.randn(3, 5, dtype=torch.float64)
    x, log_det = map_.forward_and_log_det(z, None)
    torch.testing.assert_close(x, z @ matrix.t(), rtol=1e-6, atol=1e-6)
    exact = torch.linalg.slogdet(matrix).logabsdet
    torch.testing.assert_close(log_det, exact.expand(3), rtol=1e-6, atol=1e-6)


def test_a_matrix_mixes_the_channels_of_each_pixel():
    matrix = torch.randn(3, 3)
    z = torch.randn(2, 3, 4, 5)
    x, log_det = LULinear(matrix).forward_and_log_det(z, None)
    torch.testing.assert_close(x[1, :, 2, 3], matrix @ z[1, :, 2, 3], rtol=1e-4, atol=1e-5)
    exact = 20 * torch.linalg.slogdet(matrix).logabsdet
    torch.testing.assert_close(log_det, exact.expand(2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("matrix", "why"),
    [(torch.ones(2, 2), "singular"), (torch.zeros(3, 3), "singular"), (torch.ones(2, 3), "square")],
)
def test_a_matrix_that_cannot_be_inverted_is_refused(matrix, why):
    with pytest.raises(ValueError, match=why):
        LULinear(matrix)


def test_activation_normalisation_starts_from_data():
    x = 5 + 3 * torch.randn(500, 2, 4, 4)
    map_ = ActNorm(2)
    map_.initialize(x, None)
    z, _ = map_.inverse_and_log_det(x, None)
    torch.testing.assert_close(z.mean(dim=(0, 2, 3)), torch.zeros(2), rtol=0, atol=1e-4)
    torch.testing.assert_close(z.std(dim=(0, 2, 3), correction=0), torch.ones(2))


def test_a_constant_channel_keeps_its_scale():
    map_ = ActNorm(2)
    map_.initialize(torch.tensor([[1.0, 4.0], [1.0, 6.0]]), None)
    assert map_.log_scale.tolist() == [0.0, 0.0]
    assert map_.shift.tolist() == [1.0, 5.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [10, 50, 200])
def test_a_matrix_whose_rows_depend_on_each_other_is_refused(size, dtype):
    matrix = torch.randn(size, size, dtype=dtype)
    LULinear(matrix)
    matrix[0] = matrix[1:].sum(dim=0)
    with pytest.raises(ValueError, match="singular"):
        LULinear(matrix)


def test_a_scale_is_found_however_small_the_data():
    map_, x = ActNorm(1), 1e-7 * torch.randn(100, 1)
    map_.initialize(x)
    assert map_.inverse(x).std(correction=0).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("x", [torch.zeros(0, 2), torch.tensor([[0.0, math.nan]])])
def test_a_scale_needs_data_of_finite_numbers(x):
    with pytest.raises(ValueError, match="finite data"):
        ActNorm(2).initialize(x)


@torch.no_grad()
def test_planar_maps_neither_stretch_nor_squeeze_at_the_start():
    with seeded(0):
        maps, z = Composition([Planar(2) for _ in range(16)]), torch.randn(1000, 2)
    # each stretches by a tenth or so, up or down; from w^T u = 0 all would shrink the origin to
    # 0.69 of its volume, and 16 of them by 6 nats
    assert maps.forward_and_log_det(z)[1].mean().abs() < 1


@pytest.mark.parametrize("size", [1.0, 20.0])
def test_planar_maps_can_be_undone_however_they_push(size):
    for _ in range(20):
        map_ = stirred(Planar(3), size).double()
        z = torch.randn(50, 3, dtype=torch.float64)
        push, along, _ = map_._read(None)
        assert (push * along).sum() > -1
        x, log_det = map_.forward_and_log_det(z, None)
        assert log_det.isfinite().all()
        back, _ = map_.inverse_and_log_det(x, None)
        again, _ = map_.forward_and_log_det(back, None)
        torch.testing.assert_close(again, x, rtol=1e-9, atol=1e-9)


def test_radial_maps_move_along_rays_from_their_centre():
    map_ = stirred(Radial(3)).double()
    z = torch.randn(50, 3, dtype=torch.float64)
    centre, _, _ = map_._read(None)
    x, _ = map_.forward_and_log_det(z, None)
    cosine = torch.cosine_similarity(x - centre, z - centre, dim=1)
    torch.testing.assert_close(cosine, torch.ones(50).double())
    x, log_det = map_.forward_and_log_det(centre, None)
    torch.testing.assert_close(x, centre)
    assert log_det.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_radial_maps_have_a_gradient_at_their_centre(dtype):
    map_ = stirred(Radial(3)).to(dtype)
    centre, alpha, total = map_._read(None)
    centre = centre.detach()
    for directed, slope in (
        (map_.forward_and_log_det, total / alpha),
        (map_.inverse_and_log_det, alpha / total),
    ):
        start = centre.clone().requires_grad_()
        end, log_det = directed(start, None)
        torch.testing.assert_close(log_det, 3 * slope.log())
        (gradient,) = torch.autograd.grad(end[0, 0] + 0 * log_det.sum(), start)
        torch.testing.assert_close(gradient, slope * torch.eye(3, dtype=dtype)[:1])


@pytest.mark.parametrize("size", [-120.0, 120.0])
@pytest.mark.parametrize("other", [-120.0, 120.0])
def test_radial_maps_of_extreme_coefficients_stay_finite(size, other):
    map_ = Radial(3)
    with torch.no_grad():
        next(map_.parameters())[-2:] = torch.tensor([size, other])
    z = torch.randn(50, 3)
    for directed in (map_.forward_and_log_det, map_.inverse_and_log_det):
        end, log_det = directed(z, None)
        gradients = torch.autograd.grad(end.sum() + log_det.sum(), list(map_.parameters()))
        assert all(found.isfinite().all() for found in (end, log_det, *gradients))
    x, log_det = map_.forward_and_log_det(z, None)
    back, its_log_det = map_.inverse_and_log_det(x, None)
    again, _ = map_.forward_and_log_det(back, None)
    torch.testing.assert_close(again, x, rtol=1e-4, atol=1e-4)
    assert log_det.isfinite().all()
    assert its_log_det.isfinite().all()


def test_logistic_noise_has_the_density_of_what_it_draws():
    base = Logistic(1)
    line = torch.linspace(-30, 30, 6001, dtype=torch.float64)[:, None]
    p = base.log_prob(line).exp()
    assert math.isclose(torch.trapezoid(p, line[:, 0]).item(), 1.0, rel_tol=1e-6)
    drawn = base.draw(40_000)
    # the variance of a standard logistic variable is pi squared over 3
    assert abs(drawn.var().item() - math.pi**2 / 3) < 5 * math.sqrt(4.2 * 3.29**2 / 40_000)


def test_roots_are_found_from_far_and_carry_gradient():
    target = torch.tensor([-1e6, -0.5, 0.0, 3.0, 1e6], dtype=torch.float64, requires_grad=True)

    def excess(x):
        return x + x.pow(3) - target, 1 + 3 * x.square()

    x = increasing_root(excess, torch.full((5,), -1e7).double(), torch.full((5,), 1e7).double())
    torch.testing.assert_close(x + x.pow(3), target)
    x.sum().backward()
    torch.testing.assert_close(target.grad, 1 / (1 + 3 * x.detach().square()))


def test_roots_are_found_where_newtons_steps_creep():
    def excess(x):
        return x.pow(51) - 1, 51 * x.pow(50)

    # each of Newton's steps takes a fifty-first of the way: 660 of them to the root
    x = increasing_root(excess, torch.zeros(1).double(), torch.full((1,), 1e6).double())
    assert x.item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ["nice", "realnvp", "nsf-coupling"])
def test_a_coupling_of_one_value_is_refused(name):
    with pytest.raises(PthetaError, match="at least two values.*'nsf-autoregressive'"):
        build(name, Real((1,)))


@torch.no_grad()
@pytest.mark.parametrize(
    "name",
    [*("affine", "planar", "radial", "maf", "iaf"),
     *("nsf-autoregressive", "i-resnet", "residual-flow", "mintnet")],
)  # fmt: skip
def test_other_flows_take_one_value(name):
    model = build(name, Real((1,))).model.eval()
    # finest near zero, where planar maps are steepest
    line = 40 * torch.linspace(-1, 1, 4001)[:, None].pow(3)
    total = torch.trapezoid(model.log_prob(line).exp(), line[:, 0])
    assert total.item() == pytest.approx(1, abs=1e-2)
