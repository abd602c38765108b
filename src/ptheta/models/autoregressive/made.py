r"""MADE: all conditionals of an autoregressive density by one masked network.

.. math:: p(x) = \prod_r p(x_{o(r)} \mid x_{o(0)}, \dots, x_{o(r-1)})

Each hidden unit has a degree, the rank of the last value that it may see; weights that would let
a value see itself or a later one are zero for ever. Drawing needs a pass over the weights in
all, not one for each value: a unit is computed once, when the last value that it sees is drawn.
"""

__all__ = ["MADE"]

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ptheta.models.autoregressive.distribution import Autoregressive
from ptheta.models.autoregressive.drawing import draw_in_order
from ptheta.models.autoregressive.order import value_order
from ptheta.models.autoregressive.stack import CONTEXT, MaskedStack, degrees, layers_of, may_see
from ptheta.models.heads.head import Factorised, Head
from ptheta.models.normalised import Normalised
from ptheta.networks.activations import relu
from ptheta.networks.context import ContextFeatures
from ptheta.networks.features import Features
from ptheta.networks.masked import MaskedLinear
from ptheta.spaces import Categorical, Real, Space, Table


class MADE(Normalised):
    """Masked autoencoder for distribution estimation, for values of any kind.

    References:
        MADE: Masked Autoencoder for Distribution Estimation (Germain, Gregor, Murray & Larochelle,
        2015), https://arxiv.org/abs/1502.03509, equations 9-12. The degrees are spread
        evenly in place of drawn.
        RNADE: The real-valued neural autoregressive density-estimator (Uria, Murray & Larochelle,
        2013), https://arxiv.org/abs/1306.0186, for mixtures as conditionals

    Arguments:
        space: The space of the examples; real values are expected to be standardised.
        context_space: What they are conditioned on, or None. All units see it.
        hidden_features: The sizes of the hidden layers.
        components: The number of components of mixtures, for real values and many levels.
        order: The values of a flattened example in the order in which they are drawn; None
            takes them as they stand.
        direct: Whether inputs are joined to outputs directly as well.
        one_hot_levels: The number of levels up to which levels enter one-hot.
        activation: Makes the activation.
        dropout: The share of hidden units dropped in training.
        min_scale: The smallest scale of a Gaussian, in standard deviations of the data.

    Raises:
        ValueError: The order is no permutation, or the space has values that may be missing.

    Example:
        >>> from ptheta.spaces import Binary
        >>> model = MADE(Binary((3,)), hidden_features=(8,))
        >>> every = torch.cartesian_prod(*[torch.arange(2)] * 3)
        >>> bool(torch.isclose(model.log_prob(every).exp().sum(), torch.tensor(1.0)))
        True
    """

    def __init__(
        self,
        space: Space,
        context_space: Categorical | Real | None = None,
        *,
        hidden_features: Sequence[int] = (512,),
        components: int = 10,
        order: Sequence[int] | None = None,
        direct: bool = True,
        one_hot_levels: int = 0,
        activation: Callable[[], nn.Module] = relu,
        dropout: float = 0.0,
        min_scale: float = 1e-3,
    ) -> None:
        super().__init__()
        count = space.features
        order = value_order(order, count)
        if isinstance(space, Table) and space.missing:
            raise ValueError("an order of values has no place for missing ones")
        self.space = space
        self.order = order
        self.features = Features(space, one_hot_levels)
        self.context = ContextFeatures(context_space)
        self.head = Head(space, components, min_scale)
        rank = torch.empty(count, dtype=torch.long)
        rank[list(order)] = torch.arange(count)
        context = torch.full((self.context.features,), CONTEXT)
        inputs = torch.cat([rank[self.features.owner], context])
        outputs = rank[self.head.owner]
        # a first unit that sees nothing but the context is of use only where there is one
        first = CONTEXT if self.context.features or count == 1 else 0
        hidden = (degrees(size, count, first) for size in hidden_features)
        self.degrees = [inputs, *hidden, outputs]
        *masks, last = may_see(self.degrees)
        self.layers = nn.ModuleList(map(MaskedLinear, masks))
        self.output = MaskedLinear(last)
        self.direct = MaskedLinear(outputs[:, None] > inputs, bias=False) if direct else None
        self.activation = activation()
        self.dropout = nn.Dropout(dropout)

    @property
    def stack(self) -> MaskedStack:
        """The layers, for drawing."""
        return MaskedStack(
            order=self.order,
            degrees=self.degrees,
            hidden=layers_of(self.layers),
            output=self.output.weight_and_bias,
            direct=None if self.direct is None else self.direct.masked_weight,
        )

    def forward(self, context: Tensor | None = None) -> Autoregressive:
        """The distribution of examples, given the context if the model is conditional."""
        return Autoregressive(self, self.output.weight.device, context)

    def conditionals(self, x: Tensor, context: Tensor | None = None) -> Factorised:
        """The distribution of each value given those before it.

        Arguments:
            x: The examples, with shape (batch, *space.shape).
            context: What they are conditioned on.
        """
        inputs = hidden = self.context.join(self.features(x), context)
        for layer in self.layers:
            hidden = self.dropout(self.activation(layer(hidden)))
        outputs = self.output(hidden)
        return self.head(outputs if self.direct is None else outputs + self.direct(inputs))

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
    def draw(self, uniforms: Tensor, context: Tensor | None = None) -> Tensor:
        """Examples as a deterministic function of noise.

        Arguments:
            uniforms: Noise from [0, 1), with shape (2, space.features, n), in the values' order.
            context: What they are conditioned on, with n rows.

        Returns:
            The examples, with shape (n, *space.shape).
        """
        return draw_in_order(self, self.stack, uniforms, context)
