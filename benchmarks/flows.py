"""Flows beside zuko, nflows and normflows: training, densities and draws of the same networks.

    python benchmarks/flows.py [--features 8 64] [--batches 256 4096] [--compile] [cell ...]

The libraries are optional (the `peers` extra); those that are absent are left out. Every flow has
networks of two hidden layers, alike in all libraries, and is trained for a few steps first. One
more layer would be needed for the splines of normflows, which are therefore left out, as is Glow
for zuko. The floor is the share of a step of training that the products of the networks take.
`--compile` times ptheta's own steps of training compiled by torch beside them as they are.

flowjax, where it is installed, stands beside them compiled by XLA, and is no part of the ratios.
For one thread it wants XLA_FLAGS="--xla_cpu_multi_thread_eigen=false
intra_op_parallelism_threads=1".
"""

from loops import bare  # isort: skip
from timing import interleaved, machine  # isort: skip

import argparse
import importlib.util
import math
import time
from collections.abc import Callable
from functools import partial

import torch
from flow_glow import GLOW
from flow_jax import flowjax_works
from flow_systems import CELLS, LIBRARIES, System, installed
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

WARM = 30  # steps of training before the clock starts
ROUND = 0.1  # seconds that a round lasts at least
PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "mkldnn_convolution", "convolution_backward")


def systems(name: str, features: int) -> dict[str, System]:
    """The flow of a cell, by each library that is installed and has it."""
    if name == "glow":
        return {library: GLOW[library](features) for library in installed() if library in GLOW}
    made = {library: LIBRARIES[library](CELLS[name], features) for library in installed()}
    return {library: system for library, system in made.items() if system is not None}


def data(rows: int, features: int) -> Tensor:
    mix = torch.randn(features, features) / math.sqrt(features) + torch.eye(features)
    x = torch.tanh(torch.randn(rows, features) @ mix) + 0.1 * torch.randn(rows, features)
    return (x - x.mean(dim=0)) / x.std(dim=0)


def training(system: System, x: Tensor, steps: int = 1) -> Callable[[], int]:
    """Steps of training, by the same optimiser for all."""
    return bare(lambda x: -system.log_prob(x).mean(), system.module, x, steps, clip=5.0)


@torch.no_grad()
def scored(system: System, x: Tensor) -> int:
    system.log_prob(x)
    return len(x)


@torch.no_grad()
def drawn(system: System, n: int) -> int:
    system.sample(n)
    return n


def lasting(work: Callable[[], int]) -> Callable[[], int]:
    """The work again and again, until a round has lasted."""

    def repeated() -> int:
        units, started = 0, time.perf_counter()
        while time.perf_counter() < started + ROUND:
            units += work()
        return units

    return repeated


def measure(name: str, features: int, batch: int, rounds: int) -> list[float]:
    """Prints the rates of a cell, and gives the ratios to the best peer."""
    torch.manual_seed(0)
    x = data(batch, features)
    flows = systems(name, features)
    for system in flows.values():
        training(system, x, WARM)()
    works: dict[str, dict[str, Callable[[], int]]] = {
        "train": {k: training(s, x) for k, s in flows.items()},
        "log_prob": {k: partial(scored, s, x) for k, s in flows.items()},
        "sample": {k: partial(drawn, s, batch) for k, s in flows.items()},
    }
    if name in CELLS and importlib.util.find_spec("flowjax"):
        for verb, work in flowjax_works(CELLS[name], features, x).items():
            works[verb]["flowjax"] = work
    ratios: list[float] = []
    for verb, work in works.items():
        # value by value the peers take seconds for one batch of draws
        slow = verb == "sample" and name in CELLS and CELLS[name].autoregressive
        seconds = interleaved(
            {k: lasting(w) for k, w in work.items()}, rounds=max(3, rounds // 4) if slow else rounds
        )
        mine = seconds.pop("ptheta")
        peers = ", ".join(f"{k} {1 / s:,.0f}" for k, s in seconds.items())
        seconds.pop("flowjax", None)
        best = min(seconds.values(), default=mine)
        ratios.append(best / mine)
        floor = f", floor {products(flows['ptheta'], x):.0%}" if verb == "train" else ""
        print(
            f"{name:18} D {features:3} batch {batch:5} {verb:8} ptheta {1 / mine:10,.0f} a second, "
            f"{best / mine:5.2f}x the best peer ({peers}){floor}",
            flush=True,
        )
    return ratios


def products(system: System, x: Tensor) -> float:
    """The share of a step of training that matrix products and convolutions take."""
    step = training(system, x, 5)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    taken = {event.key: event.self_cpu_time_total for event in found.key_averages()}
    return sum(taken.get(f"aten::{key}", 0.0) for key in PRODUCTS) / sum(taken.values())


def measure_compiled(name: str, features: int, batch: int, rounds: int) -> None:
    """Prints how much quicker ptheta's steps of training are when torch compiles them."""
    torch.manual_seed(0)
    x = data(batch, features)
    flow = systems(name, features)["ptheta"]
    plain = training(flow, x)
    fast = training(System(flow.module, torch.compile(flow.log_prob), flow.sample), x)
    started = time.perf_counter()
    fast()
    warming = time.perf_counter() - started
    seconds = interleaved({"plain": lasting(plain), "compiled": lasting(fast)}, rounds=rounds)
    print(
        f"{name:18} D {features:3} batch {batch:5} train compiled "
        f"{1 / seconds['compiled']:10,.0f} a second, "
        f"{seconds['plain'] / seconds['compiled']:5.2f}x as it is; {warming:.0f} s to compile",
        flush=True,
    )


def main() -> None:
    names = [name for name in CELLS if not name.endswith("small")] + ["glow"]
    parser = argparse.ArgumentParser()
    parser.add_argument("cells", nargs="*", default=names, help=", ".join([*CELLS, "glow"]))
    parser.add_argument("--features", type=int, nargs="*", default=[8, 64])
    parser.add_argument("--batches", type=int, nargs="*", default=[256, 4096])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    cells = [
        (name, features, batch)
        for name in options.cells
        for features in options.features
        for batch in options.batches
    ]
    if options.compile:
        for cell in cells:
            measure_compiled(*cell, options.rounds)
        return
    ratios = [ratio for cell in cells for ratio in measure(*cell, options.rounds)]
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f"geometric mean {mean:.2f}x the best peer, least {min(ratios):.2f}x")


if __name__ == "__main__":
    main()
