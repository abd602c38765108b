"""A residual multilayer perceptron, with or without a condition."""

__all__ = ["ResidualMLP"]

from torch import Tensor, nn


class ResidualMLP(nn.Module):
    r"""Blocks that each add to what is before them.

    A block is :math:`h + W_2 \phi(W_1 \nu(h) + V c)`, with :math:`\nu` a layer normalisation and
    :math:`\phi(a) = a \, \sigma(a)`.

    The last layer of every block starts at zero, so that the network starts out linear.

    References:
        Identity Mappings in Deep Residual Networks (He et al., 2016),
        https://arxiv.org/abs/1603.05027

    Arguments:
        in_features: The size of the input.
        out_features: The size of the output.
        hidden_features: The size of every hidden layer.
        blocks: The number of blocks, of two layers each.
        condition_features: The size of the condition c; 0 means that there is none.
        dropout: The share of hidden units dropped in training.

    Example:
        >>> import torch
        >>> net = ResidualMLP(2, 3, 16, condition_features=4)
        >>> net(torch.zeros(5, 2), torch.zeros(5, 4)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden_features: int,
        blocks: int = 2,
        condition_features: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(in_features, hidden_features)
        self.blocks = nn.ModuleList(
            _Block(hidden_features, condition_features, dropout) for _ in range(blocks)
        )
        self.leave = nn.Linear(hidden_features, out_features)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Maps x, with shape (batch, in_features), to (batch, out_features)."""
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, condition)
        return self.leave(nn.functional.silu(h))


class _Block(nn.Module):
    def __init__(self, features: int, condition_features: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.first = nn.Linear(features, features)
        self.second = nn.Linear(features, features)
        self.condition = (
            nn.Linear(condition_features, features, bias=False) if condition_features else None
        )
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, h: Tensor, condition: Tensor | None) -> Tensor:
        inner = self.first(self.norm(h))
        if self.condition is not None and condition is not None:
            inner = inner + self.condition(condition)
        return h + self.second(self.dropout(nn.functional.silu(inner)))
