"""Rounds that take turns in one process, and the medians of what they took."""

import os

# set before torch loads: threads that spin at barriers slow each other down
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch


def interleaved(systems: Mapping[str, Callable[[], float]], rounds: int = 9) -> dict[str, float]:
    """The median seconds a unit of work of each system.

    Arguments:
        systems: What each system does in a round; it returns how many units it did.
        rounds: The number of rounds; one more is run first and not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for round_ in range(rounds + 1):
        for name, work in systems.items():
            started = time.perf_counter()
            units = work()
            taken = time.perf_counter() - started
            if round_ > 0:
                seconds[name].append(taken / units)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def machine() -> str:
    """A line about the machine, for beside the figures."""
    load = os.getloadavg()[0]
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, load {load:.1f}"
    )
