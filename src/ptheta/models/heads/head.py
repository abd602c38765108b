"""One head for every space: parameters of a network to a factorised distribution of examples."""

__all__ = ["Factorised", "Head", "kind_of", "on_reals"]

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from ptheta.models.heads.continuous import ExponentialMixtureKind, GaussianMixtureKind
from ptheta.models.heads.discrete import BernoulliKind, LogisticMixtureKind, SoftmaxKind
from ptheta.models.heads.kinds import Kind
from ptheta.spaces import Categorical, Discrete, Group, Positive, Real, Space, Table, groups

_SOFTMAX_LEVELS = 8


def kind_of(
    scalar: Real | Positive | Discrete | Categorical,
    components: int,
    min_scale: float,
    softmax_levels: int = _SOFTMAX_LEVELS,
) -> Kind:
    """The distribution that suits a kind of value.

    Few levels have a logit each, and many share strength in a mixture of logistics: neighbouring
    levels are alike, which a softmax has to learn for each anew. On digits of 17 levels mixtures
    of four gained 5 to 8 held-out nats where each value has weights of its own. Positive values
    are left as they are, scaled to a mean of one, or made real by their logarithm (`on_reals`).

    Arguments:
        scalar: The space of one value.
        components: The number of components of mixtures.
        min_scale: The smallest scale of a Gaussian, in standard deviations of the data.
        softmax_levels: The number of levels up to which each has a logit of its own.
    """
    match scalar:
        case Real():
            return GaussianMixtureKind(components, min_scale)
        case Positive():
            return ExponentialMixtureKind(components)
        case Discrete(levels=2):
            return BernoulliKind()
        case Discrete() if scalar.levels > softmax_levels:
            return LogisticMixtureKind(scalar.levels, components)
        case Discrete():
            return SoftmaxKind(scalar.levels, ordered=True)
        case Categorical():
            return SoftmaxKind(scalar.categories)


def on_reals(space: Space) -> Space:
    """A space as it stands behind the `standardising` bridge: positive values are real.

    Arguments:
        space: The space of the data.

    Example:
        >>> on_reals(Positive((3,)))
        Real(shape=(3,), layout='vector', kind='real')
    """
    match space:
        case Positive():
            return Real(space.shape, space.layout)
        case Table():
            columns = (
                replace(column, space=Real()) if isinstance(column.space, Positive) else column
                for column in space.columns
            )
            return replace(space, columns=tuple(columns))
        case _:
            return space


