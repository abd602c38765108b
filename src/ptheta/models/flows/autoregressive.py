"""Autoregressive flows: each value is mapped as the values before it say."""

__all__ = ["MaskedAutoregressive"]

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ptheta.models.autoregressive.incremental import Incremental
from ptheta.models.autoregressive.order import value_order
from ptheta.models.autoregressive.stack import CONTEXT, MaskedStack, degrees, layers_of, may_see
from ptheta.models.flows.bijections import Bijection, check_shape, check_sizes
from ptheta.models.flows.fixed_point import solved_in_steps, with_implicit_gradient
from ptheta.models.flows.univariate import Univariate
from ptheta.networks.activations import relu
from ptheta.networks.context import beside, check_features
from ptheta.networks.masked import MaskedLinear

_FEW = 4  # rows for each value, up to which whole evaluations are sooner


class MaskedAutoregressive(Bijection):
    r"""Maps of each value, whose coefficients depend on the values of the data before it.

    .. math:: x_i = \tau(z_i; \theta_i(x_1, \dots, x_{i-1}))

    All coefficients of known data are one evaluation of a masked network. Data are found value
    by value, each unit of the network evaluated once; of few rows with many values by whole
    evaluations (Jacobi's iteration) until nothing changes, which so many as values always reach.
    `benchmarks/flows.md` has the times of both.

    References:
        Masked Autoregressive Flow for Density Estimation (Papamakarios, Pavlakou & Murray, 2017),
        https://arxiv.org/abs/1705.07057, section 3

    Arguments:
        univariate: The map of a value.
        features: The number of values.
        context_features: The number of features of the context, which all values see.
        hidden_features: The sizes of the hidden layers of the network.
        order: The order of the values; None takes them as they stand.
        activation: Makes the activation.
        dropout: The share of hidden units dropped in training, on the way from data to noise; the
            way back solves for values by one network, whole.

    Raises:
        ValueError: The order is no permutation, or there are no values, or a hidden layer has no
            units.

    Example:
        >>> from ptheta.models.flows.univariate import Affine
        >>> _ = torch.manual_seed(0)
        >>> map_, z = MaskedAutoregressive(Affine(), features=3), torch.randn(5, 3)
        >>> torch.allclose(map_.inverse(map_(z)), z, atol=1e-5)
        True
    """

    def __init__(
        self,
        univariate: Univariate,
        features: int,
        context_features: int = 0,
        hidden_features: Sequence[int] = (128, 128),
        *,
        order: Sequence[int] | None = None,
        activation: Callable[[], nn.Module] = relu,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes("features", features)
        check_sizes("hidden_features", *hidden_features)
        self.univariate = univariate
        self.context_features = context_features
        self.order = value_order(order, features)
        rank = torch.empty(features, dtype=torch.long)
        rank[list(self.order)] = torch.arange(features)
        first = CONTEXT if context_features else 0
        if features == 1 and not context_features:
            hidden_features = ()  # there is nothing to see
        self.degrees = [
            torch.cat([rank, torch.full((context_features,), CONTEXT)]),
            *(degrees(size, features, first) for size in hidden_features),
            rank.repeat(univariate.size),
        ]
        *hidden, output = map(MaskedLinear, may_see(self.degrees))
        self.hidden = nn.ModuleList(hidden)
        self.output = output
        if not hidden:
            # drawn biases would stand there as they are, layer after layer
            nn.init.zeros_(self.output.bias)
        self.activation = activation()
        self.dropout = nn.Dropout(dropout)

    def start_near_identity(self) -> "MaskedAutoregressive":
        """Draws the parameters afresh, with no coefficients and units of less weight; the map.

        Affine maps in a row start better so: they make much of what a unit of the first values
        says, which sees few and has large weights. Splines, which are bounded, do not.
        """
        for layer in self.hidden:
            assert isinstance(layer, MaskedLinear)
            layer.reset_as_if_whole()
        for parameter in self.output.parameters():
            nn.init.zeros_(parameter)
        return self

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_shape(z, (len(self.order),))
        check_features(context, self.context_features)
        stack = self._stack()
        x, log_det = self._found(stack, z, context)
        if not torch.is_grad_enabled():
            return x, log_det
        values = z.t()

        def step(x: Tensor) -> Tensor:
            coefficients = self._coefficients(stack, x, context, _kept)
            return self.univariate.forward(values, coefficients)[0].t()

        # values depend on earlier ones only, which solves for gradients in as many steps
        x = with_implicit_gradient(step, x, tolerance=0.0, iterations=z.shape[1])
        coefficients = self._coefficients(stack, x, context, _kept)
        log_slope = self.univariate.forward(values, coefficients)[1]
        return x, log_slope.sum(dim=0)

    @torch.no_grad()
    def _found(
        self, stack: MaskedStack, z: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        # in full precision, where a rounding would be carried on from value to value
        with torch.autocast(z.device.type, enabled=False):
            if len(z) <= _FEW * z.shape[1]:
                return self._whole(stack, z, context)
            return self._in_turn(Incremental(stack, self.activation, len(z), context), z)

    def _whole(
        self, stack: MaskedStack, z: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        noise = z.t()

        def data(x: Tensor) -> tuple[Tensor, Tensor]:
            return self.univariate.forward(noise, self._coefficients(stack, x, context, _kept))

        tolerance = 32 * torch.finfo(z.dtype).eps
        x, log_slope = data(solved_in_steps(lambda x: data(x)[0].t(), z, tolerance=tolerance))
        return x.t(), log_slope.sum(dim=0)

    def _in_turn(self, network: Incremental, z: Tensor) -> tuple[Tensor, Tensor]:
        noise = z.t().contiguous().unbind()
        found: list[tuple[Tensor, Tensor]] = []
        for rank, position in enumerate(self.order):
            found.append(self.univariate.forward(noise[position], network.next(rank)))
            network.tell(rank, found[-1][0])
        values, log_slopes = (torch.stack(rows) for rows in zip(*found, strict=True))
        x = torch.empty_like(values)
        x[list(self.order)] = values
        return x.t(), log_slopes.sum(dim=0)

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_shape(x, (len(self.order),))
        coefficients = self._coefficients(self._stack(), x, context, self.dropout)
        z, log_slope = self.univariate.inverse(x.t(), coefficients)
        return z.t(), log_slope.sum(dim=0)

    def _coefficients(
        self,
        stack: MaskedStack,
        x: Tensor,
        context: Tensor | None,
        dropout: Callable[[Tensor], Tensor],
    ) -> Tensor:
        inputs = beside(x, context, self.context_features)
        found = stack.features_first(inputs, self.activation, dropout)
        return found.unflatten(0, (self.univariate.size, -1))

    def _stack(self) -> MaskedStack:
        return MaskedStack(
            order=self.order,
            degrees=self.degrees,
            hidden=layers_of(self.hidden),
            output=self.output.weight_and_bias,
            direct=None,
        )


def _kept(hidden: Tensor) -> Tensor:
    return hidden
