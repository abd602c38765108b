"""A data set as everything else sees it: a space, three splits, and what is known of the truth."""

__all__ = ["Data", "MappedRows", "Rows", "Split", "Truth"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptheta.spaces import Categorical, Real, Space


@runtime_checkable
class Rows(Protocol):
    """Examples that can be counted and taken by index: a tensor, or a file mapped into memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor: ...


class MappedRows:
    """Examples that stay on disk, in an array that numpy maps into memory.

    Arguments:
        array: The memory-mapped array, with shape (rows, *shape).
        dtype: The dtype in which rows are handed out.
    """

    def __init__(self, array: NDArray[Any], dtype: torch.dtype) -> None:
        self.array = array
        self.dtype = dtype

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any, /) -> Tensor:
        if isinstance(index, Tensor):
            index = index.cpu().numpy()
        return torch.from_numpy(np.array(self.array[index])).to(self.dtype)


@dataclass(frozen=True)
class Split:
    """Examples, and what each is conditioned on.

    Arguments:
        x: The examples, with shape (rows, *space.shape).
        context: What they are conditioned on, with shape (rows, *context_space.shape), or None.
        notes: What was changed as they were read, a sentence each, where they were read alone.
        names: What tells them apart, by column, such as ``file``, where they were read alone and
            have names.
    """

    x: Rows = field(repr=False)
    context: Tensor | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    names: Mapping[str, Sequence[Any]] = field(default_factory=dict[str, Sequence[Any]], repr=False)

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Truth:
    """What is known of a synthetic distribution.

    Arguments:
        log_prob: The true log-density in nats, from (batch, features) to (batch,).
        entropy: The differential entropy in nats.
        modes: The centres of the modes, with shape (modes, features), or None.
        mode_radius: How near to a centre a sample counts as of that mode.
    """

    log_prob: Callable[[Tensor], Tensor]
    entropy: float
    modes: Tensor | None = None
    mode_radius: float = 0.0


@dataclass(frozen=True)
class Data:
    """A data set.

    Arguments:
        name: Its name, as in ``ptheta data NAME``, or the path it came from.
        space: What one example is.
        train: What models are fitted to.
        validation: What early stopping looks at.
        test: What figures are reported on.
        context_space: What the context of an example is, or None where there is none.
        truth: What is known of the true density, or None.
        notes: What was inferred and what to beware of, a sentence each.
        fingerprint: A hash of the examples and their split.
        columns: The names of the values of an example, or the one name of the column that
            sentences were read from, where they have names.
        origin: What `ptheta.load_data` was asked for, in plain JSON values, so that a saved run
            can load its data again; empty where the data came from memory.
    """

    name: str
    space: Space
    train: Split
    validation: Split
    test: Split
    context_space: Categorical | Real | None = None
    truth: Truth | None = None
    notes: tuple[str, ...] = ()
    fingerprint: str = ""
    columns: tuple[str, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def class_counts(self) -> tuple[int, ...]:
        """The training rows of each class; empty where the context is no class."""
        space, context = self.context_space, self.train.context
        if not isinstance(space, Categorical) or space.shape or context is None:
            return ()
        return tuple(torch.bincount(context.long(), minlength=space.categories).tolist())
