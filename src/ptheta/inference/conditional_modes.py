"""Iterated conditional modes: a climb to states that no single change improves."""

__all__ = ["Modes", "iterated_conditional_modes"]

from typing import NamedTuple

import torch
from torch import Tensor

from ptheta.inference.conditionals import SupportsBlocks
from ptheta.inference.kernels import Target


class Modes(NamedTuple):
    """Where a climb came to.

    Arguments:
        x: The states, with shape (batch, *shape).
        settled: Which rows the last sweep left as they were, boolean, with shape (batch,): no
            change of a single value makes these likelier.
    """

    x: Tensor
    settled: Tensor


@torch.no_grad()
def iterated_conditional_modes(
    target: Target[SupportsBlocks], x: Tensor, *, sweeps: int = 100
) -> Modes:
    r"""Values that go, block after block, to their likeliest state given all others.

    .. math:: x_i \leftarrow \operatorname*{arg\,max}_s \, p(x_i = s \mid x_{-i})

    The values of a block do not interact, so that they move together and the density never falls.

    References:
        On the Statistical Analysis of Dirty Pictures (Besag, 1986),
        https://doi.org/10.1111/j.2517-6161.1986.tb01412.x, section 2.5

    Arguments:
        target: The model, and what each row is conditioned on.
        x: The states from which to climb, with shape (batch, *shape).
        sweeps: The number of rounds over all blocks at most.

    Raises:
        ValueError: There is no sweep.

    Example:
        >>> from ptheta.models.energy.pairwise import PairwiseField
        >>> field = PairwiseField((3, 3))
        >>> _ = field.horizontal.data.fill_(1.0), field.vertical.data.fill_(1.0)
        >>> speck = torch.tensor([[[0, 0, 0], [0, 1, 0], [0, 0, 0]]])
        >>> iterated_conditional_modes(Target(field), speck).x.sum().item()
        0
    """
    if sweeps < 1:
        raise ValueError(f"expected one sweep or more, got {sweeps}")
    settled = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for _ in range(sweeps):
        before = x
        for block in target.model.blocks(x):
            log_probs = target.model.conditional_log_probs(x, target.context)
            best, state = log_probs.max(dim=-1)
            here = log_probs.gather(-1, x.long().unsqueeze(-1)).squeeze(-1)
            # between equals a value stays, or it might change for ever
            x = torch.where(block & (best > here), state.to(x.dtype), x)
        settled = (x == before).flatten(1).all(dim=1)
        if settled.all():
            break
    return Modes(x, settled)
