"""The same weights in zuko and in nflows give the same densities."""

import pytest
import torch
from torch import nn

from ptheta.models.flows.autoregressive import MaskedAutoregressive
from ptheta.models.flows.bases import Gaussian
from ptheta.models.flows.bijections import Composition
from ptheta.models.flows.flow import Flow
from ptheta.models.flows.splines import RationalQuadratic
from ptheta.models.flows.univariate import Affine

FEATURES, HIDDEN, LAYERS = 6, 24, 3


def ours(univariate):
    """Layers whose orders alternate, with weights that matter."""
    maps = [
        MaskedAutoregressive(
            univariate, FEATURES, 0, (HIDDEN, HIDDEN), order=range(FEATURES)[:: (-1) ** i]
        )
        for i in range(LAYERS)
    ]
    with torch.no_grad():
        for map_ in maps:
            map_.output.weight.normal_(0, 0.3).mul_(map_.output.mask)
            map_.output.bias.normal_(0, 0.3)
    return Flow(Composition(maps), Gaussian(FEATURES))


def copied(map_, theirs):
    """Gives the masked layers of another library the weights and masks of a map."""
    layers = [*map_.hidden, map_.output]
    for i, (mine, other) in enumerate(zip(layers, theirs, strict=True)):
        # they list the coefficients of a value one after the other, and we its values
        size = map_.univariate.size if i == len(layers) - 1 else 1
        turn = torch.arange(len(mine.bias)).reshape(size, -1).t().flatten()
        with torch.no_grad():
            other.weight.copy_(mine.weight[turn])
            other.bias.copy_(mine.bias[turn])
            other.mask.copy_(mine.mask[turn])


def test_maf_is_that_of_zuko():
    zuko = pytest.importorskip("zuko")
    flow = ours(Affine())

    def univariate(raw, shift):
        return torch.distributions.AffineTransform(shift, torch.exp(torch.tanh(raw)))

    x = torch.randn(50, FEATURES)
    z, log_det = x, torch.zeros(50)
    for map_ in reversed(flow.bijection.steps):
        theirs = zuko.flows.MaskedAutoregressiveTransform(
            FEATURES, univariate=univariate, shapes=[(), ()], hidden_features=(HIDDEN, HIDDEN)
        )
        copied(map_, [layer for layer in theirs.hyper if isinstance(layer, nn.Linear)])
        z, step = theirs().call_and_ladj(z)
        log_det = log_det + step
    expected = torch.distributions.Normal(0, 1).log_prob(z).sum(dim=1) + log_det
    torch.testing.assert_close(flow.log_prob(x), expected, rtol=1e-5, atol=1e-5)


def test_the_autoregressive_spline_flow_is_that_of_nflows():
    transforms = pytest.importorskip("nflows.transforms")
    # nflows means to temper widths and heights, but looks for an attribute that is not there
    flow = ours(RationalQuadratic(bins=7, bound=4.0))
    x = 2 * torch.randn(50, FEATURES)
    z, log_det = x, torch.zeros(50)
    for map_ in reversed(flow.bijection.steps):
        theirs = transforms.MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
            FEATURES, HIDDEN, num_bins=7, tails="linear", tail_bound=4.0, num_blocks=1,
            use_residual_blocks=False,
        )  # fmt: skip
        net = theirs.autoregressive_net
        copied(map_, [net.initial_layer, net.blocks[0].linear, net.final_layer])
        z, step = theirs(z)
        log_det = log_det + step
    expected = torch.distributions.Normal(0, 1).log_prob(z).sum(dim=1) + log_det
    torch.testing.assert_close(flow.log_prob(x), expected, rtol=1e-5, atol=1e-5)
