"""Drawing from MAF value by value, and by whole evaluations until they stand (Jacobi).

    python benchmarks/inverses.py [--seconds 20]

On flows that were trained, since untrained ones are near the identity, where few evaluations are
enough. The iteration ends where nothing changes but by rounding; it is exact after as many
evaluations as there are values.
"""

from timing import interleaved, machine  # isort: skip

import argparse
import math
from collections.abc import Callable
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor

import ptheta
from ptheta.models.flows.flow import Flow

SETS = ("moons", "power-plant", "protein", "miniboone-head", "digits")
BATCHES = (64, 256, 512, 1024, 4096)


def by_values(flow: Flow, z: Tensor) -> Tensor:
    return _drawn(flow, z, few=0.0)


def whole(flow: Flow, z: Tensor) -> Tensor:
    return _drawn(flow, z, few=math.inf)


def _drawn(flow: Flow, z: Tensor, few: float) -> Tensor:
    with patch("ptheta.models.flows.autoregressive._FEW", few):
        return flow.bijection(z)


def drawn(way: Callable[[Flow, Tensor], Tensor], flow: Flow, z: Tensor) -> int:
    return len(way(flow, z))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    print(machine())
    print("| set | D | batch | by values, a second | whole, a second | ratio | they differ by |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in SETS:
        flow = ptheta.fit(name, "maf", seconds=seconds).model.eval().model
        assert isinstance(flow, Flow)
        for batch in BATCHES:
            z = flow.latent(batch)
            with torch.no_grad():
                off = (by_values(flow, z) - whole(flow, z)).abs().max().item()
                taken = interleaved(
                    {
                        "values": partial(drawn, by_values, flow, z),
                        "whole": partial(drawn, whole, flow, z),
                    }
                )
            print(
                f"| {name} | {z.shape[1]} | {batch} | {1 / taken['values']:,.0f} "
                f"| {1 / taken['whole']:,.0f} | {taken['whole'] / taken['values']:.2f} "
                f"| {off:.0e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
