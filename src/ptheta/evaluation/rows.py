"""Some rows of a split, the same for everything that is measured on it."""

__all__ = ["head"]

import torch

from ptheta.data.dataset import Split


def head(split: Split, rows: int, seed: int) -> Split:
    """At most so many rows of a split, chosen at random and kept in order."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(split), generator=generator)[:rows].sort().values
    return Split(split.x[chosen], None if split.context is None else split.context[chosen])
