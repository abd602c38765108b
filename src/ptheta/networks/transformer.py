r"""A Transformer in which each place attends to itself and to those before it.

.. math:: h \leftarrow h + \mathrm{attention}(\mathrm{norm}(h)), \quad
    h \leftarrow h + \mathrm{mlp}(\mathrm{norm}(h))

Places are told apart by rotation: a query and a key are turned by angles in proportion to their
places, so that their product depends on how far apart they are and on nothing else of where.
"""

__all__ = ["Transformer"]

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.networks.sequence import SequenceNetwork


class _Angles(NamedTuple):
    """Cosines and signed sines of the places that are read, each with shape (places, size)."""

    cos: Tensor
    sin: Tensor


class Transformer(SequenceNetwork):
    """Blocks of attention and a perceptron, each normalised before it (GPT-2's order).

    Weights start as GPT-2's: deviation 0.02, less by the square root of the number of additions
    for those that write to the residual stream. There is no dropout of attention weights, for
    which torch has no fused kernel on the CPU.

    References:
        Attention Is All You Need (Vaswani et al., 2017), https://arxiv.org/abs/1706.03762
        Language Models are Unsupervised Multitask Learners (Radford et al., 2019),
        https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf,
        section 2.3 for the order of norms and the start
        RoFormer: Enhanced Transformer with Rotary Position Embedding (Su et al., 2021),
        https://arxiv.org/abs/2104.09864, equation 34

    Arguments:
        features: The size of inputs, outputs and all between the blocks.
        heads: The number of heads of attention.
        layers: The number of blocks.
        window: The inputs at most that are read together.
        dropout: The share of what each block adds that is dropped in training.

    Raises:
        ValueError: The features do not make pairs for each head.

    Example:
        >>> network = Transformer(16, heads=2, layers=1, window=10)
        >>> network(torch.zeros(5, 7, 16)).shape
        torch.Size([5, 7, 16])
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self, features: int, heads: int, layers: int, window: int, dropout: float = 0.0
    ) -> None:
        super().__init__(features, features, window)
        if features % (2 * heads):
            raise ValueError(
                f"features must be a multiple of twice the heads ({2 * heads}), got {features}"
            )
        self.heads = heads
        self.blocks = nn.ModuleList(_Block(features, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(features)
        self.dropout = nn.Dropout(dropout)
        cos, sin = _angles(window, features // heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._reset()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.read(inputs, [None] * len(self.blocks))

    def reader(self, rows: int) -> "_Reader":
        return _Reader(self, rows)

    def read(self, inputs: Tensor, pasts: "list[_Past] | list[None]", start: int = 0) -> Tensor:
        """The outputs at inputs that follow what was read before.

        Arguments:
            inputs: The inputs, with shape (batch, length, features).
            pasts: The keys and values of what was read before, one for each block, or None.
            start: The number of inputs read before.
        """
        places = slice(start, start + inputs.shape[1])
        angles = _Angles(self.cos[places], self.sin[places])
        h = self.dropout(inputs)
        for block, past in zip(self.blocks, pasts, strict=True):
            h = block(h, angles, past)
        return self.norm(h)

    def _reset(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            assert isinstance(block, _Block)
            for module in (block.attention.outward, block.down):
                module.weight.data.div_(math.sqrt(2 * len(self.blocks)))


class _Past:
    """The keys and values of the places read so far, in memory that is taken once.

    Arguments:
        like: A tensor of the dtype and on the device that are wanted.
        shape: Rows, heads, the most places, and the size of a head.
    """

    def __init__(self, like: Tensor, shape: tuple[int, int, int, int]) -> None:
        self.keys = like.new_empty(shape)
        self.values = like.new_empty(shape)
        self.length = 0

    def add(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values, those given at their end."""
        start, self.length = self.length, self.length + keys.shape[2]
        self.keys[:, :, start : self.length] = keys
        self.values[:, :, start : self.length] = values
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


class _Reader:
    def __init__(self, network: Transformer, rows: int) -> None:
        assert network.window is not None
        heads = network.heads
        shape = (rows, heads, network.window, network.features // heads)
        self.network = network
        self.pasts = [_Past(network.norm.weight, shape) for _ in network.blocks]
        self.length = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        start, self.length = self.length, self.length + inputs.shape[1]
        return self.network.read(inputs, self.pasts, start)


class _Attention(nn.Module):
    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward = nn.Linear(features, 3 * features)
        self.outward = nn.Linear(features, features)

    def forward(self, h: Tensor, angles: _Angles, past: _Past | None) -> Tensor:
        inward = self.inward(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys = _turned(inward[:2], angles)  # (batch, heads, length, size)
        values = inward[2]
        if past is not None:
            keys, values = past.add(keys, values)
        seen = _attend(queries, keys, values)
        return self.outward(seen.transpose(1, 2).flatten(2))


class _Block(nn.Module):
    def __init__(self, features: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.first_norm = nn.LayerNorm(features)
        self.attention = _Attention(features, heads)
        self.second_norm = nn.LayerNorm(features)
        self.up = nn.Linear(features, 4 * features)
        self.down = nn.Linear(4 * features, features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, angles: _Angles, past: _Past | None) -> Tensor:
        h = h + self.dropout(self.attention(self.first_norm(h), angles, past))
        inner = F.gelu(self.up(self.second_norm(h)), approximate="tanh")
        return h + self.dropout(self.down(inner))


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    new, whole = queries.shape[2], keys.shape[2]
    if new == whole:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    if new == 1:
        return F.scaled_dot_product_attention(queries, keys, values)
    seen = torch.ones(new, whole, dtype=torch.bool, device=keys.device).tril(whole - new)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen)


def _angles(places: int, size: int) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines of the angles at each place, (places, size), size being even.

    The halves of the last dimension are the axes of planes; the first axis takes from the second.
    """
    pairs = size // 2
    speeds = 10_000.0 ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
    angles = torch.arange(places, dtype=torch.float64)[:, None] * speeds
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], dim=1).float(), torch.cat([-sin, sin], dim=1).float()


def _turned(x: Tensor, angles: _Angles) -> Tensor:
    """Queries or keys, each turned by the angles of its place, (..., places, size)."""
    return torch.addcmul(x * angles.cos, x.roll(x.shape[-1] // 2, dims=-1), angles.sin)
