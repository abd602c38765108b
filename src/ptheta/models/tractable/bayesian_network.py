r"""A Bayesian network of tables on a graph that is given.

.. math:: p(x) = \prod_d p(x_d \mid x_{\mathrm{parents}(d)})

Every value has one table, a row for each joint state of its parents. All tables lie in one
vector; where an example falls in each of them is one matrix product of its codes with strides.
"""

__all__ = ["BayesianNetwork", "cycle_of"]

import math
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import torch
from torch import Tensor

from ptheta.errors import PthetaError
from ptheta.models.normalised import FromFunctions, Normalised, unconditional
from ptheta.models.tractable.codes import Codes, draw_codes
from ptheta.spaces import Space

_MOST_COUNTS = 2**25


class BayesianNetwork(Normalised):
    """Conditional tables on a directed acyclic graph.

    References:
        Probabilistic reasoning in intelligent systems (Pearl, 1988)

    Arguments:
        space: A space of levels or categories.
        parents: The values that each value depends on.
        smoothing: The counts added to each entry of a table.

    Raises:
        PthetaError: The graph has a cycle or names values that are not there, a table would be too
            large, or the space has real or missing values.

    Example:
        >>> from ptheta.spaces import Binary
        >>> model = BayesianNetwork(Binary((2,)), parents=[(), (0,)])
        >>> model.take(model.count(torch.tensor([[0, 0], [0, 0], [1, 1]])))
        >>> model.log_prob(torch.tensor([[0, 0]])).exp()  # (2.5 / 4) (2.5 / 3)
        tensor([0.5208], dtype=torch.float64)
    """

    counts: Tensor
    log_probabilities: Tensor
    strides: Tensor
    starts: Tensor
    row: Tensor

    def __init__(
        self, space: Space, parents: Sequence[Sequence[int]], smoothing: float = 0.5
    ) -> None:
        super().__init__()
        self.space = space
        self.codes = Codes(space)
        self.smoothing = smoothing
        sizes = self.codes.sizes
        _refuse_other_values(parents, len(sizes))
        self.levels = _levels(parents)
        strides = torch.zeros(len(sizes), len(sizes), dtype=torch.long)
        lengths: list[int] = []
        for d, given in enumerate(parents):
            length = sizes[d] * math.prod(sizes[parent] for parent in given)
            if length > _MOST_COUNTS:
                raise PthetaError(
                    f"value {d} has so many parents that its table holds {length:,} entries, "
                    f"more than {_MOST_COUNTS:,}."
                )
            lengths.append(length)
            strides[d, d], stride = 1, sizes[d]
            for parent in given:
                strides[parent, d] = stride
                stride *= sizes[parent]
        length = torch.tensor(lengths)
        # the entries of one row of a table follow each other
        width = torch.repeat_interleave(torch.tensor(sizes), length)
        first = torch.repeat_interleave(length.cumsum(0) - length, length)
        row = first + (torch.arange(len(width)) - first) // width * width
        self.register_buffer("strides", strides, persistent=False)
        self.register_buffer("starts", (length.cumsum(0) - length), persistent=False)
        self.register_buffer("row", row, persistent=False)
        self.register_buffer("width", width, persistent=False)
        self.register_buffer("counts", torch.zeros(len(width), dtype=torch.float64))
        self.register_buffer("log_probabilities", self._tabulated(), persistent=False)
        self.register_load_state_dict_post_hook(_tabulate)

    def forward(self, context: Tensor | None = None) -> FromFunctions:
        unconditional(self, context)
        return FromFunctions(self.space, self._log_prob, self._draw)

    @torch.no_grad()
    def count(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """How often each entry of each table occurs; counts of several batches add up.

        Arguments:
            x: The examples, with shape (batch, *space.shape).
            context: Must be None.

        Returns:
            The counts, one table after the other, with shape (entries,).
        """
        places = self.places(self.codes(x)).flatten()
        return torch.bincount(places, minlength=len(self.counts)).double()

    @torch.no_grad()
    def take(self, counts: Tensor) -> None:
        """Takes the counts of all examples."""
        self.counts.copy_(counts)
        self.log_probabilities.copy_(self._tabulated())

    def places(self, codes: Tensor) -> Tensor:
        """Where codes fall in the tables, with shape (batch, values)."""
        return self._rows(codes, self.strides) + self.starts

    def _rows(self, codes: Tensor, strides: Tensor) -> Tensor:
        # in double precision, which holds whole numbers to 2^53 and has a fast product
        return (codes.double() @ strides.double()).long()

    def _tabulated(self) -> Tensor:
        smooth = self.counts + self.smoothing
        total = torch.zeros_like(smooth).index_add(0, self.row, smooth)[self.row]
        return (smooth / total).log()

    def _log_prob(self, x: Tensor) -> Tensor:
        return self.log_probabilities[self.places(self.codes(x))].sum(dim=1)

    def _draw(self, n: int) -> Tensor:
        sizes = torch.tensor(self.codes.sizes, device=self.counts.device)
        codes = torch.zeros(n, len(sizes), dtype=torch.long, device=sizes.device)
        for level in self.levels:
            values = torch.tensor(level, device=codes.device)
            row = self._rows(codes, self.strides[:, values]) + self.starts[values]
            code = torch.arange(int(sizes[values].max()), device=codes.device)
            inside = code < sizes[values, None]
            entries = (row[:, :, None] + code).clamp(max=len(self.counts) - 1)
            logits = self.log_probabilities[entries].masked_fill(~inside, -torch.inf)
            codes[:, values] = draw_codes(logits)
        return self.codes.back(codes)


def cycle_of(parents: Sequence[Sequence[int]]) -> list[int]:
    """Values of which each is a parent of the next, and the last is the first; or none.

    Arguments:
        parents: The values that each value depends on.
    """
    try:
        TopologicalSorter(dict(enumerate(parents))).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def _refuse_other_values(parents: Sequence[Sequence[int]], values: int) -> None:
    if len(parents) != values:
        raise PthetaError(
            f"expected the parents of each of {values} values, got those of {len(parents)}."
        )
    for d, given in enumerate(parents):
        for parent in given:
            if not 0 <= parent < values:
                raise PthetaError(
                    f"value {d} cannot depend on value {parent}: values are numbered from 0 to "
                    f"{values - 1}."
                )


def _levels(parents: Sequence[Sequence[int]]) -> list[list[int]]:
    """The values in groups, each of which depends on those before it alone."""
    if cycle := cycle_of(parents):
        raise PthetaError(f"the graph has a cycle: {' -> '.join(map(str, cycle))}.")
    graph = TopologicalSorter(dict(enumerate(parents)))
    graph.prepare()
    levels: list[list[int]] = []
    while graph.is_active():
        levels.append(sorted(graph.get_ready()))
        graph.done(*levels[-1])
    return levels


def _tabulate(module: BayesianNetwork, keys: Any) -> None:
    module.take(module.counts)
