import math

import pytest
import torch

from ptheta.errors import NotConverged
from ptheta.models.flows.bijections import Composition
from ptheta.models.flows.mint import mint_of_images, mint_of_vectors
from ptheta.testing.bijections import bijection_checks

# how each is made, the shape of an example, and the number of features of the context
BIJECTIONS = {
    "vectors": (lambda: mint_of_vectors(4, [3, 3]), (4,), 0),
    "vectors-backwards": (lambda: mint_of_vectors(4, [3, 2], backwards=True), (4,), 0),
    "vectors-conditional": (lambda: mint_of_vectors(3, [4], 2), (3,), 2),
    "of-one": (lambda: mint_of_vectors(1, [5, 5]), (1,), 0),
    "images": (lambda: mint_of_images((2, 3, 2), [2, 2]), (2, 3, 2), 0),
    "images-backwards": (
        lambda: mint_of_images((1, 2, 3), [3], kernel_size=5, backwards=True),
        (1, 2, 3),
        0,
    ),
    "images-conditional": (lambda: mint_of_images((1, 2, 2), [3, 3], 2), (1, 2, 2), 2),
}
CASES = [
    pytest.param(check, id=f"{name}: {check.name}")
    for name, (make, shape, context_features) in BIJECTIONS.items()
    for check in bijection_checks(make, shape, context_features=context_features)
]


@pytest.mark.parametrize("check", CASES)
def test_the_contract_of_bijections(check):
    check.run()


def shaken(map_, size=1.0, seed=0):
    """Weights far from their start, of either sign."""
    torch.manual_seed(seed)
    map_ = map_.double()
    with torch.no_grad():
        for name, parameter in map_.named_parameters():
            mask = dict(map_.named_buffers()).get(name.replace("weight", "mask"), 1)
            parameter.add_(size * torch.randn_like(parameter) * mask)
    return map_


def jacobian_in_raster_order(map_, shape):
    """Values of images in the order of rows, pixels, and colours."""
    x = torch.randn(shape, dtype=torch.float64)
    found = torch.autograd.functional.jacobian(lambda x: map_.inverse(x[None])[0], x)
    if len(shape) == 3:
        found = found.permute(1, 2, 0, 4, 5, 3)
    return found.reshape(x.numel(), x.numel())


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 3)])
def test_the_jacobian_is_triangular_with_a_positive_diagonal(shape, backwards):
    make = mint_of_vectors if len(shape) == 1 else mint_of_images
    features = shape[0] if len(shape) == 1 else shape
    map_ = shaken(make(features, [4, 4], backwards=backwards))
    found = jacobian_in_raster_order(map_, shape)
    lower = found.flip(0, 1) if backwards else found
    assert (lower.triu(1) == 0).all()
    assert (lower.diagonal() > 0).all()
    # most values are seen by those after them; the kernels of images reach only so far
    assert (lower.tril(-1) != 0).sum() > len(lower) ** 2 / 4


@pytest.mark.parametrize("size", [0.3, 1.0, 2.0])
def test_the_inverse_converges_far_from_the_start(size):
    map_ = shaken(mint_of_vectors(6, [8, 8]), size)
    z = 3 * torch.randn(200, 6, dtype=torch.float64)
    with torch.no_grad():
        x = map_(z)
        back, _ = map_.inverse_and_log_det(x, None)
    torch.testing.assert_close(back, z, rtol=1e-8, atol=1e-8)


# the last bits of early values move late ones by more than theirs
@pytest.mark.parametrize("size", [0.3, 1.0])
@pytest.mark.parametrize("shape", [(32,), (64,), (2, 8, 8)])
def test_the_inverse_of_many_values_converges_in_single_precision(shape, size):
    map_ = mint_of_vectors(shape[0], [16, 16]) if len(shape) == 1 else mint_of_images(shape, [8, 8])
    map_ = shaken(map_, size).float()
    z = torch.randn(50, *shape)
    with torch.no_grad():
        x = map_(z)
        back, slope = map_._map(x, None)
        exact, _ = map_.double()._map(x.double(), None)
    # what is left is no more than what rounding does to the map, in units of that
    rounding = (back - exact).abs().amax()
    assert (back - z).abs().amax() <= 4 * rounding
    # and values are off by less than the square root of the precision
    assert ((back - z) / slope / x.abs().clamp(min=1)).abs().max() < 3e-4


# values of rows of such sizes made steps that crossed the root from both sides, for ever
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_inverse_converges_where_values_differ_in_size(seed, size, dtype):
    map_ = shaken(mint_of_vectors(4, [8, 8]), size, seed).to(dtype)
    z = torch.randn(64, 4, dtype=dtype)
    z[:, 1] *= 100
    with torch.no_grad():
        x = map_(z)
        back = map_.inverse(x)
    # what rounding in a steep map leaves
    allowed = 1e3 * torch.finfo(dtype).eps * float(x.abs().max())
    torch.testing.assert_close(back, z, rtol=0, atol=allowed)


def test_the_inverse_of_what_is_not_a_number_is_not_found():
    map_ = mint_of_vectors(2, [4])
    with pytest.raises(NotConverged, match=r"for 1 of 3 rows in 1 steps\. They hold"):
        map_(torch.tensor([[0.0, 1.0], [torch.nan, 0.0], [2.0, 2.0]]))


def test_slopes_fall_and_rise_with_a_value():
    map_ = shaken(mint_of_vectors(1, [16, 16]))
    x = torch.linspace(-5, 5, 400, dtype=torch.float64).unsqueeze(1)
    log_slope = map_.inverse_and_log_det(x, None)[1].detach()
    steps = log_slope.diff()
    assert (steps > 1e-4).any()
    assert (steps < -1e-4).any()


def test_an_iteration_that_is_cut_short_says_so():
    map_ = shaken(mint_of_vectors(3, [4, 4]))
    map_.iterations = 1
    with pytest.raises(NotConverged, match="MintNet was not found for 5 of 5 rows in 1 steps"):
        map_(torch.randn(5, 3, dtype=torch.float64))


def test_a_flow_in_the_plane_integrates_to_one():
    flow = shaken(
        Composition([mint_of_vectors(2, [6, 6], backwards=layer == 1) for layer in range(2)]), 0.3
    )
    side = torch.linspace(-12, 12, 601, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    with torch.no_grad():
        z, log_det = flow.inverse_and_log_det(x, None)
    density = (log_det - 0.5 * z.square().sum(dim=1) - math.log(2 * math.pi)).exp()
    assert log_det.std() > 0.1
    assert density.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=1e-3)
