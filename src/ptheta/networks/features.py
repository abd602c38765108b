"""Examples of any space as features that a network can read."""

__all__ = ["Encode", "Features"]

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ptheta.spaces import Categorical, Discrete, Group, Space, Table, groups

Encode = Callable[[Tensor], Tensor]


class _Encoding(ABC):
    """Features of one kind of value: from (..., n) to (..., size, n)."""

    size: int

    @abstractmethod
    def prepare(self, like: Tensor) -> Encode:
        """The encoding of values that have the dtype and device of a tensor."""


class _Same(_Encoding):
    size = 1

    def prepare(self, like: Tensor) -> Encode:
        return partial(torch.unsqueeze, dim=-2)


@dataclass(frozen=True)
class _Scaled(_Encoding):
    offset: float
    factor: float
    size: int = 1

    def prepare(self, like: Tensor) -> Encode:
        # as tensors, since numbers are twice as dear where values are drawn one by one
        offset, factor = like.new_tensor(self.offset), like.new_tensor(self.factor)
        return lambda x: torch.sub(x, offset).mul_(factor).unsqueeze(-2)


@dataclass(frozen=True)
class _OneHot(_Encoding):
    size: int

    def prepare(self, like: Tensor) -> Encode:
        codes = torch.arange(self.size, device=like.device, dtype=like.dtype).unsqueeze(-1)
        return lambda x: (x.unsqueeze(-2) == codes).to(x.dtype)


class Features(nn.Module):
    """Features of examples: levels scaled to [-1, 1], categories one-hot, real values as they are.

    A missing value (NaN) is zero in all its features, and each value of a table's column that may
    be missing has one more, which is 1 where it is.

    Arguments:
        space: The space of the examples; real values are expected to be standardised.
        one_hot_levels: The number of levels up to which levels are one-hot as well.
        dtype: The dtype of the features, until the module is brought to another.

    Attributes:
        owner: The value of the flattened example that each feature belongs to.

    Example:
        >>> features = Features(Discrete((3,), levels=5))
        >>> features(torch.tensor([[0, 2, 4]]))
        tensor([[-1.,  0.,  1.]])
    """

    owner: Tensor
    gaps: Tensor
    like: Tensor

    def __init__(
        self, space: Space, one_hot_levels: int = 0, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.space = space
        # empty: it follows the dtype of the model, as weights do
        self.register_buffer("like", torch.empty(0, dtype=dtype), persistent=False)
        self.groups = groups(space)
        self.encodings = tuple(_encoding(group, one_hot_levels) for group in self.groups)
        self.group_of = {d: i for i, group in enumerate(self.groups) for d in group.positions}
        owners: list[Tensor] = []
        for i, (group, encoding) in enumerate(zip(self.groups, self.encodings, strict=True)):
            positions = torch.tensor(group.positions)
            self.register_buffer(f"positions_{i}", positions, persistent=False)
            owners.append(positions.repeat(encoding.size))
        gaps = torch.tensor(_gaps(space), dtype=torch.long)
        self.register_buffer("gaps", gaps, persistent=False)
        self.register_buffer("owner", torch.cat([*owners, gaps]), persistent=False)

    @property
    def features(self) -> int:
        """The number of features of one example."""
        return len(self.owner)

    def forward(self, x: Tensor) -> Tensor:
        """The features of examples.

        Arguments:
            x: The examples, with shape (batch, *space.shape).

        Returns:
            The features, with shape (batch, features).
        """
        x = x.reshape(len(x), self.space.features)
        parts: list[Tensor] = []
        for i, encoding in enumerate(self.encodings):
            values = x if len(self.encodings) == 1 else x[:, self.get_buffer(f"positions_{i}")]
            parts.append(encoding.prepare(self.like)(values.to(self.like.dtype)).flatten(1))
        if isinstance(self.space, Table):
            parts = [part.nan_to_num(nan=0.0) for part in parts]
        if len(self.gaps):
            parts.append(x[:, self.gaps].isnan().to(self.like.dtype))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def by_value(self) -> list[Encode]:
        """What gives the features of each value alone, in the order in which `owner` lists them.

        Each maps a value of n examples, of the dtype of the features and never missing, with
        shape (n,), to its features, with shape (size, n).
        """
        made = [encoding.prepare(self.like) for encoding in self.encodings]
        gaps = set(self.gaps.tolist())
        return [
            _with_gap(made[self.group_of[d]]) if d in gaps else made[self.group_of[d]]
            for d in range(self.space.features)
        ]


def _with_gap(encode: Encode) -> Encode:
    def encode_and_mark(x: Tensor) -> Tensor:
        own = encode(x)
        return torch.cat([own, torch.zeros_like(own[:1])])

    return encode_and_mark


def _encoding(group: Group, one_hot_levels: int) -> _Encoding:
    match group.space:
        case Categorical():
            return _OneHot(group.space.categories)
        case Discrete() if 2 < group.space.levels <= one_hot_levels:
            return _OneHot(group.space.levels)
        case Discrete():
            half = max(group.space.levels - 1, 1) / 2
            return _Scaled(half, 1 / half)
        case _:
            return _Same()


def _gaps(space: Space) -> list[int]:
    if not isinstance(space, Table):
        return []
    return [i for i, column in enumerate(space.columns) if column.missing]
