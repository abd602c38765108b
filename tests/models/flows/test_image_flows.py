"""Bijections of images: squeezing, couplings, levels, and the pieces of Glow."""

from functools import partial

import pytest
import torch
from torch.func import jacrev

from ptheta.models.flows.bases import Gaussian
from ptheta.models.flows.bijections import Composition
from ptheta.models.flows.flow import Flow
from ptheta.models.flows.image_coupling import ChannelCoupling, CheckerboardCoupling
from ptheta.models.flows.linear import ActNorm, LULinear
from ptheta.models.flows.multiscale import MultiScale, Squeeze
from ptheta.models.flows.splines import RationalQuadratic
from ptheta.models.flows.univariate import Affine, Shift
from ptheta.networks.convolutional import ContextConv2d, ResidualCNN
from ptheta.random import seeded
from ptheta.testing.bijections import bijection_checks

SMALL = partial(ResidualCNN, hidden_channels=4, blocks=1)
GIVEN = partial(SMALL, context_features=3)
SPLINE = RationalQuadratic(bins=3, bound=2.0)


def glow_step(channels):
    rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
    coupling = ChannelCoupling(Affine(), channels, SMALL)
    return [coupling, LULinear(rotation), ActNorm(channels)]


def two_levels():
    """As RealNVP and Glow have them: a checkerboard, a learned prior, steps on squeezed images."""
    prior = ChannelCoupling(Affine(), 4, partial(ContextConv2d, zero=True))
    board = CheckerboardCoupling(Affine(), 1, SMALL)
    first = Composition([prior, *glow_step(4), Squeeze(), board])
    last = Composition([*glow_step(8), Squeeze()])
    return MultiScale([first, last], [(4, 2, 2), (8, 1, 1)])


def two_levels_given():
    """Levels of the pieces that take a context."""
    prior = ChannelCoupling(Affine(), 4, partial(ContextConv2d, context_features=3, zero=True))
    board = CheckerboardCoupling(Affine(), 1, GIVEN)
    last = ChannelCoupling(Affine(), 8, GIVEN, flip=True)
    return MultiScale(
        [Composition([prior, Squeeze(), board]), Composition([last, Squeeze()])],
        [(4, 2, 2), (8, 1, 1)],
    )


# how each is made, the shapes of its noise and data, and the features of the context
BIJECTIONS = {
    "squeeze": (Squeeze, (8, 1, 2), (2, 2, 4), 0),
    **{
        f"{name}-{kind}": (lambda u=u, make=make: make(u, 3, SMALL), (3, 3, 2), (3, 3, 2), 0)
        for name, u in {"shift": Shift(), "affine": Affine(), "spline": SPLINE}.items()
        for kind, make in {"channels": ChannelCoupling, "board": CheckerboardCoupling}.items()
    },
    "channels-flipped": (
        lambda: ChannelCoupling(Affine(), 3, SMALL, flip=True),
        (3, 2, 2),
        (3, 2, 2),
        0,
    ),
    "board-flipped": (
        lambda: CheckerboardCoupling(Affine(), 1, SMALL, flip=True),
        (1, 3, 3),
        (1, 3, 3),
        0,
    ),
    "channels-conditional": (
        lambda: ChannelCoupling(Affine(), 2, GIVEN),
        (2, 2, 2),
        (2, 2, 2),
        3,
    ),
    "board-conditional": (
        lambda: CheckerboardCoupling(Affine(), 1, GIVEN),
        (1, 3, 3),
        (1, 3, 3),
        3,
    ),
    "actnorm-of-images": (lambda: ActNorm(3), (3, 2, 2), (3, 2, 2), 0),
    "convolution-1x1": (lambda: LULinear(torch.randn(3, 3)), (3, 2, 2), (3, 2, 2), 0),
    "levels": (two_levels, (16,), (1, 4, 4), 0),
    "levels-conditional": (two_levels_given, (16,), (1, 4, 4), 3),
}
CASES = [
    pytest.param(check, id=f"{name}: {check.name}")
    for name, (make, noise, data, context_features) in BIJECTIONS.items()
    for check in bijection_checks(make, noise, data, context_features=context_features)
]


