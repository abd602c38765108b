"""How time and memory grow with the number of values: a step on 100 examples, and 16 draws.

    python benchmarks/growth.py [recipe ...]

Each measurement has a process of its own, so that the memory it peaks at is its own. Sequences
and vectors have as many binary values as the images have pixels; a pair of sequences, half of
them each. Where a recipe counts its data once, that is its step.
"""

from timing import machine  # isort: skip

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from multiprocessing.pool import Pool

import torch
from lightning_fabric import Fabric

from ptheta.objectives.types import Batch
from ptheta.protocols import SupportsInitialize, SupportsSample
from ptheta.recipes.registry import build
from ptheta.spaces import Binary, Categorical, Space

SIDES = (14, 28, 56)
BATCH, DRAWN, STEPS = 100, 16, 3
IMAGES = ("fvsbn", "made", "nade", "eonade", "pixelcnn", "gated-pixelcnn", "row-lstm",
          "diagonal-bilstm")  # fmt: skip
TRACTABLE = ("independent", "markov", "chow-liu", "hmm")
SEQUENCES = ("char-rnn", "char-gru", "char-lstm", "transformer", "wavenet")
PAIRS = ("seq2seq-lstm", "seq2seq-transformer")


def spaces_of(recipe: str, side: int) -> tuple[Space, Categorical | None]:
    """What is modelled, and what it is given."""
    if recipe in PAIRS:
        shape = (side * side // 2,)
        return Binary(shape, "sequence"), Categorical(shape, 2, layout="sequence")
    if recipe in SEQUENCES:
        return Binary((side * side,), "sequence"), None
    return Binary((1, side, side), "image"), None


def measure(recipe: str, side: int) -> tuple[float, float, float]:
    """Seconds of a step, seconds of the draws, and the megabytes that the step takes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space, given = spaces_of(recipe, side)
    algorithm = build(recipe, space, given)
    x = torch.randint(0, 2, (BATCH, *space.shape), dtype=torch.uint8)
    context = None if given is None else torch.randint(0, 2, (BATCH, *given.shape))
    model = algorithm.model
    if isinstance(model, SupportsInitialize):
        model.initialize(x, context)
    algorithm.learner.setup(Fabric(accelerator="cpu", devices=1))
    before = peak()
    taken = [seconds_of(lambda: algorithm.learner.step(Batch(x, context))) for _ in range(STEPS)]
    megabytes = peak() - before
    assert isinstance(model, SupportsSample)
    model.eval()
    some = None if context is None else context[:DRAWN]
    return min(taken), seconds_of(lambda: model.sample(DRAWN, some)), megabytes


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipes", nargs="*", default=[*TRACTABLE, *IMAGES, *SEQUENCES, *PAIRS])
    parser.add_argument("--sides", nargs="*", type=int, default=list(SIDES))
    options = parser.parse_args()
    print(machine())
    print("| recipe | values | a step on 100 | 16 draws | memory of the step |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for recipe in options.recipes:
        for side in options.sides:
            with own_process() as pool:
                step, drawing, megabytes = pool.apply(measure, (recipe, side))
            print(
                f"| {recipe} | {side * side} | {step * 1e3:.0f} ms | {drawing * 1e3:.0f} ms | "
                f"{megabytes:.0f} MiB |",
                flush=True,
            )


def own_process() -> Pool:
    return multiprocessing.get_context("spawn").Pool(1)


if __name__ == "__main__":
    main()
