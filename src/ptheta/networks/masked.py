r"""Layers some of whose weights are zero for ever.

Weights start masked, and the mask is applied to their gradient; then the moments of an optimiser,
decoupled decay, averages of weights, sums over processes and copies all keep a masked weight at
zero, and evaluation is an ordinary layer. What is loaded from elsewhere is masked on its way in.
"""

__all__ = ["MaskedLinear", "draw_masked", "keep_masked", "with_masked_gradient"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.networks.staircase import bands_of, staircase_linear

# weights from which on the mask costs more than a function of one's own in the graph
_LARGE = 2**17


class MaskedLinear(nn.Linear):
    """A linear layer in which an output sees only the inputs that its mask allows.

    Arguments:
        mask: Which weights may differ from zero, with shape (out_features, in_features).
        bias: Whether there is a bias.

    Example:
        >>> layer = MaskedLinear(torch.ones(3, 3).tril(-1))
        >>> layer(torch.zeros(2, 3)).shape
        torch.Size([2, 3])
    """

    mask: Tensor

    def __init__(self, mask: Tensor, bias: bool = True) -> None:
        out_features, in_features = mask.shape
        super().__init__(in_features, out_features, bias)
        keep_masked(self, mask)
        self.bands = bands_of(mask > 0)
        self.reset_masked_parameters()

    @torch.no_grad()
    def reset_masked_parameters(self) -> None:
        """Draws the parameters afresh: weights by how many inputs are seen, biases by all."""
        draw_masked(self.weight, self.mask)
        # units of zero bias would bend at zero alone, and those that see nothing would never learn
        for bias in (p for name, p in self.named_parameters() if name == "bias"):
            bias.uniform_(-1, 1).div_(self.in_features**0.5)

    @torch.no_grad()
    def reset_as_if_whole(self) -> None:
        """Draws the parameters afresh: weights by how many inputs there are, seen or not.

        Units that see few inputs then start smaller than the others.
        """
        self.reset_parameters()
        self.weight.mul_(self.mask)

    def forward(self, input: Tensor) -> Tensor:
        """The outputs, with shape (..., out_features)."""
        if self.bands and _is_plain(input):
            return staircase_linear(input, self.weight, self.bias, self.mask, self.bands)
        return F.linear(input, self.masked_weight, self.bias)

    @property
    def masked_weight(self) -> Tensor:
        """The weight, whose gradient is masked."""
        return with_masked_gradient(self.weight, self.mask)

    @property
    def weight_and_bias(self) -> tuple[Tensor, Tensor]:
        """The weight, whose gradient is masked, and the bias."""
        return self.masked_weight, self.bias


def keep_masked(module: nn.Module, mask: Tensor) -> None:
    """Gives a layer with a `weight` its `mask`, which is applied to weights that are loaded.

    Arguments:
        module: The layer.
        mask: Which weights may differ from zero, shaped as its weight.
    """
    weight = module.get_parameter("weight")
    module.register_buffer("mask", mask.to(weight.dtype), persistent=False)
    module.register_load_state_dict_post_hook(_mask_again)


@torch.no_grad()
def draw_masked(weight: Tensor, mask: Tensor) -> None:
    """Draws weights afresh, those of each output scaled by the number of inputs that it sees.

    Arguments:
        weight: The weights, with shape (outputs, ...).
        mask: Which of them may differ from zero.
    """
    seen = mask.flatten(1).sum(dim=1).clamp(min=1)
    scale = seen.rsqrt().reshape(-1, *(1,) * (mask.dim() - 1))
    weight.uniform_(-1, 1).mul_(mask * scale)


def with_masked_gradient(weight: Tensor, mask: Tensor) -> Tensor:
    """A weight that is masked already, whose gradient is masked too.

    It is for a product or a convolution alone: their gradient by a weight is a tensor of its own,
    which is masked in place. That of a sum may be that of its other term as well.

    Arguments:
        weight: The weight.
        mask: Which of its entries may differ from zero.
    """
    if not (torch.is_grad_enabled() and weight.requires_grad):
        return weight
    if weight.numel() < _LARGE:
        return weight * mask
    masked: Tensor = _MaskGradient.apply(weight, mask)  # pyright: ignore[reportAssignmentType]
    return masked


class _MaskGradient(torch.autograd.Function):
    """The identity, whose gradient is masked."""

    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, mask: Tensor) -> Tensor:
        return weight.view_as(weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            return gradients[0] * mask, None
        return gradients[0].mul_(mask), None


def _is_plain(input: Tensor) -> bool:
    """Whether products in bands are the quicker: a GPU takes one large one sooner."""
    cast = torch.is_autocast_enabled("cpu")
    return input.dim() == 2 and input.device.type == "cpu" and not cast


def _mask_again(module: nn.Module, keys: Any) -> None:
    with torch.no_grad():
        module.get_parameter("weight").mul_(module.get_buffer("mask"))
