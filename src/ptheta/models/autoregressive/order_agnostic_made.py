r"""MADE with many masks: one set of weights under several orders and connections.

.. math:: p(x) = \frac{1}{K} \sum_{k=1}^{K} \prod_r p_k(x_{o_k(r)} \mid x_{o_k(0)}, \dots,
    x_{o_k(r-1)})

Every member of the ensemble masks the same weights in its own way. In training a batch sees one
member, drawn for it.
"""

__all__ = ["OrderAgnosticMADE"]

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from ptheta.models.autoregressive.drawing import draw_from_members, draw_in_order
from ptheta.models.autoregressive.stack import CONTEXT, MaskedStack, degrees, may_see
from ptheta.models.heads.head import Factorised, Head
from ptheta.models.normalised import FromFunctions, Normalised
from ptheta.networks.activations import relu
from ptheta.networks.context import ContextFeatures
from ptheta.networks.features import Features
from ptheta.spaces import Categorical, Real, Space, Table


class OrderAgnosticMADE(Normalised):
    """Masked autoencoder for distribution estimation, averaged over masks.

    References:
        MADE: Masked Autoencoder for Distribution Estimation (Germain, Gregor, Murray & Larochelle,
        2015), https://arxiv.org/abs/1502.03509, sections 4.2 and 4.3. The degrees of a layer are
        spread evenly and dealt to its units at random, in place of each drawn.

    Arguments:
        space: The space of the examples; real values are expected to be standardised.
        context_space: What they are conditioned on, or None. All units see it.
        hidden_features: The sizes of the hidden layers.
        masks: The number of members K, each of an order and connections drawn once, at random.
        components: The number of components of mixtures, for real values and many levels.
        direct: Whether inputs are joined to outputs directly as well.
        activation: Makes the activation.
        dropout: The share of hidden units dropped in training.
        min_scale: The smallest scale of a Gaussian, in standard deviations of the data.

    Raises:
        ValueError: The space has values that may be missing.

    Example:
        >>> from ptheta.spaces import Binary
        >>> model = OrderAgnosticMADE(Binary((3,)), hidden_features=(8,), masks=2).eval()
        >>> every = torch.cartesian_prod(*[torch.arange(2)] * 3)
        >>> bool(torch.isclose(model.log_prob(every).exp().sum(), torch.tensor(1.0)))
        True
    """

    orders: Tensor

    def __init__(
        self,
        space: Space,
        context_space: Categorical | Real | None = None,
        *,
        hidden_features: Sequence[int] = (512,),
        masks: int = 32,
        components: int = 10,
        direct: bool = True,
        activation: Callable[[], nn.Module] = relu,
        dropout: float = 0.0,
        min_scale: float = 1e-3,
    ) -> None:
        super().__init__()
        if isinstance(space, Table) and space.missing:
            raise ValueError("an order of values has no place for missing ones")
        count = space.features
        self.space = space
        self.features = Features(space)
        self.context = ContextFeatures(context_space)
        self.head = Head(space, components, min_scale)
        self.register_buffer("orders", torch.stack([torch.randperm(count) for _ in range(masks)]))
        first = CONTEXT if self.context.features or count == 1 else 0
        for i, size in enumerate(hidden_features):
            spread = degrees(size, count, first)
            dealt = torch.stack([spread[torch.randperm(size)] for _ in range(masks)])
            self.register_buffer(f"degrees_{i}", dealt)
        inputs = self.features.features + self.context.features
        sizes = [inputs, *hidden_features]
        self.layers = nn.ModuleList(_Shared(a, b) for a, b in pairwise(sizes))
        self.output = _Shared(sizes[-1], self.head.features)
        self.direct = _Shared(inputs, self.head.features, bias=False) if direct else None
        self.activation = activation()
        self.dropout = nn.Dropout(dropout)

    def forward(self, context: Tensor | None = None) -> FromFunctions:
        """The distribution of examples, given the context if the model is conditional."""
        return FromFunctions(self.space, self._log_prob, partial(draw_from_members, self), context)

    def stack(self, member: int) -> MaskedStack:
        """The layers as a member of the ensemble has them.

        Arguments:
            member: Its number, from 0.
        """
        order = self.orders[member]
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device)
        context = torch.full((self.context.features,), CONTEXT, device=order.device)
        hidden = [self.get_buffer(f"degrees_{i}")[member] for i in range(len(self.layers))]
        inputs = torch.cat([rank[self.features.owner], context])
        layers = [inputs, *hidden, rank[self.head.owner]]
        *masks, last = may_see(layers)
        ahead = layers[-1][:, None] > inputs
        return MaskedStack(
            order=order.tolist(),
            degrees=layers,
            hidden=[_masked(layer, mask) for layer, mask in zip(self.layers, masks, strict=True)],
            output=_masked(self.output, last),
            direct=None if self.direct is None else self.direct.weight * ahead,
        )

    def conditionals(self, x: Tensor, member: int, context: Tensor | None = None) -> Factorised:
        """The distribution of each value given those before it in the order of a member.

        Arguments:
            x: The examples, with shape (batch, *space.shape).
            member: The member of the ensemble.
            context: What they are conditioned on.
        """
        inputs = self.context.join(self.features(x), context)
        return self.head(self.stack(member)(inputs, self.activation, self.dropout))

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts near the product of the marginals.

        Arguments:
            x: The training examples, with shape (rows, *space.shape).
            context: Not looked at.
        """
        self.output.bias.copy_(self.head.fit(x))
        for layer in (self.output, self.direct):
            if layer is not None:
                layer.weight.mul_(0.1)

    @torch.no_grad()
    def draw(self, uniforms: Tensor, members: Tensor, context: Tensor | None = None) -> Tensor:
        """Examples as a deterministic function of noise.

        Arguments:
            uniforms: Noise from [0, 1), with shape (2, space.features, n), in the values' order.
            members: The member of the ensemble that draws each example, with shape (n,).
            context: What they are conditioned on, with n rows.

        Returns:
            The examples, with shape (n, *space.shape).
        """
        shape = (len(members), *self.space.shape)
        drawn = torch.empty(shape, dtype=self.space.dtype, device=uniforms.device)
        for member in members.unique().tolist():
            rows = (members == member).nonzero()[:, 0]
            given = None if context is None else context[rows]
            drawn[rows] = draw_in_order(self, self.stack(member), uniforms[:, :, rows], given)
        return drawn

    def _log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        count = len(self.orders)
        if self.training:
            member = int(torch.randint(count, ()))
            return self.conditionals(x, member, context).log_prob(x)
        each = [self.conditionals(x, member, context).log_prob(x) for member in range(count)]
        return torch.stack(each).logsumexp(dim=0) - math.log(count)


class _Shared(nn.Linear):
    """Weights that many masks share, scaled for the half of the inputs that a unit sees."""

    def reset_parameters(self) -> None:
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-1, 1).mul_((2 / self.in_features) ** 0.5)


def _masked(layer: nn.Module, mask: Tensor) -> tuple[Tensor, Tensor]:
    assert isinstance(layer, nn.Linear)
    return layer.weight * mask, layer.bias
