import pytest
import torch
from torch import nn

from ptheta.networks.convolutional import PooledCNN
from ptheta.networks.diffusion_transformer import DiffusionTransformer
from ptheta.networks.folding import Folded
from ptheta.networks.unet import UNet
from ptheta.random import seeded


def unet(shape, **settings):
    return UNet(shape[0], 3, hidden_channels=8, blocks=1, **settings)


def transformer(shape, patch=2):
    return DiffusionTransformer(shape, 3, hidden_features=8, layers=2, heads=2, patch=patch)


NETWORKS = {
    "unet": unet,
    "unet-of-three": lambda shape: unet(shape, levels=3),
    "unet-of-patches": lambda shape: unet(shape, patch=2),
    "transformer": transformer,
}
each_network = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)


def stirred(network):
    with seeded(0), torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return network.double()


def images(*shape):
    with seeded(1):
        return torch.randn(shape, dtype=torch.float64)


@each_network
def test_a_network_starts_at_zero_and_learns_from_there(make):
    network = make((2, 7, 5))
    x, told = images(3, 2, 7, 5).float(), torch.ones(3, 3)
    assert network(x, told).shape == x.shape
    assert not network(x, told).any()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        loss = (network(x, told) - x.flip(3)).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.8 * x.square().mean()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


@each_network
def test_every_pixel_sees_all_of_its_own_image_and_what_that_is_told(make):
    network = stirred(make((1, 6, 6)))
    x, told = images(2, 1, 6, 6).requires_grad_(), images(2, 3).requires_grad_()
    by_pixels, by_told = torch.autograd.grad(network(x, told)[0, 0, 0, 0], (x, told))
    assert (by_pixels[0] != 0).all()
    assert (by_told[0] != 0).all()
    assert not by_pixels[1].any()
    assert not by_told[1].any()


def test_places_of_a_transformer_are_told_apart():
    network = stirred(transformer((1, 4, 4)))
    x, told = images(1, 1, 4, 4), images(1, 3)
    moved = torch.cat([x[:, :, 2:], x[:, :, :2]], dim=2)  # whole patches change places
    there = network(moved, told)
    back = torch.cat([there[:, :, 2:], there[:, :, :2]], dim=2)
    assert not torch.allclose(back, network(x, told))
    with torch.no_grad():
        network.places.zero_()
    there = network(moved, told)
    back = torch.cat([there[:, :, 2:], there[:, :, :2]], dim=2)
    torch.testing.assert_close(back, network(x, told))


@pytest.mark.parametrize(("patch", "multiple"), [(1, 1), (2, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("sides", [(1, 1), (4, 4), (5, 7)])
def test_folding_keeps_every_pixel(patch, multiple, sides):
    folded, x = Folded(2, patch, multiple), images(3, 2, *sides)
    h = folded.fold(x)
    assert h.shape[1] == folded.channels == 2 * patch**2
    assert all(side % multiple == 0 for side in h.shape[2:])
    assert h.square().sum() == pytest.approx(x.square().sum().item())
    torch.testing.assert_close(folded.unfold(h, x), x, rtol=0, atol=0)


def test_outputs_of_a_pooled_network_are_means_over_the_image():
    network = stirred(PooledCNN(1, 4, 8, blocks=1, condition_features=3, patch=2))
    x, told = images(2, 1, 6, 6), images(2, 3)
    inner = network.network(network.folded.fold(x), told)
    assert inner.shape == (2, 4, 3, 3)
    torch.testing.assert_close(network(x, told), inner.mean(dim=(2, 3)))


def test_widths_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="hidden_channels must be a multiple of 8, got 12"):
        UNet(1, 3, hidden_channels=12)
    with pytest.raises(ValueError, match=r"hidden_features must be a multiple of the heads \(4\)"):
        DiffusionTransformer((1, 4, 4), 3, hidden_features=10)
    assert isinstance(UNet(1, 3, hidden_channels=24), nn.Module)