class Head(nn.Module):
    """Maps parameters to a distribution of examples whose values are independent given them.

    It has no weights of its own. Missing values (NaN, in tables) are marginalised: they
    contribute nothing.

    Arguments:
        space: The space of the examples; real values are expected to be standardised.
        components: The number of components of mixtures, for real values and many levels.
        min_scale: The smallest scale of a Gaussian, in standard deviations of the data.
        choose: Gives the distribution of a kind of value; None takes `kind_of`.

    Example:
        >>> head = Head(Discrete((2, 2), levels=3))
        >>> head.sizes
        (3, 3, 3, 3)
        >>> head(torch.zeros(5, 12)).log_prob(torch.zeros(5, 2, 2)).shape
        torch.Size([5])
    """

    owner: Tensor

    def __init__(
        self,
        space: Space,
        components: int = 5,
        min_scale: float = 1e-3,
        choose: Callable[[Group], Kind] | None = None,
    ) -> None:
        super().__init__()
        self.space = space
        self.groups = groups(space)
        self.kinds = tuple(
            kind_of(group.space, components, min_scale) if choose is None else choose(group)
            for group in self.groups
        )
        self.group_of = {d: i for i, group in enumerate(self.groups) for d in group.positions}
        self.gaps = isinstance(space, Table)
        owners: list[Tensor] = []
        for i, (group, kind) in enumerate(zip(self.groups, self.kinds, strict=True)):
            positions = torch.tensor(group.positions)
            self.register_buffer(f"positions_{i}", positions, persistent=False)
            owners.append(positions.repeat(kind.size))
        self.register_buffer("owner", torch.cat(owners), persistent=False)

    @property
    def features(self) -> int:
        """The number of parameters of one example."""
        return len(self.owner)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of parameters of each value."""
        return tuple(self.kind(d).size for d in range(self.space.features))

    def kind(self, position: int) -> Kind:
        """The distribution of one value of a flattened example."""
        return self.kinds[self.group_of[position]]

    def forward(self, parameters: Tensor) -> "Factorised":
        """The distribution.

        Arguments:
            parameters: The parameters, with shape (..., features). Which value each belongs to
                is `owner`; those of one value stand in the order of its kind.
        """
        return Factorised(self, parameters)

    def fit(self, x: Tensor) -> Tensor:
        """Parameters near the marginals of data, as a start, with shape (features,).

        Arguments:
            x: The examples, with shape (rows, *space.shape).
        """
        x = x.reshape(len(x), self.space.features)
        return torch.cat([kind.fit(values).flatten() for kind, values in self.take(x)])

    def split(self, parameters: Tensor) -> list[Tensor]:
        """The parameters of each group, with shape (..., size, values)."""
        blocks: list[Tensor] = []
        start = 0
        for group, kind in zip(self.groups, self.kinds, strict=True):
            count = len(group.positions)
            block = parameters[..., start : start + kind.size * count]
            blocks.append(block.unflatten(-1, (kind.size, count)))
            start += kind.size * count
        return blocks

    def assemble(self, values: list[Tensor]) -> Tensor:
        """Puts values by group in the order of the example, with shape (..., space.features)."""
        if len(values) == 1:
            return values[0]
        whole = values[0].new_empty(*values[0].shape[:-1], self.space.features)
        for i, part in enumerate(values):
            whole[..., self.get_buffer(f"positions_{i}")] = part.to(whole.dtype)
        return whole

    def take(self, x: Tensor) -> list[tuple[Kind, Tensor]]:
        if len(self.kinds) == 1:
            return [(self.kinds[0], x)]
        return [
            (kind, x[..., self.get_buffer(f"positions_{i}")]) for i, kind in enumerate(self.kinds)
        ]

    def log_prob_values(self, parameters: Tensor, x: Tensor) -> list[Tensor]:
        """The log-probability of each value by group; 0 where it is missing.

        Arguments:
            parameters: The parameters, with shape (..., features).
            x: The flattened examples, with shape (..., space.features).
        """
        found: list[Tensor] = []
        for block, (kind, values) in zip(self.split(parameters), self.take(x), strict=True):
            if self.gaps and values.is_floating_point():
                seen = kind.log_prob(block, values.nan_to_num(nan=0.0))
                found.append(torch.where(values.isnan(), torch.zeros_like(seen), seen))
            else:
                found.append(kind.log_prob(block, values))
        return found


class Factorised(Distribution):
    """Independent values, each of its own kind.

    Arguments:
        head: The head.
        parameters: The parameters, with shape (..., head.features).
    """

    def __init__(self, head: Head, parameters: Tensor) -> None:
        self.head = head
        self.parameters = parameters
        shape = torch.Size(head.space.shape)
        super().__init__(parameters.shape[:-1], shape, validate_args=False)

    @property
    def arg_constraints(self) -> dict[str, Constraint]:
        return {}

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x) in nats, with the shape of the batch."""
        parts = self.head.log_prob_values(self.parameters, self._flat(value))
        return torch.stack([part.sum(dim=-1) for part in parts]).sum(dim=0)

    def log_prob_values(self, value: Tensor) -> Tensor:
        """log p of each value in nats, with shape (..., *space.shape); 0 where it is missing."""
        parts = self.head.log_prob_values(self.parameters, self._flat(value))
        whole = self.head.assemble(parts)
        return whole.reshape(*whole.shape[:-1], *self.event_shape)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws, with shape (*sample_shape, ..., *space.shape), inside the space."""
        shape = (*sample_shape, *self.batch_shape)
        drawn: list[Tensor] = []
        for block, kind in zip(self.head.split(self.parameters), self.head.kinds, strict=True):
            noise = torch.rand(2, *shape, block.shape[-1], device=block.device)
            drawn.append(kind.draw(block, noise))
        return self._unflat(self.head.assemble(drawn))

    def centre(self) -> Tensor:
        """The mean of each value, to the nearest level where there are levels; or the mode."""
        blocks = self.head.split(self.parameters)
        parts = [kind.centre(b) for kind, b in zip(self.head.kinds, blocks, strict=True)]
        return self._unflat(self.head.assemble(parts))

    def _flat(self, value: Tensor) -> Tensor:
        lead = value.shape[: value.dim() - len(self.event_shape)]
        return value.reshape(*lead, self.head.space.features)

    def _unflat(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], *self.event_shape).to(self.head.space.dtype)