def stirred(bijection, seed=0):
    """The same with weights away from their start, where couplings are the identity."""
    with seeded(seed), torch.no_grad():
        for parameter in bijection.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return bijection.double()


@pytest.mark.parametrize("check", CASES)
def test_the_contract_of_bijections(check):
    check.run()


def test_a_squeeze_takes_each_block_of_four_pixels_to_the_channels_of_one():
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    z, _ = Squeeze().inverse_and_log_det(x, None)
    for channel in range(2):
        block = x[0, channel, 2:4, 0:2].flatten()
        torch.testing.assert_close(z[0, 4 * channel : 4 * channel + 4, 1, 0], block)


@pytest.mark.parametrize("shape", [(2, 1, 3, 4), (2, 1, 4, 5), (2, 8)])
def test_images_that_cannot_be_squeezed_are_refused(shape):
    with pytest.raises(ValueError, match="sides are even"):
        Squeeze().inverse_and_log_det(torch.zeros(shape), None)
    with pytest.raises(ValueError, match="multiple of 4 channels"):
        Squeeze().forward_and_log_det(torch.zeros(shape), None)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("forward", [False, True])
def test_a_checkerboard_leaves_every_other_pixel_as_it_is_and_moves_the_rest(flip, forward):
    with seeded(0):
        map_ = stirred(CheckerboardCoupling(Affine(), 2, SMALL, flip=flip))
        x = torch.randn(3, 2, 4, 5, dtype=torch.float64)
    way = map_.forward_and_log_det if forward else map_.inverse_and_log_det
    y, _ = way(x, None)
    stays = torch.tensor([[(r + c) % 2 == int(flip) for c in range(5)] for r in range(4)])
    assert torch.equal(y[..., stays], x[..., stays])
    assert (y[..., ~stays] != x[..., ~stays]).all()
    # what is mapped does not enter the coefficients, and so is mapped along a line
    one, two = (way(torch.where(stays, x, x + by), None)[0] for by in (1, 2))
    torch.testing.assert_close(two - y, 2 * (one - y))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("forward", [False, True])
def test_a_coupling_of_channels_leaves_one_half_as_it_is_and_moves_the_other(flip, forward):
    with seeded(0):
        map_ = stirred(ChannelCoupling(Affine(), 5, SMALL, flip=flip))
        x = torch.randn(3, 5, 2, 2, dtype=torch.float64)
    y, _ = (map_.forward_and_log_det if forward else map_.inverse_and_log_det)(x, None)
    stays = torch.tensor([False] * 3 + [True] * 2 if flip else [True] * 3 + [False] * 2)
    assert torch.equal(y[:, stays], x[:, stays])
    assert (y[:, ~stays] != x[:, ~stays]).all()


def test_one_channel_has_no_half():
    with pytest.raises(ValueError, match="needs at least 2, got 1"):
        ChannelCoupling(Affine(), 1, SMALL)


def test_a_convolution_of_1x1_counts_its_matrix_once_a_pixel():
    with seeded(0):
        map_ = stirred(LULinear(torch.randn(3, 3)))
        x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    mapped, log_det = map_.forward_and_log_det(x, None)
    matrix = jacrev(lambda pixel: map_.forward_and_log_det(pixel[None], None)[0][0])(x[0, :, 1, 2])
    shift = map_.forward_and_log_det(torch.zeros_like(x), None)[0]
    convolved = torch.nn.functional.conv2d(x, matrix[:, :, None, None]) + shift
    torch.testing.assert_close(mapped, convolved)
    exact = 4 * 5 * torch.linalg.slogdet(matrix).logabsdet
    torch.testing.assert_close(log_det, exact.expand(2))


