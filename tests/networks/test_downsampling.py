import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ptheta.networks.downsampling import DownsamplingCNN
from ptheta.networks.mlp import MLP
from ptheta.random import seeded

STEEPEST = 1.0998  # the slope of SiLU


def stirred(network):
    with seeded(0), torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return network.double()


def test_it_folds_convolves_and_reads_what_is_left():
    net = stirred(DownsamplingCNN((2, 5, 4), 3, [4, 6]))
    with seeded(1):
        x = torch.randn(7, 40, dtype=torch.float64)
    h = F.pad(x.unflatten(1, (2, 5, 4)), (0, 0, 0, 1))  # 6 x 4, then 3 x 2, 4 x 2, and 2 x 1
    h = F.silu(net.layers[0](F.pixel_unshuffle(h, 2)))
    h = F.silu(net.layers[1](F.pixel_unshuffle(F.pad(h, (0, 0, 0, 1)), 2)))
    assert h.shape == (7, 6, 2, 1)
    torch.testing.assert_close(net(x), net.leave(h.flatten(1)))


def test_the_context_follows_the_image():
    net = stirred(DownsamplingCNN((1, 4, 4), 1, [4], context_features=3))
    with seeded(1):
        x, context = torch.randn(5, 16).double(), torch.randn(5, 3).double()
    image = F.pixel_unshuffle(x.unflatten(1, (1, 4, 4)), 2)
    expected = net.leave(F.silu(net.layers[0](image, context)).flatten(1))
    torch.testing.assert_close(net(torch.cat([x, context], dim=1)), expected)


@pytest.mark.parametrize(
    "network",
    [
        DownsamplingCNN((1, 7, 6), 1, [4, 8], spectral_norm=0.8),
        MLP(42, 1, [16, 16], spectral_norm=0.8),
    ],
    ids=["cnn", "mlp"],
)
def test_bounded_layers_bound_the_slope(network):
    network = stirred(network)
    with seeded(1):
        x = 3 * torch.randn(500, 42, dtype=torch.float64)
    x.requires_grad_()
    (slope,) = torch.autograd.grad(network(x).sum(), x)
    bound = 0.8**3 * STEEPEST**2  # of three layers and two activations
    assert slope.norm(dim=1).max() <= bound
    # and the layers have slack of their own, but not by orders of magnitude
    assert slope.norm(dim=1).max() > bound / 20
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                assert torch.linalg.matrix_norm(layer.weight, 2) <= 0.8 * (1 + 1e-9)


def test_bounded_layers_take_gradients_of_gradients():
    network = stirred(DownsamplingCNN((1, 4, 4), 1, [3], spectral_norm=0.5))
    weight = network.layers[0].convolution.parametrizations.weight.original
    x = torch.ones(2, 16, dtype=torch.float64, requires_grad=True)

    def squared_slope(value):
        with torch.no_grad():
            weight.copy_(value)
        (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        return slope.square().sum()

    start = weight.detach().clone()
    (found,) = torch.autograd.grad(squared_slope(start), weight)
    with seeded(2):
        along = torch.randn_like(start)
    step = 1e-5
    difference = squared_slope(start + step * along) - squared_slope(start - step * along)
    torch.testing.assert_close((found * along).sum(), difference.detach() / (2 * step))
