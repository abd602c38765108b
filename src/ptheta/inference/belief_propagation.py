r"""Belief propagation on a grid: marginals by messages between neighbours.

What site i, with log-potentials u, tells its neighbour j leaves out what j told it:

.. math:: m_{i \to j}(x_j) = \log \sum_{x_i} \exp \Big( u_i(x_i) + \psi_{ij}(x_i, x_j)
    + \sum_{k \in N(i) \setminus j} m_{k \to i}(x_i) \Big), \qquad
    b_i \propto \exp \Big( u_i + \sum_{k \in N(i)} m_{k \to i} \Big) .
"""

__all__ = ["Beliefs", "SupportsPotentials", "belief_propagation"]

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F


@runtime_checkable
class SupportsPotentials(Protocol):
    """A field on a grid that tells its log-potentials."""

    def potentials(self, context: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Those of sites, of horizontal and of vertical pairs, as `belief_propagation` has them."""
        ...


class Beliefs(NamedTuple):
    """What messages say of each site.

    Arguments:
        marginals: The probability of each state, with shape (batch, ..., height, width, states).
        moved: By how many nats, at most, messages were about to change in the last round, with
            shape (batch,).
        converged: Whether that is within the tolerance, boolean, with shape (batch,).
    """

    marginals: Tensor
    moved: Tensor
    converged: Tensor


@torch.no_grad()
def belief_propagation(
    unary: Tensor,
    horizontal: Tensor,
    vertical: Tensor,
    *,
    rounds: int = 100,
    damping: float = 0.5,
    tolerance: float = 1e-4,
) -> Beliefs:
    r"""The marginals of a field on a grid by sums and products, all messages sent at once.

    They are exact where the grid is a single row or column, once messages have gone along it.
    Elsewhere, where loops are, they are those of a stationary point of Bethe's free energy, if
    messages converge.

    References:
        Probabilistic Reasoning in Intelligent Systems (Pearl, 1988),
        https://doi.org/10.1016/C2009-0-27609-4, section 4.3
        Loopy Belief Propagation for Approximate Inference: An Empirical Study (Murphy, Weiss &
        Jordan, 1999), https://arxiv.org/abs/1301.6725, for damping
        Constructing Free-Energy Approximations and Generalized Belief Propagation Algorithms
        (Yedidia, Freeman & Weiss, 2005), https://doi.org/10.1109/TIT.2005.850085

    Arguments:
        unary: The log-potentials of sites, with shape (batch, ..., height, width, states).
        horizontal: Those of a site, the row, and the one on its right, (states, states).
        vertical: Those of a site, the row, and the one below it, (states, states).
        rounds: The number of rounds at most.
        damping: The share of its old message, in logs, that each keeps; from 0 up to 1.
        tolerance: The change in nats below which messages are taken to have converged.

    Raises:
        ValueError: Shapes do not fit, potentials are not finite, or settings are out of bounds.

    Example:
        >>> unary = torch.tensor([[[[0.0, 2.0], [0.0, 0.0]]]])
        >>> equal = 3 * torch.eye(2)
        >>> found = belief_propagation(unary, equal, equal)
        >>> found.marginals[0, 0]
        tensor([[0.1192, 0.8808],
                [0.1553, 0.8447]])
        >>> found.converged
        tensor([True])
    """
    _check(unary, horizontal, vertical)
    if rounds < 1 or not 0 <= damping < 1:
        raise ValueError(
            f"expected one round or more and a damping from 0 up to 1, got {rounds} and {damping}"
        )
    # sums over states are several times as quick where these come first
    unary = unary.movedim(-1, 0).contiguous()
    received = unary.new_zeros(4, *unary.shape)
    moved = unary.new_zeros(unary.shape[1])
    for _ in range(rounds):
        sent = _sent(unary, horizontal, vertical, received)
        moved = (sent - received).abs().movedim(2, 0).flatten(1).amax(dim=1)
        received = torch.lerp(sent, received, damping)
        if (moved < tolerance).all():
            break
    marginals = (unary + received.sum(dim=0)).softmax(dim=0)
    return Beliefs(marginals.movedim(0, -1), moved, moved < tolerance)


def _sent(unary: Tensor, horizontal: Tensor, vertical: Tensor, received: Tensor) -> Tensor:
    """The messages that sites get next, from the left, right, above and below: (4, *unary.shape).

    Beyond the edge there is nobody, and the message is zero.
    """
    # what a site thinks, but for what it was told by its neighbour on each side
    left, right, above, below = unary + received.sum(dim=0) - received
    return torch.stack(
        [
            F.pad(_told(right[..., :-1], horizontal), (1, 0)),
            F.pad(_told(left[..., 1:], horizontal.t()), (0, 1)),
            F.pad(_told(below[..., :-1, :], vertical), (0, 0, 1, 0)),
            F.pad(_told(above[..., 1:, :], vertical.t()), (0, 0, 0, 1)),
        ]
    )


def _told(teller: Tensor, coupling: Tensor) -> Tensor:
    """What sites tell across a coupling, with shape (states, ...), as logs of mean zero."""
    pairs = teller.unsqueeze(1) + coupling.reshape(*coupling.shape, *[1] * (teller.dim() - 1))
    message = pairs.logsumexp(dim=0)
    return message - message.mean(dim=0, keepdim=True)


def _check(unary: Tensor, horizontal: Tensor, vertical: Tensor) -> None:
    if unary.dim() < 4:
        raise ValueError(
            "expected log-potentials of sites with shape (batch, ..., height, width, states), got "
            f"shape {tuple(unary.shape)}"
        )
    square = (unary.shape[-1],) * 2
    if horizontal.shape != square or vertical.shape != square:
        raise ValueError(
            f"expected log-potentials of pairs with shape {square}, got shapes "
            f"{tuple(horizontal.shape)} and {tuple(vertical.shape)}"
        )
    if not all(bool(part.isfinite().all()) for part in (unary, horizontal, vertical)):
        raise ValueError("expected log-potentials that are finite, got some that are not")