def test_a_convolution_of_1x1_that_starts_at_a_rotation_keeps_volumes():
    with seeded(0):
        rotation = torch.linalg.qr(torch.randn(6, 6))[0]
    x = torch.randn(2, 6, 3, 3)
    z, log_det = LULinear(rotation).inverse_and_log_det(x, None)
    torch.testing.assert_close(log_det, torch.zeros(2), rtol=0, atol=1e-4)
    torch.testing.assert_close(z.square().sum(dim=1), x.square().sum(dim=1), rtol=1e-4, atol=1e-4)


def test_every_norm_of_glow_starts_with_mean_0_and_variance_1_on_the_first_batch():
    with seeded(0):
        bijection = two_levels().double()
        x = 3 + 5 * torch.randn(64, 1, 4, 4, dtype=torch.float64).cumsum(dim=2)
    bijection.initialize(x, None)
    seen = []
    norms = [module for module in bijection.modules() if isinstance(module, ActNorm)]
    for norm in norms:
        original = norm.inverse_and_log_det

        def watched(x, context, original=original):
            found = original(x, context)
            seen.append(found[0])
            return found

        norm.inverse_and_log_det = watched
    bijection.inverse_and_log_det(x, None)
    assert len(seen) == len(norms) == 2
    for z in seen:
        values = z.transpose(0, 1).flatten(1)
        one = torch.ones(len(values), dtype=torch.float64)
        torch.testing.assert_close(values.mean(dim=1), 0 * one)
        torch.testing.assert_close(values.var(dim=1, correction=0), one)


def test_the_density_of_a_flow_of_levels_is_that_of_its_noise_times_the_whole_determinant():
    with seeded(1):
        bijection = stirred(two_levels())
        x = torch.randn(1, 4, 4, dtype=torch.float64)
    flow = Flow(bijection, Gaussian(16), (1, 4, 4)).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.encode(x[None])[0], x)
    exact = (
        flow.base.log_prob(flow.encode(x[None]))
        + torch.linalg.slogdet(jacobian.flatten(1)).logabsdet
    )
    torch.testing.assert_close(flow.log_prob(x[None]), exact)


def test_half_of_the_channels_leave_after_each_level_in_turn():
    levels = MultiScale([Squeeze(), Squeeze()], [(4, 2, 2), (8, 1, 1)])
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    z, _ = levels.inverse_and_log_det(x, None)
    # the lower rows of each block of 2 x 2 leave first, pixel by pixel of the squeezed image
    assert z[0, :8].tolist() == [4, 6, 12, 14, 5, 7, 13, 15]
    assert z[0, 8:].tolist() == [0, 2, 8, 10, 1, 3, 9, 11]


def test_levels_without_their_shapes_or_with_a_channel_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match="1 levels and 2 shapes"):
        MultiScale([Squeeze()], [(4, 2, 2), (8, 1, 1)])
    with pytest.raises(ValueError, match="must be even"):
        MultiScale([ActNorm(3), ActNorm(1)], [(3, 2, 2), (1, 2, 2)])


def test_a_learned_prior_gives_what_leaves_a_mean_and_scale_that_what_stays_sets():
    with seeded(0):
        prior = ChannelCoupling(Affine(), 2, partial(ContextConv2d, zero=True))
        z = torch.randn(2000, 2, 1, 1)
    with torch.no_grad():
        prior.network.convolution.weight[1, 0, 1, 1] = 3.0  # the shift is three times what stays
        prior.network.convolution.bias[0] = -1.0  # the log-scale is -1, within its bound of 1
    x, _ = prior.forward_and_log_det(z, None)
    # z = x e^s + t
    scale = (-torch.tanh(torch.tensor(-1.0))).exp()
    torch.testing.assert_close(x[:, 1], (z[:, 1] - 3 * x[:, 0]) * scale)
