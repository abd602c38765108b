"""The same flows by ptheta, zuko, nflows and normflows: networks of two hidden layers in all."""

__all__ = ["CELLS", "LIBRARIES", "System", "installed"]

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ptheta.models.flows.autoregressive import MaskedAutoregressive
from ptheta.models.flows.bases import Gaussian
from ptheta.models.flows.bijections import Bijection, Composition
from ptheta.models.flows.coupling import Coupling
from ptheta.models.flows.flow import Flow
from ptheta.models.flows.splines import RationalQuadratic
from ptheta.models.flows.univariate import Affine, Univariate
from ptheta.networks.mlp import MLP
from ptheta.recipes.flows.vector import TEMPER

BINS, BOUND = 8, 5.0


@dataclass(frozen=True)
class Cell:
    """An architecture: its layers, and the width of its two hidden layers."""

    layers: int
    hidden: int
    autoregressive: bool
    spline: bool


CELLS = {
    "realnvp": Cell(8, 128, autoregressive=False, spline=False),
    "maf": Cell(5, 128, autoregressive=True, spline=False),
    "nsf-coupling": Cell(6, 128, autoregressive=False, spline=True),
    "nsf-autoregressive": Cell(5, 128, autoregressive=True, spline=True),
    "nsf-autoregressive-small": Cell(3, 64, autoregressive=True, spline=True),
}


@dataclass(frozen=True)
class System:
    """A flow of some library, by its verbs."""

    module: nn.Module
    log_prob: Callable[[Tensor], Tensor]
    sample: Callable[[int], Tensor]


def ptheta(cell: Cell, features: int) -> System:
    spline = RationalQuadratic(BINS, BOUND, temper=TEMPER)
    univariate: Univariate = spline if cell.spline else Affine()
    hidden = (cell.hidden, cell.hidden)
    order = range(features)
    maps: list[Bijection] = [
        MaskedAutoregressive(univariate, features, 0, hidden, order=order[:: (-1) ** i])
        if cell.autoregressive
        else Coupling(univariate, features, 0, hidden, flip=i % 2 == 1)
        for i in range(cell.layers)
    ]
    for map_ in maps:
        # as the recipes of affine maps do
        if isinstance(map_, MaskedAutoregressive) and not cell.spline:
            map_.start_near_identity()
    flow = Flow(Composition(maps), Gaussian(features))
    return System(flow, flow.log_prob, flow.sample)


def zuko(cell: Cell, features: int) -> System:
    flows = importlib.import_module("zuko.flows")
    options: dict[str, Any] = {
        "transforms": cell.layers,
        "hidden_features": (cell.hidden, cell.hidden),
    }
    if cell.spline:
        passes = None if cell.autoregressive else 2
        flow = flows.NSF(features, bins=BINS, passes=passes, **options)
    else:
        flow = (flows.MAF if cell.autoregressive else flows.RealNVP)(features, **options)
    return System(flow, lambda x: flow().log_prob(x), lambda n: flow().sample((n,)))


def activate_first(network: Any) -> None:
    """Puts an activation after the first layer, which that of nflows and normflows goes without."""
    network.initial_layer = nn.Sequential(network.initial_layer, nn.ReLU())


class Unconditional(MLP):
    """A network as nflows calls it, with a context that is not there."""

    def forward(self, input: Tensor, context: None = None) -> Tensor:
        return super().forward(input)


def nflows(cell: Cell, features: int) -> System:
    library = importlib.import_module("nflows.transforms")
    distributions = importlib.import_module("nflows.distributions")
    flows = importlib.import_module("nflows.flows")
    splines = {"num_bins": BINS, "tails": "linear", "tail_bound": BOUND}

    def layer(i: int) -> nn.Module:
        if cell.autoregressive:
            kind = (
                library.MaskedPiecewiseRationalQuadraticAutoregressiveTransform
                if cell.spline
                else library.MaskedAffineAutoregressiveTransform
            )
            more = splines if cell.spline else {}
            plain = {"num_blocks": 1, "use_residual_blocks": False}
            made = kind(features, cell.hidden, **plain, **more)
            activate_first(made.autoregressive_net)
            return made
        mask = torch.ones(features)
        mask[i % 2 :: 2] = -1

        def network(seen: int, made: int) -> nn.Module:
            return Unconditional(seen, made, (cell.hidden, cell.hidden), nn.ReLU)

        if cell.spline:
            return library.PiecewiseRationalQuadraticCouplingTransform(mask, network, **splines)
        return library.AffineCouplingTransform(mask, network)

    steps: list[nn.Module] = []
    for i in range(cell.layers):
        if i and cell.autoregressive:
            steps.append(library.ReversePermutation(features))
        steps.append(layer(i))
    flow = flows.Flow(library.CompositeTransform(steps), distributions.StandardNormal([features]))
    return System(flow, flow.log_prob, flow.sample)


def normflows(cell: Cell, features: int) -> System | None:
    library = importlib.import_module("normflows")
    if cell.spline:
        return None
    steps: list[nn.Module] = []
    for _ in range(cell.layers):
        if cell.autoregressive:
            made = library.flows.MaskedAffineAutoregressive(
                features, cell.hidden, num_blocks=1, use_residual_blocks=False
            )
            activate_first(made.autoregressive_net)
            # turned round, so that densities take one pass
            steps.append(library.flows.Reverse(made))
        else:
            moved = features // 2
            sizes = [features - moved, cell.hidden, cell.hidden, 2 * moved]
            network = library.nets.MLP(sizes, init_zeros=True)
            steps.append(library.flows.AffineCouplingBlock(network))
        steps.append(library.flows.Permute(features, mode="swap"))
    flow = library.NormalizingFlow(library.distributions.DiagGaussian(features), steps)
    return System(flow, flow.log_prob, lambda n: flow.sample(n)[0])


LIBRARIES: Mapping[str, Callable[[Cell, int], System | None]] = {
    "ptheta": ptheta,
    "zuko": zuko,
    "nflows": nflows,
    "normflows": normflows,
}


def installed() -> list[str]:
    """The libraries that are here, ptheta first."""
    return [library for library in LIBRARIES if importlib.util.find_spec(library)]
