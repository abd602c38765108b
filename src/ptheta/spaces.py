r"""What one example is: the kind of its values, their shape and layout.

A tensor of examples has shape ``(batch, *space.shape)`` and dtype ``space.dtype``. Levels and
categories are stored as codes ``0 ... levels - 1``; what a code stands for (the offset of an
integer column, the label of a category) is part of the space, and is applied where data enters
and leaves. In a table a missing value is NaN.
"""

__all__ = [
    "END",
    "Binary",
    "Categorical",
    "Column",
    "Discrete",
    "Group",
    "Layout",
    "Positive",
    "Real",
    "Space",
    "Table",
    "end_of",
    "groups",
    "missing_values",
    "rate_of",
]

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Layout = Literal["vector", "image", "sequence", "video"]
END = ""  # the label of what follows the end of a sentence

_MOST_FEATURES = 2**31
_MOST_CODES = 2**53  # a table holds codes as float64


class Space(ABC):
    """What one example is. Final classes: Real, Positive, Discrete, Categorical, Table."""

    shape: tuple[int, ...]
    layout: Layout

    @property
    def features(self) -> int:
        """The number of values in one example."""
        return math.prod(self.shape)

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The dtype in which examples are stored and sampled."""

    @property
    @abstractmethod
    def continuous(self) -> bool:
        """Whether p(x) is a density in every value (true), or a mass in some (false)."""

    @abstractmethod
    def contains(self, x: Tensor) -> Tensor:
        """Which rows lie inside the space.

        Arguments:
            x: The examples, with shape (batch, *shape).

        Returns:
            A boolean for each row, with shape (batch,).
        """

    @abstractmethod
    def describe(self) -> str:
        """A few words for a person, such as ``17 levels, image 1 x 8 x 8``."""


def _dimensions(space: Space) -> str:
    size = " x ".join(str(n) for n in space.shape) if space.shape else "scalar"
    return f"{space.layout} {size}" if space.shape else size


def _check_shape(shape: tuple[int, ...]) -> None:
    if any(n < 1 for n in shape) or math.prod(shape) > _MOST_FEATURES:
        raise ValueError(
            f"a shape must be of numbers above 0 whose product is at most {_MOST_FEATURES}, "
            f"got {shape}"
        )


def _check_codes(count: int, what: str) -> None:
    if not 1 <= count <= _MOST_CODES:
        raise ValueError(f"{what} must be from 1 to {_MOST_CODES}, got {count}")


def _rows(mask: Tensor) -> Tensor:
    return mask.flatten(1).all(dim=1) if mask.dim() > 1 else mask


@dataclass(frozen=True)
class Real(Space):
    """Real numbers.

    Arguments:
        shape: The shape of one example.
        layout: How the shape is to be read.
    """

    shape: tuple[int, ...] = ()
    layout: Layout = "vector"
    kind: Literal["real"] = "real"

    def __post_init__(self) -> None:
        _check_shape(self.shape)

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    @property
    def continuous(self) -> bool:
        return True

    def contains(self, x: Tensor) -> Tensor:
        return _rows(x.isfinite())

    def describe(self) -> str:
        return f"real numbers, {_dimensions(self)}"


@dataclass(frozen=True)
class Positive(Space):
    """Real numbers above zero.

    Arguments:
        shape: The shape of one example.
        layout: How the shape is to be read.
    """

    shape: tuple[int, ...] = ()
    layout: Layout = "vector"
    kind: Literal["positive"] = "positive"

    def __post_init__(self) -> None:
        _check_shape(self.shape)

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    @property
    def continuous(self) -> bool:
        return True

    def contains(self, x: Tensor) -> Tensor:
        return _rows(x.isfinite() & (x > 0))

    def describe(self) -> str:
        return f"positive numbers, {_dimensions(self)}"


@dataclass(frozen=True)
class Discrete(Space):
    """Ordered levels: pixel intensities, counts, grades. Two levels are binary data.

    Arguments:
        shape: The shape of one example.
        levels: The number of levels.
        low: The number that code 0 stands for.
        layout: How the shape is to be read.
        rate: The samples a second where the levels are those of sound by the mu-law; None where
            they are of something else.
    """

    shape: tuple[int, ...] = ()
    levels: int = 2
    low: int = 0
    layout: Layout = "vector"
    kind: Literal["discrete"] = "discrete"
    # fingerprints of data are taken of the text of a space, and are not to change
    rate: int | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        _check_codes(self.levels, "levels")
        if not -(2**63) <= self.low < 2**63:
            raise ValueError(f"low must be a number of 64 bits, got {self.low}")
        if self.rate is not None and self.rate < 1:
            raise ValueError(f"rate must be at least 1 sample a second, got {self.rate}")

    @property
    def dtype(self) -> torch.dtype:
        return torch.uint8 if self.levels <= 256 else torch.int64

    @property
    def continuous(self) -> bool:
        return False

    def contains(self, x: Tensor) -> Tensor:
        return _rows((x >= 0) & (x <= self.levels - 1) & (x == x.round()))

    def describe(self) -> str:
        what = "binary" if self.levels == 2 else f"{self.levels} levels"
        sound = "" if self.rate is None else f" of sound at {self.rate} Hz"
        return f"{what}{sound}, {_dimensions(self)}"


@dataclass(frozen=True)
class Categorical(Space):
    """Unordered categories: classes, tokens.

    Arguments:
        shape: The shape of one example.
        categories: The number of categories.
        labels: What each code stands for; empty where codes are all there is.
        layout: How the shape is to be read.
    """

    shape: tuple[int, ...] = ()
    categories: int = 2
    labels: tuple[str, ...] = ()
    layout: Layout = "vector"
    kind: Literal["categorical"] = "categorical"

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        _check_codes(self.categories, "categories")
        if len(self.labels) not in (0, self.categories):
            raise ValueError(
                f"{self.categories} categories need as many labels or none, got {len(self.labels)}"
            )

    @property
    def dtype(self) -> torch.dtype:
        return torch.uint8 if self.categories <= 256 else torch.int64

    @property
    def continuous(self) -> bool:
        return False

    @property
    def names(self) -> tuple[str, ...]:
        """What each category is called: its label, or its code where there are no labels."""
        return self.labels or tuple(map(str, range(self.categories)))

    def contains(self, x: Tensor) -> Tensor:
        return _rows((x >= 0) & (x <= self.categories - 1) & (x == x.round()))

    def describe(self) -> str:
        return f"{self.categories} categories, {_dimensions(self)}"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Arguments:
        name: The column's name in the file.
        space: The space of one value: a space of shape ``()``.
        missing: Whether values may be missing (NaN).
    """

    name: str
    space: "Real | Positive | Discrete | Categorical"
    missing: bool = False


