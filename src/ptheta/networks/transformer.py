"""A Transformer in which each place attends to itself and to those before it."""

__all__ = ["Transformer"]

import math
from collections.abc import Sequence

from torch import Tensor, nn

from ptheta.networks.attention import Angles, Attend, Block, Past, causal, rotations
from ptheta.networks.sequence import SequenceNetwork


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
        >>> import torch
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
        self.blocks = nn.ModuleList(Block(features, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(features)
        self.dropout = nn.Dropout(dropout)
        cos, sin = rotations(window, features // heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._reset()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.read(inputs, [causal] * len(self.blocks))

    def reader(self, rows: int) -> "_Reader":
        return _Reader(self, rows)

    def angles(self, start: int, end: int) -> Angles:
        """The angles of the places from one to before another."""
        return Angles(self.cos[start:end], self.sin[start:end])

    def pasts(self, rows: int) -> list[Past]:
        """What keeps the keys and values of so many sequences, for each block."""
        assert self.window is not None
        shape = (rows, self.heads, self.window, self.features // self.heads)
        return [Past(self.norm.weight, shape) for _ in self.blocks]

    def read(self, inputs: Tensor, attends: Sequence[Attend], start: int = 0) -> Tensor:
        """The outputs at inputs that follow what was read before.

        Arguments:
            inputs: The inputs, with shape (batch, length, features).
            attends: What may be seen, for each block.
            start: The number of inputs read before.
        """
        angles = self.angles(start, start + inputs.shape[1])
        h = self.dropout(inputs)
        for block, attend in zip(self.blocks, attends, strict=True):
            h = block(h, angles, attend)
        return self.norm(h)

    def _reset(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            assert isinstance(block, Block)
            for module in (block.attention.outward, block.down):
                module.weight.data.div_(math.sqrt(2 * len(self.blocks)))


class _Reader:
    def __init__(self, network: Transformer, rows: int) -> None:
        self.network = network
        self.pasts = network.pasts(rows)
        self.length = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        start, self.length = self.length, self.length + inputs.shape[1]
        return self.network.read(inputs, self.pasts, start)
