r"""NADE: the hidden units of each conditional from those of the one before.

.. math::
    a_1 = c, \quad h_d = \sigma(a_d), \quad
    p(x_d \mid x_{<d}) = \mathrm{head}(b_d + V_d h_d), \quad a_{d+1} = a_d + W_d \phi(x_d)

An evaluation costs O(DH), and as many sigmoids. It is bound by what moves between memory and the
processor, so values are taken in blocks that stay in its cache. The backward pass goes through the
blocks from the last to the first and computes the units again rather than keep them.
"""

__all__ = ["NADE"]

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ptheta.errors import PthetaError
from ptheta.models.autoregressive.distribution import Autoregressive
from ptheta.models.autoregressive.order import value_order
from ptheta.models.heads.head import Factorised, Head
from ptheta.models.normalised import Normalised
from ptheta.networks.context import ContextFeatures, ContextShift
from ptheta.networks.features import Features
from ptheta.spaces import Categorical, Real, Space, Table

_BLOCK_VALUES = 2**19  # of the hidden units that are held together


class NADE(Normalised):
    """Neural autoregressive density estimator.

    Values of several kinds have as many rows of weights each as the widest of them, of which the
    narrower ones leave some out.

    References:
        The neural autoregressive distribution estimator (Larochelle & Murray, 2011),
        https://proceedings.mlr.press/v15/larochelle11a.html, equations 5-6 and algorithm 1
        RNADE: The real-valued neural autoregressive density-estimator (Uria, Murray & Larochelle,
        2013), https://arxiv.org/abs/1306.0186, for mixtures of Gaussians as conditionals

    Arguments:
        space: The space of the examples; real values are expected to be standardised.
        context_space: What they are conditioned on, or None. It shifts the first units.
        hidden_features: The number of hidden units H.
        components: The number of components of mixtures, for real values and many levels.
        order: The values of a flattened example in the order in which they are drawn; None
            takes them as they stand.
        min_scale: The smallest scale of a Gaussian, in standard deviations of the data.

    Raises:
        PthetaError: Values may be missing.
        ValueError: The order is no permutation.

    Example:
        >>> from ptheta.spaces import Binary
        >>> model = NADE(Binary((3,)), hidden_features=4)
        >>> every = torch.cartesian_prod(*[torch.arange(2)] * 3)
        >>> bool(torch.isclose(model.log_prob(every).exp().sum(), torch.tensor(1.0)))
        True
    """

    order: Tensor
    inputs: Tensor
    outputs: Tensor

    def __init__(
        self,
        space: Space,
        context_space: Categorical | Real | None = None,
        *,
        hidden_features: int = 500,
        components: int = 10,
        order: Sequence[int] | None = None,
        min_scale: float = 1e-3,
    ) -> None:
        super().__init__()
        count = space.features
        order = value_order(order, count)
        self.space = space
        self.features = Features(space)
        self.context = ContextFeatures(context_space)
        self.head = Head(space, components, min_scale)
        if isinstance(space, Table) and space.missing:
            raise PthetaError("it has no place for values that are missing.")
        self.register_buffer("order", torch.tensor(order), persistent=False)
        inputs, outputs = (
            int(owner.bincount().max()) for owner in (self.features.owner, self.head.owner)
        )
        # where the features and the parameters of values stand, value by value in their order
        places = _places(self.features.owner, order, inputs)
        source = torch.full((count * inputs,), self.features.features)
        source[places] = torch.arange(self.features.features)
        self.register_buffer("inputs", source, persistent=False)
        places = _places(self.head.owner, order, outputs)
        self.register_buffer("outputs", places, persistent=False)
        self.start = nn.Parameter(torch.zeros(hidden_features))
        self.shift = ContextShift.of(self.context.features, hidden_features)
        self.inward = nn.Parameter(torch.empty(count, inputs, hidden_features))
        self.outward = nn.Parameter(torch.empty(count, hidden_features, outputs))
        self.bias = nn.Parameter(torch.zeros(count, outputs))
        with torch.no_grad():
            self.inward.uniform_(-1, 1).div_(count**0.5)
            self.outward.uniform_(-1, 1).div_(hidden_features**0.5)

    def forward(self, context: Tensor | None = None) -> Autoregressive:
        """The distribution of examples, given the context if the model is conditional."""
        return Autoregressive(self, self.bias.device, context)

    def conditionals(self, x: Tensor, context: Tensor | None = None) -> Factorised:
        """The distribution of each value given those before it.

        Arguments:
            x: The examples, with shape (batch, *space.shape).
            context: What they are conditioned on.
        """
        # a zero stands where a value has fewer features than others
        features = nn.functional.pad(self.features(x), (0, 1)).to(self.bias.dtype)
        seen = features.T.index_select(0, self.inputs).unflatten(0, (len(self.order), -1))
        found: tuple[Tensor, Tensor] = _Conditionals.apply(  # pyright: ignore[reportAssignmentType]
            seen.transpose(1, 2),
            self._first(context, len(x)),
            self.inward,
            self.outward,
            self.bias,
        )
        parameters = found[0].transpose(1, 2).flatten(0, 1)
        return self.head(parameters.index_select(0, self.outputs).T)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts near the product of the marginals.

        Arguments:
            x: The training examples, with shape (rows, *space.shape).
            context: Not looked at.
        """
        self.bias.view(-1)[self.outputs] = self.head.fit(x).to(self.bias.dtype)
        self.outward.mul_(0.1)

    @torch.no_grad()
    def draw(self, uniforms: Tensor, context: Tensor | None = None) -> Tensor:
        """Examples as a deterministic function of noise.

        Arguments:
            uniforms: Noise from [0, 1), with shape (2, space.features, n), in the values' order.
            context: What they are conditioned on, with n rows.

        Returns:
            The examples, with shape (n, *space.shape).
        """
        values, n = uniforms.shape[1:]
        encode = self.features.by_value()
        inward, outward, bias = (each.unbind() for each in (self.inward, self.outward, self.bias))
        before = self._first(context, n).contiguous().clone()
        drawn = self.bias.new_empty(values, n)
        for d, position in enumerate(self.order.tolist()):
            kind = self.head.kind(position)
            size = kind.size
            parameters = torch.addmm(bias[d][:size], before.sigmoid(), outward[d][:, :size])
            drawn[position] = kind.draw(parameters.T, uniforms[:, position])
            features = encode[position](drawn[position]).T
            before.addmm_(features, inward[d][: features.shape[1]])
        return drawn.T.reshape(n, *self.space.shape).to(self.space.dtype)

    def _first(self, context: Tensor | None, rows: int) -> Tensor:
        seen = self.context(context, rows)
        first = self.start.expand(rows, -1)
        return first if self.shift is None else first + self.shift(seen)


def _places(owner: Tensor, order: Sequence[int], width: int) -> Tensor:
    """Where what values own stands, if each has a stretch of one width, in their order."""
    following = {value: place * width for place, value in enumerate(order)}
    places: list[int] = []
    for value in owner.tolist():
        places.append(following[value])
        following[value] += 1
    return torch.tensor(places)


class _Conditionals(torch.autograd.Function):
    """The parameters of all conditionals, and their gradient, by blocks of values."""

    @staticmethod
    def forward(
        seen: Tensor, first: Tensor, inward: Tensor, outward: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gives the parameters, (values, n, size), and the sums that each block starts from."""
        block = _Block(first)
        parameters = bias.new_empty(len(bias), len(first), bias.shape[1])
        blocks = block.split(seen, inward, outward, bias, parameters)
        starts = first.new_empty(len(blocks), *first.shape)
        before = first
        for start, (x, w, v, b, found) in zip(starts, blocks, strict=True):
            start.copy_(before)
            torch.baddbmm(b.unsqueeze(1), block.units(x, start, w), v, out=found)
            before = block.rows[len(w)]
        return parameters, starts

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        seen, _, inward, outward, _ = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(seen, output[1], inward, outward)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        seen, starts, inward, outward = ctx.saved_tensors
        slopes = gradients[0].contiguous()
        block = _Block(starts[0])
        blocks = block.split(seen, inward, outward, slopes)
        after = torch.zeros_like(starts[0])  # the gradient of the sums that follow a block
        of_seen: list[Tensor] = []
        inwards: list[Tensor] = []
        outwards: list[Tensor] = []
        for start, (x, w, v, slope) in zip(starts.flip(0), reversed(blocks), strict=True):
            units = block.units(x, start, w)
            # twice as fast as the product of the transposes, whose result this is
            outwards.append((slope.transpose(1, 2) @ units).transpose(1, 2))
            sums = block.gradients_of_sums(slope, v, units, after)
            inwards.append(x.transpose(1, 2) @ sums[1:])
            if ctx.needs_input_grad[0]:
                of_seen.append(sums[1:] @ w.transpose(1, 2))
            after.copy_(sums[0])
        return (
            torch.cat(of_seen[::-1]) if of_seen else None,
            after,
            torch.cat(inwards[::-1]),
            torch.cat(outwards[::-1]),
            slopes.sum(dim=1),
        )


