import pytest
import torch
from torch.nn import functional as F

from ptheta.networks.convolutional import ContextConv2d, ResidualCNN
from ptheta.random import seeded


def stirred(network):
    with seeded(0), torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return network


def test_a_context_shifts_the_outputs_of_a_convolution_alike_in_all_pixels():
    layer = stirred(ContextConv2d(2, 3, context_features=4))
    with seeded(1):
        x, context = torch.randn(5, 2, 4, 6), torch.randn(5, 4)
    plain = F.conv2d(x, layer.convolution.weight, layer.convolution.bias, padding=1)
    with pytest.raises(ValueError, match="reads 4 features of a context, and none are given"):
        layer(x)
    shift = context @ layer.shift.weight.t()
    torch.testing.assert_close(layer(x, context) - plain, shift[:, :, None, None].expand_as(plain))


def test_a_residual_network_adds_what_its_blocks_find():
    network = stirred(ResidualCNN(2, 3, 4, blocks=2, context_features=3))
    with seeded(1):
        x, context = torch.randn(5, 2, 3, 4), torch.randn(5, 3)
    h = network.enter(x, context)
    for block in network.blocks:
        h = h + block.second(block.first(h.relu(), context).relu(), None)
    torch.testing.assert_close(network(x, context), network.leave(h.relu()))
    assert network(x, context).shape == (5, 3, 3, 4)


def test_a_residual_network_starts_at_zero_and_learns_from_there():
    network = ResidualCNN(1, 2, 4)
    x = torch.ones(2, 1, 4, 4)
    y = network(x)
    assert not y.any()
    (y - 1).square().sum().backward()
    assert network.leave.convolution.weight.grad.any()


def test_dropout_is_of_training_alone():
    network = stirred(ResidualCNN(1, 2, 8, dropout=0.5))
    x = torch.ones(2, 1, 4, 4)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))
