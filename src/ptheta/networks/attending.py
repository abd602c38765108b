r"""Networks that read a sequence while they attend to a memory.

In a Transformer a block attends to the sequence that is read, then to the memory, then thinks. In
the recurrent network it is the output :math:`h_t` of the last layer that attends to the places
:math:`m_s` of the memory:

.. math:: a_s = \mathrm{softmax}_s(h_t^\top W m_s), \quad
    \tilde h_t = \tanh\left(W_c \left[\textstyle\sum_s a_s m_s; h_t\right] + b\right)
"""

__all__ = ["AttendingRecurrent", "AttendingTransformer"]

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.networks.attention import (
    Among,
    Angles,
    Attend,
    Block,
    CrossAttention,
    causal,
    rotations,
)
from ptheta.networks.memory import AttendingNetwork, Memory
from ptheta.networks.recurrent import Recurrent, State
from ptheta.networks.transformer import Transformer


class AttendingTransformer(AttendingNetwork):
    """A Transformer whose blocks attend to a memory as well.

    Queries and keys of the memory are turned by their places too, so that a place knows how far
    into the source it is from where it stands.

    References:
        Attention Is All You Need (Vaswani et al., 2017), https://arxiv.org/abs/1706.03762,
        sections 3.1 and 3.2.3

    Arguments:
        features: The size of inputs, outputs and all between the blocks.
        memory_features: The size of what is known of a place of the memory.
        heads: The number of heads of attention.
        layers: The number of blocks.
        window: The inputs at most that are read together.
        places: The places of a memory at most.
        dropout: The share of what each block adds that is dropped in training.

    Example:
        >>> network = AttendingTransformer(8, 6, heads=2, layers=1, window=7, places=5)
        >>> memory = Memory(torch.zeros(3, 5, 6), torch.ones(3, 5, dtype=torch.bool))
        >>> network.attending(memory)(torch.zeros(3, 7, 8)).shape
        torch.Size([3, 7, 8])
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        features: int,
        memory_features: int,
        heads: int,
        layers: int,
        window: int,
        places: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(features, features, window)
        self.network = Transformer(features, heads, layers, window, dropout)
        self.crosses = nn.ModuleList(
            CrossAttention(features, memory_features, heads, dropout) for _ in range(layers)
        )
        cos, sin = rotations(places, features // heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._reset()

    def attending(self, memory: Memory) -> "_AttendingTransformer":
        return _AttendingTransformer(self, memory)

    def blocks(self) -> list[tuple[Block, CrossAttention]]:
        """The blocks, each with its attention to the memory."""
        found: list[tuple[Block, CrossAttention]] = []
        for block, cross in zip(self.network.blocks, self.crosses, strict=True):
            assert isinstance(block, Block)
            assert isinstance(cross, CrossAttention)
            found.append((block, cross))
        return found

    def _reset(self) -> None:
        for _, cross in self.blocks():
            for linear in (cross.query, cross.inward, cross.outward):
                nn.init.normal_(linear.weight, std=0.02)
                nn.init.zeros_(linear.bias)
            cross.outward.weight.data.div_(math.sqrt(2 * len(self.crosses)))


class _AttendingTransformer:
    def __init__(self, network: AttendingTransformer, memory: Memory) -> None:
        places = memory.features.shape[1]
        angles = Angles(network.cos[:places], network.sin[:places])
        self.network = network.network
        self.blocks = network.blocks()
        self.kept = [cross.keep(memory.features, angles) for _, cross in self.blocks]
        self.among = Among(memory.mask)

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.read(inputs, [causal] * len(self.blocks))

    def reader(self, rows: int) -> "_TransformerReader":
        return _TransformerReader(self, rows)

    def read(self, inputs: Tensor, attends: Sequence[Attend], start: int = 0) -> Tensor:
        """The outputs at inputs that follow what was read before, as of a `Transformer`."""
        network = self.network
        angles = network.angles(start, start + inputs.shape[1])
        h = network.dropout(inputs)
        for (block, cross), attend, kept in zip(self.blocks, attends, self.kept, strict=True):
            h = block.look(h, angles, attend)
            h = block.think(cross(h, angles, self.among, kept))
        return network.norm(h)


class _TransformerReader:
    def __init__(self, reading: _AttendingTransformer, rows: int) -> None:
        self.reading = reading
        self.pasts = reading.network.pasts(rows)
        self.length = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        start, self.length = self.length, self.length + inputs.shape[1]
        return self.reading.read(inputs, self.pasts, start)

    def select(self, rows: Tensor) -> None:
        for past in self.pasts:
            past.select(rows)


class AttendingRecurrent(AttendingNetwork):
    """Long short-term memory whose outputs attend to a memory.

    It starts from the first place of the memory, where a backward reading has seen the whole
    source. What was attended to is not fed to the next step (the paper's input feeding), so that
    a sequence that is known is read at once.

    References:
        Sequence to Sequence Learning with Neural Networks (Sutskever, Vinyals & Le, 2014),
        https://arxiv.org/abs/1409.3215
        Neural Machine Translation by Jointly Learning to Align and Translate (Bahdanau, Cho &
        Bengio, 2015), https://arxiv.org/abs/1409.0473, appendix A.2.2 for the start
        Effective Approaches to Attention-based Neural Machine Translation (Luong, Pham & Manning,
        2015), https://arxiv.org/abs/1508.04025, equations 5 and 7-8 for the attention

    Arguments:
        in_features: The size of an input.
        features: The size of the state of a layer, and of an output.
        memory_features: The size of what is known of a place of the memory.
        layers: The number of layers.
        dropout: The share of units dropped in training.

    Example:
        >>> network = AttendingRecurrent(4, 8, memory_features=6)
        >>> memory = Memory(torch.zeros(3, 5, 6), torch.ones(3, 5, dtype=torch.bool))
        >>> network.attending(memory)(torch.zeros(3, 7, 4)).shape
        torch.Size([3, 7, 8])
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        memory_features: int,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(in_features, features)
        self.recurrent = Recurrent(in_features, features, layers, dropout=dropout)
        self.start = nn.Linear(memory_features, layers * features)
        self.key = nn.Linear(memory_features, features, bias=False)
        self.joined = nn.Linear(memory_features + features, features)

    def attending(self, memory: Memory) -> "_AttendingRecurrent":
        return _AttendingRecurrent(self, memory)


class _AttendingRecurrent:
    def __init__(self, network: AttendingRecurrent, memory: Memory) -> None:
        self.network = network
        self.memory = memory
        self.keys = network.key(memory.features)
        self.mask = memory.mask[:, None]

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.read(inputs, self.start())[0]

    def reader(self, rows: int) -> "_RecurrentReader":
        return _RecurrentReader(self)

    def start(self) -> State:
        """The state before anything was read."""
        layers = self.network.recurrent.cells.num_layers
        cells = self.network.start(self.memory.features[:, 0]).unflatten(1, (layers, -1))
        cells = cells.transpose(0, 1).contiguous()
        return cells.tanh(), cells

    def read(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """The outputs at inputs that are read from a state on, and the state after them."""
        outputs, state = self.network.recurrent.read(inputs, state)
        # the scores are as they are in the paper, not divided by a root
        taken = F.scaled_dot_product_attention(
            outputs, self.keys, self.memory.features, attn_mask=self.mask, scale=1.0
        )
        return self.network.joined(torch.cat([taken, outputs], dim=2)).tanh(), state


class _RecurrentReader:
    def __init__(self, reading: _AttendingRecurrent) -> None:
        self.reading = reading
        self.state = reading.start()

    def __call__(self, inputs: Tensor) -> Tensor:
        outputs, self.state = self.reading.read(inputs, self.state)
        return outputs

    def select(self, rows: Tensor) -> None:
        h, c = self.state
        self.state = h[:, rows], c[:, rows]
