"""The multilayer perceptron that all vector models share."""

__all__ = ["MLP"]

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ptheta.networks.lipschitz import LinearWithin


class MLP(nn.Sequential):
    """Linear layers with an activation, and dropout if asked, between them.

    Arguments:
        in_features: The size of the input.
        out_features: The size of the output.
        hidden_features: The sizes of the hidden layers; empty gives one linear layer.
        activation: Makes the activation.
        dropout: The share of hidden units dropped in training.
        spectral_norm: What the largest singular value of every layer is at most; None leaves the
            layers free.

    Example:
        >>> MLP(2, 3, [16, 16])(torch.zeros(5, 2)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden_features: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = nn.SiLU,
        dropout: float = 0.0,
        spectral_norm: float | None = None,
    ) -> None:
        layers: list[nn.Module] = []
        for before, after in zip((in_features, *hidden_features), hidden_features, strict=False):
            layers += [nn.Linear(before, after), activation()]
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
        last = hidden_features[-1] if hidden_features else in_features
        super().__init__(*layers, nn.Linear(last, out_features))
        if spectral_norm is not None:
            for layer in self:
                if isinstance(layer, nn.Linear):
                    within = LinearWithin(spectral_norm)
                    parametrize.register_parametrization(layer, "weight", within)

    def features_first(self, x: Tensor) -> Tensor:
        """The outputs with shape (out_features, batch), for arithmetic along the batch.

        Arguments:
            x: The inputs, with shape (batch, in_features).
        """
        *hidden, last = self
        for layer in hidden:
            x = layer(x)
        assert isinstance(last, nn.Linear)
        return torch.addmm(last.bias.unsqueeze(1), last.weight, x.t())
