"""Fields on small grids, and their marginals by sums over all states."""

import torch
from torch.nn import functional as F

from ptheta.models.energy.pairwise import PairwiseField
from ptheta.random import seeded


def stirred(shape, states=2, *, scale=0.7, tables=True):
    """A field with couplings and potentials drawn at random."""
    with seeded(1), torch.no_grad():
        field = PairwiseField(shape, states, tables=tables).double()
        for parameter in field.parameters():
            parameter.copy_(scale * torch.randn_like(parameter))
    return field


def every(shape, states):
    """All states of a grid."""
    sites = shape[-2] * shape[-1]
    return torch.cartesian_prod(*[torch.arange(states)] * sites).reshape(-1, *shape)


def evidence(rows, shape, states):
    """Log-potentials of each site's own."""
    return torch.randn(rows, *shape, states, dtype=torch.float64)


@torch.no_grad()
def marginals(field, context=None):
    """The probability of each state of each site, for each row of the context."""
    x = every(field.shape, field.states)
    codes = F.one_hot(x, field.states).double()
    rows = [None] if context is None else [row.expand(*x.shape, -1) for row in context]
    shares = [field.unnormalized_log_prob(x, row).softmax(dim=0) for row in rows]
    return torch.stack([(share @ codes.flatten(1)).reshape(codes.shape[1:]) for share in shares])
