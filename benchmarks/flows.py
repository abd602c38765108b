"""Flows beside zuko, nflows and normflows: training, densities and draws of the same networks.

    python benchmarks/flows.py [--features 8 64] [--batches 256 4096] [cell ...]

The libraries are optional (the `peers` extra); those that are absent are left out. Every flow has
networks of two hidden layers, alike in all libraries, and is trained for a few steps first. One
more layer would be needed for the splines of normflows, which are therefore left out.
"""

from loops import bare  # isort: skip
from timing import interleaved, machine  # isort: skip

import argparse
import importlib
import importlib.util
import math
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

BINS, BOUND = 8, 5.0
WARM = 30  # steps of training before the clock starts


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
}


@dataclass(frozen=True)
class System:
    """A flow of some library, by its verbs."""

    module: nn.Module
    log_prob: Callable[[Tensor], Tensor]
    sample: Callable[[int], Tensor]


def ptheta(cell: Cell, features: int) -> System:
    univariate: Univariate = (
        RationalQuadratic(BINS, BOUND, temper=math.sqrt(cell.hidden)) if cell.spline else Affine()
    )
    hidden = (cell.hidden, cell.hidden)
    order = range(features)
    maps: list[Bijection] = [
        MaskedAutoregressive(univariate, features, 0, hidden, order=order[:: (-1) ** i])
        if cell.autoregressive
        else Coupling(univariate, features, 0, hidden, flip=i % 2 == 1)
        for i in range(cell.layers)
    ]
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
            return kind(features, cell.hidden, **plain, **more)
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


def data(rows: int, features: int) -> Tensor:
    mix = torch.randn(features, features) / math.sqrt(features) + torch.eye(features)
    x = torch.tanh(torch.randn(rows, features) @ mix) + 0.1 * torch.randn(rows, features)
    return (x - x.mean(dim=0)) / x.std(dim=0)


def training(system: System, x: Tensor) -> Callable[[], int]:
    """A step of training, by the same optimiser for all."""
    return bare(lambda x: -system.log_prob(x).mean(), system.module, x, steps=1, clip=5.0)


@torch.no_grad()
def scored(system: System, x: Tensor) -> int:
    system.log_prob(x)
    return len(x)


@torch.no_grad()
def drawn(system: System, n: int) -> int:
    system.sample(n)
    return n


def measure(name: str, features: int, batch: int, rounds: int) -> list[float]:
    """Prints the rates of a cell, and gives the ratios to the best peer."""
    torch.manual_seed(0)
    x = data(batch, features)
    built = {
        library: make(CELLS[name], features)
        for library, make in LIBRARIES.items()
        if library == "ptheta" or importlib.util.find_spec(library)
    }
    systems = {library: system for library, system in built.items() if system is not None}
    steps = {library: training(system, x) for library, system in systems.items()}
    for step in steps.values():
        for _ in range(WARM):
            step()
    works = {
        "train": steps,
        "log_prob": {k: (lambda s=s: scored(s, x)) for k, s in systems.items()},
        "sample": {k: (lambda s=s: drawn(s, batch)) for k, s in systems.items()},
    }
    ratios: list[float] = []
    for verb, work in works.items():
        seconds = interleaved(work, rounds=rounds)
        mine = seconds.pop("ptheta")
        peers = ", ".join(f"{k} {1 / s:,.0f}" for k, s in seconds.items())
        best = min(seconds.values(), default=mine)
        ratios.append(best / mine)
        print(
            f"{name:18} D {features:3} batch {batch:5} {verb:8} ptheta {1 / mine:10,.0f} a second, "
            f"{best / mine:5.2f}x the best peer ({peers})",
            flush=True,
        )
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cells", nargs="*", default=list(CELLS), help=", ".join(CELLS))
    parser.add_argument("--features", type=int, nargs="*", default=[8, 64])
    parser.add_argument("--batches", type=int, nargs="*", default=[256, 4096])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    ratios = [
        ratio
        for name in options.cells
        for features in options.features
        for batch in options.batches
        for ratio in measure(name, features, batch, options.rounds)
    ]
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f"geometric mean {mean:.2f}x the best peer, least {min(ratios):.2f}x")


if __name__ == "__main__":
    main()
