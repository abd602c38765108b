import pytest
import torch

from ptheta.networks.residual import ResidualMLP
from ptheta.networks.sizes import default_width
from ptheta.networks.time import TimeFeatures


def test_residual_network_starts_without_its_blocks():
    torch.manual_seed(0)
    net = ResidualMLP(3, 2, 16, blocks=4)
    x = torch.randn(5, 3)
    expected = net.leave(torch.nn.functional.silu(net.enter(x)))
    torch.testing.assert_close(net(x), expected)


def test_condition_reaches_the_output_once_blocks_count():
    torch.manual_seed(0)
    net = ResidualMLP(3, 2, 16, condition_features=2)
    x, c = torch.randn(5, 3), torch.randn(5, 2)
    with torch.no_grad():
        torch.testing.assert_close(net(x, c), net(x, -c))
        torch.nn.init.normal_(net.blocks[0].second.weight)
        assert not torch.allclose(net(x, c), net(x, -c))


def test_times_a_level_apart_have_features_apart():
    features = TimeFeatures(32)(torch.linspace(0, 1, 200))
    distances = torch.cdist(features, features) + 10 * torch.eye(200)
    assert distances.min() > 0.1
    torch.testing.assert_close(features.square().sum(dim=1), torch.full((200,), 16.0))


def test_odd_number_of_time_features_is_refused():
    with pytest.raises(ValueError, match="even"):
        TimeFeatures(3)


def test_width_grows_with_the_data_within_bounds():
    widths = [default_width(n) for n in (1, 32, 33, 64, 128, 10_000)]
    assert widths == [128, 128, 192, 256, 512, 512]
