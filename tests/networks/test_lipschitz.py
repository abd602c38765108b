from functools import partial

import pytest
import torch
from torch import nn

from ptheta.networks.contraction import contraction_of_images, contraction_of_vectors
from ptheta.networks.lipschitz import BoundedConv2d, BoundedLinear, LipSwish, spectral_bound


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (40, 40), (2, 3, 7, 4)])
def test_the_bound_holds_and_is_near(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    largest = torch.linalg.svdvals(matrices)[..., 0]
    found = spectral_bound(matrices)
    assert (found >= largest * (1 - 1e-6)).all()
    assert (found <= largest * min(shape[-2:]) ** (1 / 128) * (1 + 1e-6)).all()


def test_the_bound_is_loosest_where_all_singular_values_are_one():
    torch.testing.assert_close(spectral_bound(torch.eye(128)), torch.tensor(128 ** (1 / 128)))


@pytest.mark.parametrize("size", [0.0, 1e-12, 1e12])
def test_matrices_of_any_size_have_a_bound_and_a_gradient(size):
    matrix = (size * torch.ones(3, 2)).requires_grad_()
    bound = spectral_bound(matrix)
    torch.testing.assert_close(bound.detach(), torch.tensor(size * 6**0.5))
    bound.backward()
    assert matrix.grad.isfinite().all()


def test_the_gradient_of_the_bound_is_exact():
    torch.manual_seed(0)
    matrix = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(spectral_bound, matrix)


def matrix_of(function, shape):
    """The matrix of an affine function of examples of a shape."""
    features = torch.Size(shape).numel()
    basis = torch.eye(features, dtype=torch.float64).reshape(features, *shape)
    return (function(basis) - function(torch.zeros_like(basis))).flatten(1).t()


@pytest.mark.parametrize(
    ("size", "kernel"),
    [((5, 5), 3), ((4, 7), 3), ((1, 1), 3), ((2, 1), 3), ((5, 4), 5), ((3, 3), 1)],
)
def test_a_convolution_keeps_its_bound_on_whole_images(size, kernel):
    torch.manual_seed(0)
    layer = BoundedConv2d(2, 3, kernel, size, bound=0.7).double()
    with torch.no_grad():
        layer.weight.mul_(10)
    matrix = matrix_of(layer.bounded(), (2, *size))
    largest = torch.linalg.svdvals(matrix)[0]
    assert largest <= 0.7 * (1 + 1e-9)
    # on the smallest images the torus is much wider than they are
    assert largest > 0.1


def test_the_kernel_as_a_matrix_is_no_bound_for_its_convolution():
    # nine equal weights: a norm of 3 as a matrix, and near 9 as a convolution
    layer = BoundedConv2d(1, 1, 3, (9, 9), bound=1.0).double()
    with torch.no_grad():
        layer.weight.fill_(1.0)
    as_convolution = torch.linalg.svdvals(
        matrix_of(lambda x: nn.functional.conv2d(x, layer.weight, padding=1), (1, 9, 9))
    )[0]
    assert as_convolution > 8
    assert torch.linalg.svdvals(matrix_of(layer.bounded(), (1, 9, 9)))[0] <= 1


def test_small_weights_are_left_as_they_are():
    layer = BoundedLinear(3, 4, bound=0.9)
    with torch.no_grad():
        layer.weight.mul_(0.1)
    x = torch.randn(5, 3)
    torch.testing.assert_close(layer.bounded()(x), x @ layer.weight.t() + layer.bias)


@pytest.mark.parametrize("steepness", [-3.0, 0.5, 6.0])
def test_the_slope_of_lipswish_is_at_most_one(steepness):
    activation = LipSwish().double()
    with torch.no_grad():
        activation.steepness.fill_(steepness)
    x = torch.linspace(-50, 50, 200_001, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(activation(x).sum(), x)
    # it comes near 1, so that little of the slope is given away
    assert 0.99 < slope.abs().max() <= 1


# how each is made from its activation, and the shape of an example
CONTRACTIONS = {
    "vectors": (partial(contraction_of_vectors, 4, [16, 16]), (4,)),
    "images": (partial(contraction_of_images, (2, 4, 3), 5), (2, 4, 3)),
}


@pytest.mark.parametrize("activation", [nn.ELU, LipSwish])
@pytest.mark.parametrize("kind", CONTRACTIONS)
def test_measured_slopes_stay_below_the_constant_whatever_the_weights(kind, activation):
    make, shape = CONTRACTIONS[kind]
    # made here, and not with the list of cases, so that the seed of a test holds for it
    network = make(activation, lipschitz=0.97, context_features=2).double()
    for size in (1.0, 10.0):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(size * torch.randn_like(parameter))
        x, context = (
            3 * torch.randn(40, *shape, dtype=torch.float64),
            torch.randn(1, 2, dtype=torch.float64),
        )

        def alone(x, context=context):
            return network(x[None], context)[0].flatten()

        jacobians = torch.stack([torch.autograd.functional.jacobian(alone, row) for row in x])
        slopes = torch.linalg.svdvals(jacobians.flatten(2))[:, 0]
        assert slopes.max() <= 0.97
        # larger weights than one saturate most units, and what is left depends on the draw
        assert slopes.max() > (0.03 if size == 1.0 else 0.0)


def test_a_slope_of_one_or_more_is_refused():
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1.0"):
        contraction_of_vectors(2, [4], nn.ELU, lipschitz=1.0)
