"""Whether samples reach every mode of a distribution whose modes are known."""

__all__ = ["Modes", "modes_covered"]

from dataclasses import dataclass

import torch
from torch import Tensor

from ptheta.data.dataset import Truth
from ptheta.evaluation.estimate import Estimate, share_of


@dataclass(frozen=True)
class Modes:
    """Modes that samples reach.

    Arguments:
        covered: The number of modes covered, with a bootstrap interval.
        of: The number of modes that there are.
        near: The share of samples that lie within the mode radius of a mode.
    """

    covered: Estimate
    of: int
    near: Estimate


def modes_covered(samples: Tensor, truth: Truth, *, seed: int = 0) -> Modes | None:
    """Counts the modes that samples reach.

    A sample is of a mode where it lies within the mode's radius. A mode is covered where it has
    at least a fifth of an equal share of the samples: a few strays between two modes do not
    cover a third.

    Arguments:
        samples: The samples, with shape (n, *shape).
        truth: What is known of the distribution.
        seed: The seed of the bootstrap.

    Returns:
        The count, or None where the modes are not known.

    References:
        VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning (Srivastava,
        Valkov, Russell, Gutmann & Sutton, 2017), https://arxiv.org/abs/1705.07761, section 5.1
    """
    if truth.modes is None:
        return None
    of = len(truth.modes)
    distance = torch.cdist(samples.flatten(1).double(), truth.modes.flatten(1).double())
    nearest = distance.min(dim=1)
    near = nearest.values <= truth.mode_radius
    mode = torch.where(near, nearest.indices, of)
    generator = torch.Generator().manual_seed(seed)
    again = torch.randint(len(mode), (1000, len(mode)), generator=generator)
    counts = torch.stack([_covered(row, of) for row in mode[again]]).double()
    low, high = counts.quantile(torch.tensor([0.025, 0.975], dtype=counts.dtype)).tolist()
    return Modes(Estimate(_covered(mode, of).item(), low, high), of, share_of(near))


def _covered(mode: Tensor, of: int) -> Tensor:
    counts = mode.bincount(minlength=of + 1)[:of]
    return (counts >= max(1.0, 0.2 * len(mode) / of)).sum()
