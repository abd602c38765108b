"""Seeds, without touching the caller's random state."""

__all__ = ["seeded"]

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int | None) -> Generator[None]:
    """Runs a block under a seed, and puts the global random state back afterwards.

    Arguments:
        seed: The seed; None leaves the state as it is.

    Example:
        >>> with seeded(0):
        ...     a = torch.rand(2)
        >>> with seeded(0):
        ...     b = torch.rand(2)
        >>> torch.equal(a, b)
        True
    """
    if seed is None:
        yield
        return
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
