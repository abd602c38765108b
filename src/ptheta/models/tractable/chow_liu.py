r"""The tree of pairwise dependences that loses the least.

.. math:: p(x) = \prod_d p(x_d \mid x_{\pi(d)})

where :math:`\pi` is the spanning tree of the largest sum of mutual information.
"""

__all__ = ["ChowLiuTree", "maximum_spanning_tree"]

from typing import Any

import torch
from torch import Tensor

from ptheta.errors import PthetaError
from ptheta.models.completion import Completing
from ptheta.models.normalised import FromFunctions, Normalised, unconditional
from ptheta.models.tractable.codes import Codes, draw_codes
from ptheta.spaces import Space

_MOST_CODES = 20_000  # of all values together; their joint counts are the square of it
_BLOCK = 10_000


class ChowLiuTree(Completing, Normalised):
    """A tree-shaped Bayesian network whose tree is learnt.

    References:
        Approximating discrete probability distributions with dependence trees (Chow & Liu, 1968),
        https://doi.org/10.1109/TIT.1968.1054142

    Arguments:
        space: A space of levels or categories.
        smoothing: The counts, in all, that are spread evenly over the joint of two values.

    Raises:
        PthetaError: The space has real or missing values, or too many codes.

    Example:
        >>> from ptheta.spaces import Binary
        >>> model = ChowLiuTree(Binary((3,)))
        >>> model.take(model.count(torch.tensor([[0, 0, 1], [1, 1, 0], [1, 1, 1], [0, 0, 0]])))
        >>> model.parents.tolist()  # the third value is on its own
        [-1, 0, 0]
    """

    sizes: Tensor
    starts: Tensor
    parents: Tensor
    tables: Tensor

    def __init__(self, space: Space, smoothing: float = 1.0) -> None:
        super().__init__()
        self.space = space
        self.codes = Codes(space)
        self.smoothing = smoothing
        sizes = torch.tensor(self.codes.sizes)
        if int(sizes.sum()) > _MOST_CODES:
            raise PthetaError(
                f"its counts of pairs grow with the square of all codes, and {int(sizes.sum())} "
                f"are more than {_MOST_CODES}."
            )
        largest = int(sizes.max())
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("starts", sizes.cumsum(0) - sizes, persistent=False)
        self.register_buffer("parents", torch.full((len(sizes),), -1))
        # untrained, every value is uniform and on its own
        inside = torch.arange(largest) < sizes[:, None]
        uniform = torch.where(inside, -sizes.double().log()[:, None], -torch.inf)
        tables = uniform[:, None].repeat(1, largest, 1)
        self.register_buffer("tables", tables)

    def forward(self, context: Tensor | None = None) -> FromFunctions:
        unconditional(self, context)
        return FromFunctions(self.space, self._log_prob, self._draw)

    @torch.no_grad()
    def count(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """How often each pair of codes occurs together; counts of several batches add up.

        Arguments:
            x: The examples, with shape (batch, *space.shape).
            context: Must be None.

        Returns:
            The counts, with shape (codes, codes), the values' codes one after the other.
        """
        total = int(self.sizes.sum())
        counts = torch.zeros(total, total, dtype=torch.float64, device=x.device)
        for rows in self.codes(x).split(_BLOCK):
            hot = torch.zeros(len(rows), total, device=x.device)
            hot.scatter_(1, rows + self.starts, 1.0)
            counts += hot.T @ hot  # whole numbers below 2^24, which float32 holds exactly
        return counts

    @torch.no_grad()
    def take(self, counts: Tensor) -> None:
        """Takes the tree of most mutual information, and its tables.

        Arguments:
            counts: The counts of all examples, as `count` gives them.
        """
        owner = torch.repeat_interleave(torch.arange(len(self.sizes)), self.sizes.cpu())
        owner = owner.to(counts.device)
        rows = counts.diagonal()[: self.sizes[0]].sum()
        size = self.sizes[owner].double()
        joint = (counts + self.smoothing / (size[:, None] * size)) / (rows + self.smoothing)
        single = (counts.diagonal() + self.smoothing / size) / (rows + self.smoothing)
        terms = joint * (joint.log() - single.log()[:, None] - single.log())
        values = len(self.sizes)
        information = counts.new_zeros(values, len(owner)).index_add(0, owner, terms)
        information = counts.new_zeros(values, values).index_add(1, owner, information)
        self.parents.copy_(maximum_spanning_tree(information))
        for d, parent in enumerate(self.parents.tolist()):
            here = slice(int(self.starts[d]), int(self.starts[d] + self.sizes[d]))
            if parent < 0:
                self.tables[d, :, : self.sizes[d]] = single[here].log()
                continue
            there = slice(int(self.starts[parent]), int(self.starts[parent] + self.sizes[parent]))
            block = joint[there, here]
            conditional = block / block.sum(dim=1, keepdim=True)
            self.tables[d, : self.sizes[parent], : self.sizes[d]] = conditional.log()

    def draw_given(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        """What is known is told up the tree, and values are drawn down it."""
        unconditional(self, context)
        codes = self.codes(x)
        levels = _levels(self.parents.tolist())
        told = self._told(codes, known, levels)
        for level in levels:
            values = torch.tensor(level, device=codes.device)
            given = codes[:, self.parents[values].clamp(min=0)]
            logits = self.tables[values, given] + told[:, values]
            codes[:, values] = draw_codes(logits.log_softmax(dim=-1))
        return self.codes.back(codes)

    def _told(self, codes: Tensor, known: Tensor, levels: list[list[int]]) -> Tensor:
        """log p of what is known of a value and below it, given its code: (n, values, codes)."""
        told = self.tables.new_zeros(*codes.shape, self.tables.shape[2])
        every = torch.arange(told.shape[2], device=codes.device)
        other = known[:, None] & (codes[:, :, None] != every)
        told.masked_fill_(other, -torch.inf)
        for level in reversed(levels[1:]):
            for value in level:
                # a product of probabilities, scaled so that the largest is 1
                top = told[:, value].amax(dim=1, keepdim=True)
                shares = (told[:, value] - top).exp() @ self.tables[value].exp().T
                told[:, self.parents[value]] += shares.log() + top
        return told

    def _log_prob(self, x: Tensor) -> Tensor:
        codes = self.codes(x)
        # the root takes any row of its table: all are alike
        given = codes[:, self.parents.clamp(min=0)].clamp(max=self.tables.shape[1] - 1)
        each = torch.arange(codes.shape[1], device=codes.device)
        return self.tables[each, given, codes].sum(dim=1)

    def _draw(self, n: int) -> Tensor:
        codes = torch.zeros(n, len(self.sizes), dtype=torch.long, device=self.tables.device)
        for level in _levels(self.parents.tolist()):
            values = torch.tensor(level, device=codes.device)
            given = codes[:, self.parents[values].clamp(min=0)]
            codes[:, values] = draw_codes(self.tables[values, given])
        return self.codes.back(codes)


def maximum_spanning_tree(weights: Tensor) -> Tensor:
    """The spanning tree of the largest weight, as the parent of each node; -1 for the root, 0.

    Arguments:
        weights: The weight of each edge, symmetric, at least 0, with shape (nodes, nodes).

    Example:
        >>> maximum_spanning_tree(torch.tensor([[0, 1, 3], [1, 0, 2], [3, 2, 0]])).tolist()
        [-1, 2, 0]
    """
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    if len(weights) == 1:
        return torch.tensor([-1])
    # scipy takes a weight of zero for no edge
    costs = (weights.max() - weights + 1).double().cpu().numpy()
    tree: Any = minimum_spanning_tree(costs)
    found: Any = breadth_first_order(tree, 0, directed=False)
    return torch.from_numpy(found[1]).long().clamp(min=-1)


def _levels(parents: list[int]) -> list[list[int]]:
    """The nodes by their distance from the root."""
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(parents):
        children.setdefault(parent, []).append(node)
    levels = [children[-1]]
    while below := [child for node in levels[-1] for child in children.get(node, [])]:
        levels.append(below)
    return levels
