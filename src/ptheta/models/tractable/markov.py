r"""A Markov chain of order k, the same at every place.

.. math:: p(x) = \prod_t p(x_t \mid x_{t-k}, \dots, x_{t-1})
"""

__all__ = ["MarkovChain"]

from typing import Any

import torch
from torch import Tensor

from ptheta.errors import PthetaError
from ptheta.models.completion import Completing
from ptheta.models.normalised import FromFunctions, Normalised, unconditional
from ptheta.models.tractable.codes import Codes, draw_codes
from ptheta.spaces import Space

_MOST_COUNTS = 2**25
_BLOCK_VALUES = 2**24  # of the messages from known values that are held together


class MarkovChain(Completing, Normalised):
    r"""A Markov chain whose long contexts lean on shorter ones.

    .. math:: p_k(x \mid c) = \frac{n(c, x) + \beta \, p_{k-1}(x \mid c')}{n(c) + \beta}

    where :math:`c'` is the context :math:`c` without its oldest symbol. Before the start stands
    a symbol of its own.

    References:
        A hierarchical Dirichlet language model (MacKay & Peto, 1995),
        https://doi.org/10.1017/S1351324900000218, equation 25

    Arguments:
        space: A space of levels or categories, all values of one kind; they are taken in order.
        order: The number of symbols k that the next one depends on.
        strength: The weight beta of the shorter context, in counts.

    Raises:
        PthetaError: The space has values of other kinds, or the table would be too large.

    Example:
        >>> from ptheta.spaces import Binary
        >>> model = MarkovChain(Binary((4,)), order=1)
        >>> model.take(model.count(torch.tensor([[0, 1, 0, 1]])))
        >>> [round(p, 3) for p in model.table[0].exp().tolist()]  # after a 0: ones, twice of two
        [0.167, 0.833]
    """

    counts: Tensor
    table: Tensor

    def __init__(self, space: Space, order: int = 1, strength: float = 1.0) -> None:
        super().__init__()
        self.space = space
        self.codes = Codes(space)
        self.symbols = self.codes.one_size
        self.order = order
        self.strength = strength
        contexts = (self.symbols + 1) ** order
        if contexts * self.symbols > _MOST_COUNTS:
            raise PthetaError(
                f"order {order} over {self.symbols} symbols needs {contexts * self.symbols:,} "
                f"counts, more than {_MOST_COUNTS:,}; ask for a lower order."
            )
        self.register_buffer("counts", torch.zeros(contexts, self.symbols, dtype=torch.float64))
        self.register_buffer("table", self._log_probabilities(), persistent=False)
        self.register_load_state_dict_post_hook(_tabulate)

    def forward(self, context: Tensor | None = None) -> FromFunctions:
        unconditional(self, context)
        return FromFunctions(self.space, self._log_prob, self._draw)

    @torch.no_grad()
    def count(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """How often each symbol follows each context; counts of several batches add up.

        Arguments:
            x: The examples, with shape (batch, *space.shape).
            context: Must be None.

        Returns:
            The counts, with shape (contexts, symbols).
        """
        codes = self.codes(x)
        places = self.contexts(codes) * self.symbols + codes
        found = torch.bincount(places.flatten(), minlength=self.counts.numel())
        return found.double().reshape(self.counts.shape)

    @torch.no_grad()
    def take(self, counts: Tensor) -> None:
        """Takes the counts of all examples."""
        self.counts.copy_(counts)
        self.table.copy_(self._log_probabilities())

    def contexts(self, codes: Tensor) -> Tensor:
        """The number of each place's context, the last symbol counting least.

        Arguments:
            codes: The codes, with shape (batch, places).

        Returns:
            The numbers, with shape (batch, places).
        """
        start = codes.new_full((len(codes), self.order), self.symbols)
        padded = torch.cat([start, codes], dim=1)
        places, base = codes.shape[1], self.symbols + 1
        number = torch.zeros_like(codes)
        for back in range(1, self.order + 1):
            number += padded[:, self.order - back :][:, :places] * base ** (back - 1)
        return number

    def draw_given(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        """Values drawn in order, each given those before it and all known ones after it."""
        unconditional(self, context)
        size = max(1, _BLOCK_VALUES // (self.space.features * len(self.table)))
        parts = [self._fill(codes, known.tolist()) for codes in self.codes(x).split(size)]
        return self.codes.back(torch.cat(parts) if parts else self.codes(x))

    def _fill(self, codes: Tensor, known: list[bool]) -> Tensor:
        symbols = torch.arange(self.symbols, device=codes.device)
        ahead, number = self._ahead(codes, known), self._start(len(codes))
        drawn: list[Tensor] = []
        for place, message in enumerate(ahead):
            if known[place]:
                drawn.append(codes[:, place])
            else:
                logits = self.table[number]
                if message is not None:
                    after = message.gather(1, self._next(number[:, None], symbols))
                    logits = (logits + after.log()).log_softmax(dim=1)
                drawn.append(draw_codes(logits))
            number = self._next(number, drawn[-1])
        return torch.stack(drawn, dim=1)

    def _ahead(self, codes: Tensor, known: list[bool]) -> list[Tensor | None]:
        """What the known values after a place say of its context and itself, up to a factor.

        For each place that is drawn, p(known values after it | the context after it), with shape
        (rows, contexts); None where there are none.
        """
        base, contexts = self.symbols + 1, len(self.table)
        p, every = self.table.exp(), torch.arange(contexts, device=codes.device)
        # the context after a symbol has lost its oldest, the highest digit of its number
        by_oldest = p.reshape(base, contexts // base, self.symbols)
        message: Tensor | None = None
        found: list[Tensor | None] = []
        for place in reversed(range(len(known))):
            found.append(None if known[place] else message)
            if known[place]:
                symbol = codes[:, place]
                seen = p.T[symbol]
                if message is not None:
                    seen = seen * message.gather(1, self._next(every, symbol[:, None]))
                message = seen
            elif message is not None:
                after = message.unflatten(1, (-1, base))[:, :, : self.symbols]
                message = torch.einsum("ars,nrs->nar", by_oldest, after).flatten(1)
            if message is not None:
                # long stretches of known values would underflow
                message = message / message.amax(dim=1, keepdim=True)
        return found[::-1]

    def _start(self, n: int) -> Tensor:
        """The number of the first context, with shape (n,)."""
        return self.contexts(torch.zeros(n, 1, dtype=torch.long, device=self.table.device))[:, 0]

    def _next(self, number: Tensor, symbol: Tensor) -> Tensor:
        """The numbers of the contexts after symbols."""
        return (number * (self.symbols + 1) + symbol) % len(self.table)

    def _log_probabilities(self) -> Tensor:
        base = self.symbols + 1
        shorter = self.counts.sum(dim=0)
        p = (shorter + 0.5) / (shorter + 0.5).sum()
        p = p[None]
        for k in range(1, self.order + 1):
            # the oldest symbols are the highest digits of a context's number
            seen = self.counts.reshape(-1, base**k, self.symbols).sum(dim=0)
            prior = self.strength * p.repeat(base, 1)
            p = (seen + prior) / (seen.sum(dim=1, keepdim=True) + self.strength)
        return p.log()

    def _log_prob(self, x: Tensor) -> Tensor:
        codes = self.codes(x)
        return self.table[self.contexts(codes), codes].sum(dim=1)

    def _draw(self, n: int) -> Tensor:
        number = self._start(n)
        drawn: list[Tensor] = []
        for _ in range(self.space.features):
            drawn.append(draw_codes(self.table[number]))
            number = self._next(number, drawn[-1])
        return self.codes.back(torch.stack(drawn, dim=1))


def _tabulate(module: MarkovChain, keys: Any) -> None:
    module.take(module.counts)
