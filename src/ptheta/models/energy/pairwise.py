r"""A field of states on a grid, each tied to its four neighbours: Ising's and Potts' models.

With own log-potentials u of a state, and couplings H of a site to the one on its right and V to the
one below,

.. math:: \log \tilde p(x) = \sum_i u(x_i) + \sum_{i \rightarrow j} H(x_i, x_j)
    + \sum_{i \downarrow j} V(x_i, x_j) .
"""

__all__ = ["PairwiseField"]

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.broadcasting import over


class PairwiseField(nn.Module):
    r"""A Markov random field on a grid, whose parameters are the same at every site.

    Two states are Ising's model, more are Potts'. The couplings are :math:`\beta [x_i = x_j]`, or
    tables. Sites may have log-potentials of their own, which the context adds to the shared ones:
    the logs of how likely what was observed there is under each state make it the posterior of the
    states. The same parameters serve grids of any size.

    References:
        Some generalized order-disorder transformations (Potts, 1952),
        https://doi.org/10.1017/S0305004100027419
        Spatial Interaction and the Statistical Analysis of Lattice Systems (Besag, 1974),
        https://doi.org/10.1111/j.2517-6161.1974.tb00999.x
        Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of Images (Geman &
        Geman, 1984), https://doi.org/10.1109/TPAMI.1984.4767596, for the posterior

    Arguments:
        shape: The shape of the grids that are drawn: (height, width), or (1, height, width).
        states: The number of states; data are their codes from 0.
        tables: Whether couplings are tables of states by states, with the left or upper site's
            state as the row; otherwise each is one number, which equal neighbours gain.

    Raises:
        ValueError: The shape is not that of a grid, or there are fewer than two states.

    Example:
        >>> field = PairwiseField((4, 4), states=3)
        >>> _ = field.horizontal.data.fill_(0.5)
        >>> stripes = torch.tensor([0, 1, 2, 0]).expand(1, 4, 4)
        >>> field.unnormalized_log_prob(torch.cat([stripes, stripes.mT])).tolist()
        [0.0, 6.0]
        >>> field.conditional_log_probs(stripes).shape
        torch.Size([1, 4, 4, 3])
    """

    def __init__(self, shape: tuple[int, ...], states: int = 2, *, tables: bool = False) -> None:
        super().__init__()
        if len(shape) not in (2, 3) or shape[:-2] not in ((), (1,)) or min(shape) < 1:
            raise ValueError(f"expected a shape (height, width) or (1, height, width), got {shape}")
        if states < 2:
            raise ValueError(f"expected two states or more, got {states}")
        self.shape = shape
        self.states = states
        size = (states, states) if tables else ()
        self.unary = nn.Parameter(torch.zeros(states))
        self.horizontal = nn.Parameter(torch.zeros(size))
        self.vertical = nn.Parameter(torch.zeros(size))

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts from sites that follow the data one by one, without couplings.

        Arguments:
            x: The training examples, with shape (rows, *shape).
            context: Not looked at.

        Raises:
            ValueError: A code is not one of the states.
        """
        codes = self._codes(x)
        low, high = codes.min(), codes.max()
        if low < 0 or high >= self.states:
            raise ValueError(
                f"expected codes from 0 to {self.states - 1}, got codes from {low} to {high}"
            )
        # half a count of each state, so that no potential is infinite
        counts = codes.flatten().bincount(minlength=self.states) + 0.5
        self.unary.copy_((counts / counts.sum()).log())
        self.horizontal.zero_()
        self.vertical.zero_()

    def couplings(self) -> tuple[Tensor, Tensor]:
        """The tables of horizontal and vertical neighbours, each with shape (states, states)."""
        if self.horizontal.dim():
            return self.horizontal, self.vertical
        equal = torch.eye(self.states, dtype=self.unary.dtype, device=self.unary.device)
        return self.horizontal * equal, self.vertical * equal

    def potentials(self, context: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The log-potentials of each site with shape (batch, *shape, states), and the couplings.

        Without a context they are those of one grid of the field's own shape.
        """
        grids = (1, *self.shape) if context is None else tuple(context.shape[:-1])
        return self._own(self._checked(grids), context), *self.couplings()

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,).

        Arguments:
            x: The codes, with shape (batch, height, width) or (batch, 1, height, width).
            context: The log-potentials of each site's own, with shape (*x.shape, states).
        """
        codes = self._codes(x)
        horizontal, vertical = self.couplings()
        own = self._own(codes.shape, context).gather(-1, codes.unsqueeze(-1))
        right = horizontal[codes[..., :-1], codes[..., 1:]]
        below = vertical[codes[..., :-1, :], codes[..., 1:, :]]
        return own.flatten(1).sum(1) + right.flatten(1).sum(1) + below.flatten(1).sum(1)

    def conditional_log_probs(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The log-probability of each state of each site given all other sites.

        Arguments:
            x: The codes, with shape (batch, height, width) or (batch, 1, height, width).
            context: The log-potentials of each site's own, with shape (*x.shape, states).

        Returns:
            The log-probabilities in nats, with shape (*x.shape, states).
        """
        return self._conditional_logits(x, context).log_softmax(dim=-1)

    def blocks(self, x: Tensor) -> Tensor:
        """The two colours of a chessboard: sites of one do not interact.

        Returns:
            Which sites are of each colour, boolean, with shape (2, height, width).
        """
        height, width = (torch.arange(size, device=x.device) for size in x.shape[-2:])
        odd = (height[:, None] + width) % 2 == 1
        return torch.stack([~odd, odd])

    @torch.no_grad()
    def start(self, n: int) -> Tensor:
        """Draws of sites that are not coupled, with shape (n, *shape)."""
        shares = self.unary.softmax(dim=0)
        sites = self.shape[-2] * self.shape[-1]
        if n == 0:
            return shares.new_zeros(0, *self.shape, dtype=torch.long)
        return torch.multinomial(shares, n * sites, replacement=True).reshape(n, *self.shape)

    @torch.no_grad()
    def gibbs(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The sites of one colour given the other, and then the others, shaped as x.

        Which colour is first is left to chance, which makes the sweep reversible.
        """
        one, other = self.blocks(x)
        swapped = over(torch.rand(len(x), device=x.device) < 0.5, x)
        for block in (torch.where(swapped, other, one), torch.where(swapped, one, other)):
            logits = self._conditional_logits(x, context)
            # the largest of logits with Gumbel noise follows their softmax
            gumbel = -torch.empty_like(logits).exponential_().log()
            x = torch.where(block, (logits + gumbel).argmax(dim=-1).to(x.dtype), x)
        return x

    @torch.no_grad()
    def tempered(self, beta: float) -> "PairwiseField":
        """The field with its couplings times beta, from 0, where sites are independent, to 1."""
        field = PairwiseField(self.shape, self.states, tables=self.horizontal.dim() > 0)
        field.unary = self.unary
        field.horizontal = nn.Parameter(beta * self.horizontal)
        field.vertical = nn.Parameter(beta * self.vertical)
        return field

    def log_partition_at_start(self) -> Tensor:
        """log Z of the field without its couplings, a scalar."""
        return self.shape[-2] * self.shape[-1] * self.unary.logsumexp(dim=0)

    def _conditional_logits(self, x: Tensor, context: Tensor | None) -> Tensor:
        codes = self._codes(x)
        horizontal, vertical = self.couplings()
        # rows are looked up ten times as quickly where they are contiguous
        leftward, upward = horizontal.t().contiguous(), vertical.t().contiguous()
        logits = self._own(codes.shape, context).clone()
        logits[..., :-1, :] += F.embedding(codes[..., 1:], leftward)
        logits[..., 1:, :] += F.embedding(codes[..., :-1], horizontal)
        logits[..., :-1, :, :] += F.embedding(codes[..., 1:, :], upward)
        logits[..., 1:, :, :] += F.embedding(codes[..., :-1, :], vertical)
        return logits

    def _own(self, grids: tuple[int, ...], context: Tensor | None) -> Tensor:
        """The log-potentials of each site, with shape (*grids, states)."""
        shape = (*grids, self.states)
        if context is None:
            return self.unary.expand(shape)
        if context.shape != shape:
            raise ValueError(
                f"expected as context a log-potential for each state of each site, with shape "
                f"{shape}, got shape {tuple(context.shape)}"
            )
        return self.unary + context

    def _codes(self, x: Tensor) -> Tensor:
        self._checked(tuple(x.shape))
        return x.long()

    def _checked(self, grids: tuple[int, ...]) -> tuple[int, ...]:
        if len(grids) != len(self.shape) + 1 or grids[1:-2] != self.shape[:-2]:
            one = "1, " * (len(self.shape) - 2)
            raise ValueError(
                f"expected grids with shape (batch, {one}height, width), got shape {grids}"
            )
        return grids
