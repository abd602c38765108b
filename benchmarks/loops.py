"""Steps of training, by ptheta's learner and by loops as a person would write them."""

__all__ = ["bare", "report", "run", "trained"]

from timing import machine  # isort: skip

import argparse
from collections.abc import Callable, Mapping

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ptheta.models.normalised import Normalised
from ptheta.objectives.likelihood import MaximumLikelihood
from ptheta.objectives.types import Batch
from ptheta.training.gradient import GradientLearner


def trained(
    model: Normalised, x: Tensor, steps: int, clip: float | None = None
) -> Callable[[], int]:
    """Steps of ptheta's learner on a batch; a call gives the number of examples that it saw."""
    learner = GradientLearner(model, MaximumLikelihood(), clip=clip)
    learner.setup(Fabric(accelerator="cpu", devices=1))

    def run() -> int:
        for _ in range(steps):
            learner.step(Batch(x, None))
        return steps * len(x)

    return run


def bare(
    loss: Callable[[Tensor], Tensor],
    module: nn.Module,
    x: Tensor,
    steps: int,
    clip: float | None = None,
) -> Callable[[], int]:
    """Steps of a bare loop on a batch, with the same optimiser."""
    adam = torch.optim.AdamW(module.parameters(), fused=True)

    def run() -> int:
        for _ in range(steps):
            loss(x).backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(module.parameters(), clip)
            adam.step()
            adam.zero_grad()
        return steps * len(x)

    return run


def report(title: str, unit: str, seconds: dict[str, float]) -> None:
    """Prints what was done a second, and the times beside that of the first."""
    first = next(iter(seconds.values()))
    print(title)
    for name, taken in seconds.items():
        print(f"  {name:34} {1 / taken:10.2f} {unit} a second, {taken / first:6.2f}x our time")


def run(systems: Mapping[str, Callable[[], None]]) -> None:
    """Runs the benchmarks that are named on the command line, or all, on one thread."""
    parser = argparse.ArgumentParser()
    parser.add_argument("systems", nargs="*", default=list(systems), help=", ".join(systems))
    torch.set_num_threads(1)
    print(machine())
    for name in parser.parse_args().systems:
        systems[name]()
