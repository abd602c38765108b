"""Encoders of a source, each place of which then knows of the whole."""

__all__ = ["RecurrentEncoder", "TransformerEncoder"]

import torch
from torch import Tensor

from ptheta.networks.attention import Among
from ptheta.networks.memory import SourceEncoder
from ptheta.networks.recurrent import Recurrent
from ptheta.networks.transformer import Transformer


class TransformerEncoder(SourceEncoder):
    """A Transformer in which each place attends to all that hold something.

    References:
        Attention Is All You Need (Vaswani et al., 2017), https://arxiv.org/abs/1706.03762,
        section 3.1

    Arguments:
        features: The size of inputs, outputs and all between the blocks.
        heads: The number of heads of attention.
        layers: The number of blocks.
        places: The places of a source at most.
        dropout: The share of what each block adds that is dropped in training.

    Example:
        >>> encoder = TransformerEncoder(8, heads=2, layers=1, places=5)
        >>> encoder(torch.zeros(3, 5, 8), torch.ones(3, 5, dtype=torch.bool)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(
        self, features: int, heads: int, layers: int, places: int, dropout: float = 0.0
    ) -> None:
        super().__init__(features, features)
        self.network = Transformer(features, heads, layers, places, dropout)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        return self.network.read(inputs, [Among(mask)] * len(self.network.blocks))


class RecurrentEncoder(SourceEncoder):
    """Two recurrent networks, one of which reads the source from its end.

    References:
        Bidirectional Recurrent Neural Networks (Schuster & Paliwal, 1997),
        https://doi.org/10.1109/78.650093
        Neural Machine Translation by Jointly Learning to Align and Translate (Bahdanau, Cho &
        Bengio, 2015), https://arxiv.org/abs/1409.0473, section 3.2

    Arguments:
        in_features: The size of an input.
        features: The size of what is known of a place, half of it from either direction.
        layers: The number of layers in either direction.
        dropout: The share of units dropped in training.

    Raises:
        ValueError: The features are odd.

    Example:
        >>> encoder = RecurrentEncoder(4, 8)
        >>> encoder(torch.zeros(3, 5, 4), torch.ones(3, 5, dtype=torch.bool)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(
        self, in_features: int, features: int, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__(in_features, features)
        if features % 2:
            raise ValueError(f"features of two directions must be even, got {features}")
        self.onward, self.back = (
            Recurrent(in_features, features // 2, layers, dropout=dropout) for _ in range(2)
        )

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        turned = _reversal(mask)
        backward = _picked(self.back(_picked(inputs, turned)), turned)
        return torch.cat([self.onward(inputs), backward], dim=2)


def _reversal(mask: Tensor) -> Tensor:
    """The places that hold something in reverse order, the others where they are."""
    places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    return torch.where(mask, mask.sum(dim=1, keepdim=True) - 1 - places, places)


def _picked(x: Tensor, places: Tensor) -> Tensor:
    """These places of each row, from (rows, places, size)."""
    return x.gather(1, places[:, :, None].expand_as(x))