class _Block:
    """What a block of values needs, in memory that the next block takes over.

    Memory that is asked for anew at each block has to be cleared by the system first, which
    takes longer than what is computed in it.

    Arguments:
        first: The sums of the first value, for their shape, (n, hidden).
    """

    def __init__(self, first: Tensor) -> None:
        self.size = max(1, min(32, _BLOCK_VALUES // max(1, first.numel())))
        self.sums = first.new_empty(self.size + 1, *first.shape)
        self.rows = self.sums.unbind()
        self.squashed = first.new_empty(self.size, *first.shape)

    def split(self, *of_values: Tensor) -> list[tuple[Tensor, ...]]:
        """Tensors with the values first, by blocks."""
        return list(zip(*(part.split(self.size) for part in of_values), strict=True))

    def units(self, x: Tensor, start: Tensor, inward: Tensor) -> Tensor:
        """The hidden units of each value of a block.

        Arguments:
            x: The inputs of the block, with shape (block, n, inputs).
            start: The sums of its first value, with shape (n, hidden).
            inward: The weights of the block, with shape (block, inputs, hidden).

        Returns:
            The units, with shape (block, n, hidden). The sums of the value that follows the block
            stand in ``rows[block]``.
        """
        rows, count = self.rows, len(x)
        rows[0].copy_(start)
        for d, (value, weight) in enumerate(zip(x.unbind(), inward.unbind(), strict=True)):
            torch.addmm(rows[d], value, weight, out=rows[d + 1])
        return torch.sigmoid(self.sums[:count], out=self.squashed[:count])

    def gradients_of_sums(
        self, slope: Tensor, outward: Tensor, units: Tensor, after: Tensor
    ) -> Tensor:
        """The gradient of the sums of a block and of what follows it: (block + 1, n, hidden).

        Arguments:
            slope: The gradient of the parameters, with shape (block, n, size).
            outward: The weights of the block, with shape (block, hidden, size).
            units: The units of the block, with shape (block, n, hidden).
            after: The gradient of the sums that follow it, with shape (n, hidden).
        """
        rows, count = self.rows, len(units)
        own = self.sums[:count]
        torch.bmm(slope, outward.transpose(1, 2), out=own)
        torch.ops.aten.sigmoid_backward.grad_input(own, units, grad_input=own)
        rows[count].copy_(after)
        for d in reversed(range(count)):
            rows[d].add_(rows[d + 1])
        return self.sums[: count + 1]
