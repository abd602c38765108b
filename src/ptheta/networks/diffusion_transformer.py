"""A Transformer over the patches of an image, each block told of a condition."""

__all__ = ["DiffusionTransformer"]

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.networks.attention import Attention, whole
from ptheta.networks.folding import Folded


class DiffusionTransformer(nn.Module):
    r"""Patches that attend to each other, in blocks that a condition scales, shifts and gates.

    .. math:: h \leftarrow h + g_1 \, \mathrm{attention}((1 + a_1) \, \nu(h) + b_1), \quad
        h \leftarrow h + g_2 \, \mathrm{mlp}((1 + a_2) \, \nu(h) + b_2)

    with :math:`\nu` a layer normalisation, and all of a, b and g from the condition and zero at
    the start, as is the network. Places are told apart by vectors that are learned.

    References:
        Scalable Diffusion Models with Transformers (Peebles & Xie, 2023),
        https://arxiv.org/abs/2212.09748, section 3.2 (adaLN-Zero)

    Arguments:
        shape: The channels, height and width of an image.
        condition_features: The size of the condition.
        hidden_features: The size of what stands for a patch, a multiple of the heads.
        layers: The number of blocks.
        heads: The number of heads of attention.
        patch: The side of a patch; images are padded to whole patches.
        dropout: The share of what a block adds that is dropped in training.
        out_channels: The number of channels that come out; None means as many as go in.

    Raises:
        ValueError: The heads do not divide the hidden features.

    Example:
        >>> net = DiffusionTransformer((1, 7, 7), condition_features=4, hidden_features=8, heads=2)
        >>> net(torch.zeros(5, 1, 7, 7), torch.zeros(5, 4)).shape
        torch.Size([5, 1, 7, 7])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        condition_features: int,
        *,
        hidden_features: int = 192,
        layers: int = 6,
        heads: int = 4,
        patch: int = 4,
        dropout: float = 0.0,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        if hidden_features % heads:
            raise ValueError(
                f"hidden_features must be a multiple of the heads ({heads}), got {hidden_features}"
            )
        self.folded = Folded(shape[0], patch)
        self.sides = tuple(-(-side // patch) for side in shape[1:])
        self.told = nn.Sequential(
            nn.Linear(condition_features, hidden_features),
            nn.SiLU(),
            nn.Linear(hidden_features, hidden_features),
            nn.SiLU(),
        )
        self.enter = nn.Linear(self.folded.channels, hidden_features)
        places = self.sides[0] * self.sides[1]
        self.places = nn.Parameter(0.02 * torch.randn(places, hidden_features))
        self.blocks = nn.ModuleList(_Block(hidden_features, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden_features)
        self.leave = nn.Linear(hidden_features, (out_channels or shape[0]) * patch**2)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Maps images, with shape (batch, channels, height, width), to those of out_channels.

        Arguments:
            x: The images.
            condition: What they are told, with shape (batch, condition_features).
        """
        given = self.told(condition)
        h = self.enter(self.folded.fold(x).flatten(2).transpose(1, 2)) + self.places
        for block in self.blocks:
            h = block(h, given)
        patches = self.leave(self.norm(h)).transpose(1, 2).unflatten(2, self.sides)
        return self.folded.unfold(patches, x)


class _Block(nn.Module):
    def __init__(self, features: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features, elementwise_affine=False)
        self.attention = Attention(features, heads)
        self.up = nn.Linear(features, 4 * features)
        self.down = nn.Linear(4 * features, features)
        self.told = nn.Linear(features, 6 * features)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)

    def forward(self, h: Tensor, given: Tensor) -> Tensor:
        scale_1, shift_1, gate_1, scale_2, shift_2, gate_2 = self.told(given)[:, None].chunk(
            6, dim=2
        )
        seen = self.attention(self.norm(h) * (1 + scale_1) + shift_1, None, whole)
        h = h + gate_1 * self.dropout(seen)
        inner = F.gelu(self.up(self.norm(h) * (1 + scale_2) + shift_2), approximate="tanh")
        return h + gate_2 * self.dropout(self.down(inner))
