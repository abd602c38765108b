"""The layers of a masked network as they stand in one order of the values."""

__all__ = ["CONTEXT", "MaskedStack", "degrees", "layers_of", "may_see"]

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.networks.masked import MaskedLinear

CONTEXT = -1  # the degree of what all values may see

Layer = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class MaskedStack:
    """Weights that are masked for one order, and the degrees that the masks follow.

    Arguments:
        order: The values of a flattened example in the order in which they are drawn.
        degrees: The degrees of the units of each layer, inputs and outputs among them: the rank
            of the last value that a unit may see; of an input or an output, the rank of its value.
        hidden: The weight and bias of each hidden layer.
        output: The weight and bias of the outputs.
        direct: The weight from inputs to outputs, or None.
    """

    order: Sequence[int]
    degrees: Sequence[Tensor]
    hidden: Sequence[Layer]
    output: Layer
    direct: Tensor | None

    def __call__(
        self,
        inputs: Tensor,
        activation: Callable[[Tensor], Tensor],
        dropout: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """The outputs, with shape (batch, outputs), from inputs of shape (batch, inputs)."""
        outputs = F.linear(self._last(inputs, activation, dropout), *self.output)
        return outputs if self.direct is None else outputs + F.linear(inputs, self.direct)

    def features_first(
        self,
        inputs: Tensor,
        activation: Callable[[Tensor], Tensor],
        dropout: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """The outputs with shape (outputs, batch), for arithmetic along the batch."""
        weight, bias = self.output
        hidden = self._last(inputs, activation, dropout)
        outputs = torch.addmm(bias.unsqueeze(1), weight, hidden.t())
        return outputs if self.direct is None else outputs.addmm(self.direct, inputs.t())

    def _last(
        self,
        inputs: Tensor,
        activation: Callable[[Tensor], Tensor],
        dropout: Callable[[Tensor], Tensor],
    ) -> Tensor:
        hidden = inputs
        for weight, bias in self.hidden:
            hidden = dropout(activation(F.linear(hidden, weight, bias)))
        return hidden


def layers_of(modules: Iterable[nn.Module]) -> list[Layer]:
    """The weight, whose gradient is masked, and the bias of each masked layer."""
    return [layer.weight_and_bias for layer in modules if isinstance(layer, MaskedLinear)]


def degrees(features: int, values: int, first: int = 0) -> Tensor:
    """The degrees of a layer's units, spread evenly from `first` to the last value but one.

    Arguments:
        features: The number of units.
        values: The number of values of an example.
        first: The lowest degree.

    Returns:
        The degrees, ascending, with shape (features,).

    Example:
        >>> degrees(4, 9).tolist()
        [0, 2, 5, 7]
    """
    # with fewer units than degrees, taking the first ones would leave late values unseen
    last = max(values - 2, first)
    return torch.linspace(first, last, features, dtype=torch.float64).round().long()


def may_see(degrees: Sequence[Tensor]) -> list[Tensor]:
    """Which units of each layer see which of the one before: the masks that degrees make.

    Arguments:
        degrees: The degrees of each layer, inputs and outputs among them.

    Returns:
        A boolean mask for each pair of layers, with shape (out_features, in_features); outputs
        see only lower degrees, so that no value sees itself.
    """
    *layers, outputs = degrees
    masks = [after[:, None] >= before for before, after in zip(layers, layers[1:], strict=False)]
    return [*masks, outputs[:, None] > layers[-1]]
