r"""Attention in blocks with a perceptron, places being told apart by rotation.

.. math:: h \leftarrow h + \mathrm{attention}(\mathrm{norm}(h)), \quad
    h \leftarrow h + \mathrm{mlp}(\mathrm{norm}(h))

A query and a key are turned by angles in proportion to their places, so that their product
depends on how far apart they are and on nothing else of where. What a query may see is said by the
function that is handed to a block: `causal`, `whole`, `Past` or `Among`.
"""

__all__ = [
    "Among",
    "Angles",
    "Attend",
    "Attention",
    "Block",
    "CrossAttention",
    "Kept",
    "Past",
    "causal",
    "rotations",
    "whole",
]

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Angles(NamedTuple):
    """Cosines and signed sines of the places that are read, each with shape (places, size)."""

    cos: Tensor
    sin: Tensor


class Attend(Protocol):
    """What queries take from values, by the keys that they may see."""

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """What is taken, shaped as the queries: (rows, heads, places, size)."""
        ...


def causal(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of the newest places to themselves and to those before them.

    Arguments:
        queries: The queries, with shape (rows, heads, new, size).
        keys: The keys of all places so far, with shape (rows, heads, places, size).
        values: The values, shaped as the keys.
    """
    new, whole = queries.shape[2], keys.shape[2]
    if new == whole:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    if new == 1:
        return F.scaled_dot_product_attention(queries, keys, values)
    seen = torch.ones(new, whole, dtype=torch.bool, device=keys.device).tril(whole - new)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen)


def whole(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of every place to all.

    Arguments:
        queries: The queries, with shape (rows, heads, places, size).
        keys: The keys, shaped as the queries.
        values: The values, shaped as the queries.
    """
    return F.scaled_dot_product_attention(queries, keys, values)


class Past:
    """Causal attention that keeps the keys and values of the places read so far.

    Their memory is taken once.

    Arguments:
        like: A tensor of the dtype and on the device that are wanted.
        shape: Rows, heads, the most places, and the size of a head.
    """

    def __init__(self, like: Tensor, shape: tuple[int, int, int, int]) -> None:
        self.keys = like.new_empty(shape)
        self.values = like.new_empty(shape)
        self.length = 0

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        start, self.length = self.length, self.length + keys.shape[2]
        self.keys[:, :, start : self.length] = keys
        self.values[:, :, start : self.length] = values
        return causal(queries, self.keys[:, :, : self.length], self.values[:, :, : self.length])

    def select(self, rows: Tensor) -> None:
        """Goes on with these of the rows, as many as there were."""
        for kept in (self.keys, self.values):
            kept[:, :, : self.length] = kept[rows, :, : self.length]


class Among:
    """Attention of every place to all places of its row that hold something.

    Arguments:
        mask: Which places do, with shape (rows, places); one at least in each row.
    """

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask[:, None, None]

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=self.mask)


class Block(nn.Module):
    """Attention among the places of a sequence, then a perceptron, each normalised before it.

    Arguments:
        features: The size of inputs and outputs.
        heads: The number of heads.
        dropout: The share of what is added that is dropped in training.
    """

    def __init__(self, features: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.first_norm = nn.LayerNorm(features)
        self.attention = Attention(features, heads)
        self.second_norm = nn.LayerNorm(features)
        self.up = nn.Linear(features, 4 * features)
        self.down = nn.Linear(4 * features, features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, angles: Angles, attend: Attend) -> Tensor:
        return self.think(self.look(h, angles, attend))

    def look(self, h: Tensor, angles: Angles, attend: Attend) -> Tensor:
        """Adds what attention takes from the places that may be seen."""
        return h + self.dropout(self.attention(self.first_norm(h), angles, attend))

    def think(self, h: Tensor) -> Tensor:
        """Adds what the perceptron makes of each place."""
        inner = F.gelu(self.up(self.second_norm(h)), approximate="tanh")
        return h + self.dropout(self.down(inner))


class Attention(nn.Module):
    """Attention of the places of a sequence to each other, by so many heads.

    Arguments:
        features: The size of inputs and outputs.
        heads: The number of heads.
    """

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward = nn.Linear(features, 3 * features)
        self.outward = nn.Linear(features, features)

    def forward(self, h: Tensor, angles: Angles | None, attend: Attend) -> Tensor:
        """What each place takes, shaped as the sequence.

        Arguments:
            h: The sequence, with shape (rows, length, features).
            angles: Those of its places; None where they are told apart otherwise.
            attend: What may be seen.
        """
        inward = self.inward(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        turned = inward[:2] if angles is None else _turned(inward[:2], angles)
        queries, keys = turned  # (batch, heads, length, size)
        seen = attend(queries, keys, inward[2])
        return self.outward(seen.transpose(1, 2).flatten(2))


class Kept(NamedTuple):
    """The keys and values of what is looked at, each with shape (rows, heads, places, size)."""

    keys: Tensor
    values: Tensor


class CrossAttention(nn.Module):
    """Attention of one sequence to another, which is read once and kept.

    Arguments:
        features: The size of inputs and outputs.
        others: The size of what is looked at.
        heads: The number of heads.
        dropout: The share of what is added that is dropped in training.
    """

    def __init__(self, features: int, others: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(features)
        self.query = nn.Linear(features, features)
        self.inward = nn.Linear(others, 2 * features)
        self.outward = nn.Linear(features, features)
        self.dropout = nn.Dropout(dropout)

    def keep(self, others: Tensor, angles: Angles) -> Kept:
        """The keys and values of what is looked at, (rows, places, others)."""
        keys, values = self.inward(others).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return Kept(_turned(keys, angles), values)

    def forward(self, h: Tensor, angles: Angles, attend: Attend, kept: Kept) -> Tensor:
        """Adds what is taken from what is looked at.

        Arguments:
            h: The sequence, with shape (rows, length, features).
            angles: Those of its places.
            attend: What of the other sequence may be seen.
            kept: What `keep` gives.
        """
        queries = self.query(self.norm(h)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        seen = attend(_turned(queries, angles), *kept)
        return h + self.dropout(self.outward(seen.transpose(1, 2).flatten(2)))


def rotations(places: int, size: int) -> Angles:
    """The angles at each place, for heads of an even size.

    The halves of the last dimension are the axes of planes; the first axis takes from the second.
    """
    pairs = size // 2
    speeds = 10_000.0 ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
    angles = torch.arange(places, dtype=torch.float64)[:, None] * speeds
    cos, sin = angles.cos(), angles.sin()
    return Angles(torch.cat([cos, cos], dim=1).float(), torch.cat([-sin, sin], dim=1).float())


def _turned(x: Tensor, angles: Angles) -> Tensor:
    """Queries or keys, each turned by the angles of its place, (..., places, size)."""
    return torch.addcmul(x * angles.cos, x.roll(x.shape[-1] // 2, dims=-1), angles.sin)
