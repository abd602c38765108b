import pytest
import torch
from torch.func import functional_call

from ptheta.models.flows.autoregressive import MaskedAutoregressive
from ptheta.models.flows.bijections import Inverse
from ptheta.models.flows.log_dets import series_log_det
from ptheta.models.flows.mint import mint_of_vectors
from ptheta.models.flows.planar import Planar
from ptheta.models.flows.residual import Residual
from ptheta.models.flows.roots import increasing_root
from ptheta.models.flows.univariate import Affine
from ptheta.networks.contraction import contraction_of_vectors
from ptheta.networks.lipschitz import LipSwish, spectral_bound

# bijections of three values whose inverse is found by iteration
ITERATED = {
    "planar": lambda: Planar(3),
    "iaf": lambda: Inverse(
        MaskedAutoregressive(Affine(), 3, hidden_features=(7,), activation=torch.nn.Tanh)
    ),
    "mint": lambda: Inverse(mint_of_vectors(3, [4])),
    "residual": lambda: Inverse(
        Residual(contraction_of_vectors(3, [5], LipSwish, lipschitz=0.8), tolerance=1e-14)
    ),
}


def stirred(kind):
    torch.manual_seed(0)
    map_ = ITERATED[kind]().double()
    masks = dict(map_.named_buffers())
    with torch.no_grad():
        for name, parameter in map_.named_parameters():
            mask = masks.get(name.replace("weight", "mask"), 1)
            parameter.add_(0.3 * torch.randn_like(parameter) * mask)
    return map_


def bias_of(map_):
    """The name of a parameter by which maps are curved, and which no bound rests on."""
    return [name for name, _ in map_.named_parameters() if "bias" in name or "given" in name][:1]


@pytest.mark.parametrize("name", ITERATED)
def test_second_derivatives_of_iterated_inverses_are_exact(name):
    map_ = stirred(name)
    names = bias_of(map_) or [next(iter(map_.named_parameters()))[0]]

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.map = map_

        def forward(self, x):
            return self.map.inverse_and_log_det(x, None)

    module = Both()

    def of(x, parameter):
        return functional_call(module, {f"map.{names[0]}": parameter}, (x,))

    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    parameter = map_.get_parameter(names[0]).detach().clone().requires_grad_()
    assert torch.autograd.gradgradcheck(of, (x, parameter), check_undefined_grad=False)


@pytest.mark.parametrize("name", ITERATED)
def test_the_divergence_of_the_score_is_that_of_finite_differences(name):
    map_ = stirred(name)

    def score(x):
        z, log_det = map_.inverse_and_log_det(x, None)
        log_p = (log_det - z.square().sum(dim=1) / 2).sum()
        return torch.autograd.grad(log_p, x, create_graph=True)[0]

    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    slopes = torch.stack(
        [
            torch.autograd.grad(score(x)[:, i].sum(), x, retain_graph=True)[0][:, i]
            for i in range(3)
        ],
        dim=1,
    )
    h = 1e-5
    moved = h * torch.eye(3, dtype=torch.float64)
    expected = torch.stack(
        [(score(x + m) - score(x - m))[:, i] / (2 * h) for i, m in enumerate(moved)], dim=1
    )
    torch.testing.assert_close(slopes, expected, rtol=1e-6, atol=1e-6)


def test_three_derivatives_of_a_root_are_exact():
    target = torch.tensor([0.3, 2.0], dtype=torch.float64, requires_grad=True)

    def excess(x):
        return x.pow(3) - target, 3 * x.square()

    found = increasing_root(excess, torch.zeros(2).double(), torch.full((2,), 3.0).double())
    cube_root = target.pow(1 / 3)
    for _ in range(4):
        torch.testing.assert_close(found, cube_root)
        (found,) = torch.autograd.grad(found.sum(), target, create_graph=True)
        (cube_root,) = torch.autograd.grad(cube_root.sum(), target, create_graph=True)


def test_an_estimate_refuses_a_second_derivative():
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    _, estimate = series_log_det(torch.sin, x, [1.0, 1.0])
    torch.autograd.grad(estimate.sum(), x, retain_graph=True)
    with pytest.raises(ValueError, match="has no second derivative; take the exact one"):
        torch.autograd.grad(estimate.sum(), x, create_graph=True)


def test_a_bound_has_a_second_derivative_by_its_weights():
    weight = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(spectral_bound, weight)