@dataclass(frozen=True)
class Table(Space):
    """Rows of named columns of mixed kinds, stored as one float64 tensor (batch, columns).

    Arguments:
        columns: The columns, in order.
    """

    columns: tuple[Column, ...] = ()
    kind: Literal["table"] = "table"

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (len(self.columns),)

    @property
    def layout(self) -> Layout:  # type: ignore[override]
        return "vector"

    @property
    def dtype(self) -> torch.dtype:
        # float32 cannot hold a time stamp or a large integer with its last digits
        return torch.float64

    @property
    def continuous(self) -> bool:
        return all(column.space.continuous for column in self.columns)

    @property
    def missing(self) -> bool:
        """Whether any column may hold missing values."""
        return any(column.missing for column in self.columns)

    def contains(self, x: Tensor) -> Tensor:
        inside = torch.ones(len(x), dtype=torch.bool, device=x.device)
        for i, column in enumerate(self.columns):
            here = column.space.contains(x[:, i])
            inside &= here | x[:, i].isnan() if column.missing else here
        return inside

    def describe(self) -> str:
        kinds = [column.space.kind for column in self.columns]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        gaps = ", with missing values" if self.missing else ""
        return f"table of {len(self.columns)} columns ({counts}){gaps}"


def Binary(shape: tuple[int, ...] = (), layout: Layout = "vector") -> Discrete:  # noqa: N802
    """Two levels: a `Discrete` space with ``levels=2``.

    Arguments:
        shape: The shape of one example.
        layout: How the shape is to be read.
    """
    return Discrete(shape, 2, layout=layout)


class Group(NamedTuple):
    """Values of an example that share one scalar space: ``positions`` in the flattened example."""

    space: Real | Positive | Discrete | Categorical
    positions: tuple[int, ...]


def end_of(space: Space) -> int | None:
    """The code of what follows the end of a sequence, or None where all are of one length.

    Arguments:
        space: Any space.

    Example:
        >>> end_of(Categorical((4,), 3, ("a", "b", ""), layout="sequence"))
        2
    """
    if isinstance(space, Categorical) and space.layout == "sequence" and END in space.labels:
        return space.labels.index(END)
    return None


def groups(space: Space) -> tuple[Group, ...]:
    """The values of a flattened example, grouped by the kind of value that they are.

    Pieces that treat values by kind (output heads, input features, bridges) are written once
    over this, and so serve a homogeneous space and a mixed table alike.

    Arguments:
        space: Any space.

    Returns:
        The groups, in the order of their first value. A homogeneous space has one.

    Example:
        >>> groups(Discrete((1, 2, 2), 17, layout="image"))[0].positions
        (0, 1, 2, 3)
    """
    match space:
        case Real():
            return (Group(Real(), tuple(range(space.features))),)
        case Positive():
            return (Group(Positive(), tuple(range(space.features))),)
        case Discrete():
            scalar = Discrete(levels=space.levels)
            return (Group(scalar, tuple(range(space.features))),)
        case Categorical():
            scalar = Categorical(categories=space.categories)
            return (Group(scalar, tuple(range(space.features))),)
        case Table():
            found: dict[Real | Positive | Discrete | Categorical, list[int]] = {}
            for i, column in enumerate(space.columns):
                found.setdefault(groups(column.space)[0].space, []).append(i)
            return tuple(Group(scalar, tuple(index)) for scalar, index in found.items())
        case _:
            raise TypeError(f"expected a space, got {type(space).__name__}")


def missing_values(x: Tensor) -> Tensor:
    """Which values are missing (NaN), boolean, shaped as x; codes that are integers never are.

    Example:
        >>> missing_values(torch.tensor([0.5, float("nan")])), missing_values(torch.tensor([1]))
        (tensor([False,  True]), tensor([False]))
    """
    return x.isnan() if x.is_floating_point() else torch.zeros_like(x, dtype=torch.bool)


def rate_of(space: Space) -> int | None:
    """The samples a second of sound, or None where a space is not one of sound.

    Example:
        >>> rate_of(Discrete((1024,), 256, layout="sequence", rate=8000)), rate_of(Real((2,)))
        (8000, None)
    """
    return space.rate if isinstance(space, Discrete) else None
