"""Glow of one level by ptheta, nflows and normflows: steps of a norm, a matrix and a coupling."""

__all__ = ["GLOW"]

import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from flow_systems import System
from torch import Tensor, nn

from ptheta.models.flows.bases import Gaussian
from ptheta.models.flows.bijections import Bijection, Composition
from ptheta.models.flows.flow import Flow
from ptheta.models.flows.image_coupling import ChannelCoupling
from ptheta.models.flows.linear import ActNorm, LULinear
from ptheta.models.flows.multiscale import MultiScale, Squeeze
from ptheta.models.flows.univariate import Affine

STEPS, HIDDEN = 8, 64


class ConvNet(nn.Sequential):
    """Convolutions of 3, 1 and 3 pixels a side, as in the paper; the last starts at zero."""

    def __init__(self, seen: int, made: int) -> None:
        super().__init__(
            nn.Conv2d(seen, HIDDEN, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(HIDDEN, HIDDEN, 1),
            nn.ReLU(),
            nn.Conv2d(HIDDEN, made, 3, padding=1),
        )
        for parameter in self[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, input: Tensor, context: None = None) -> Tensor:
        return super().forward(input)


def shapes(features: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The shapes of an image of so many values and of what it is squeezed to."""
    side = math.isqrt(features)
    channels, side = (1, side) if side**2 == features else (features // 4, 2)
    return (channels, side, side), (4 * channels, side // 2, side // 2)


def ptheta(features: int) -> System:
    image, squeezed = shapes(features)
    channels = squeezed[0]
    maps: list[Bijection] = []
    for _ in range(STEPS):
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        coupling = ChannelCoupling(Affine(), channels, ConvNet)
        maps += [coupling, LULinear(rotation), ActNorm(channels)]
    level = MultiScale([Composition([*maps, Squeeze()])], [squeezed])
    flow = Flow(level, Gaussian(features), image)
    return System(flow, lambda x: flow.log_prob(x.unflatten(1, image)), flow.sample)


def nflows(features: int) -> System:
    library = importlib.import_module("nflows.transforms")
    distributions = importlib.import_module("nflows.distributions")
    flows = importlib.import_module("nflows.flows")
    image, squeezed = shapes(features)
    channels = squeezed[0]
    mask = torch.ones(channels)
    mask[: channels - channels // 2] = -1
    steps: list[nn.Module] = [library.SqueezeTransform()]
    for _ in range(STEPS):
        steps += [
            library.ActNorm(channels),
            library.OneByOneConvolution(channels),
            library.AffineCouplingTransform(mask, ConvNet),
        ]
    base = distributions.StandardNormal(squeezed)
    flow = flows.Flow(library.CompositeTransform(steps), base)
    return System(flow, lambda x: flow.log_prob(x.unflatten(1, image)), flow.sample)


def normflows(features: int) -> System:
    library = importlib.import_module("normflows")
    image, squeezed = shapes(features)
    steps: list[nn.Module] = [
        library.flows.GlowBlock(squeezed[0], HIDDEN, scale_map="exp") for _ in range(STEPS)
    ]
    base = library.distributions.DiagGaussian(squeezed)
    flow: Any = library.NormalizingFlow(base, [*steps, library.flows.Squeeze()])
    return System(flow, lambda x: flow.log_prob(x.unflatten(1, image)), lambda n: flow.sample(n)[0])


GLOW: Mapping[str, Callable[[int], System]] = {
    "ptheta": ptheta,
    "nflows": nflows,
    "normflows": normflows,
}
