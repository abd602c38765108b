"""Three splits, and the hash that tells one data set from another."""

__all__ = ["Examples", "assemble", "fingerprint", "refuse_few", "split_rows"]

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptheta.data.contents import DEFAULT_SPLITS, Fractions, Parts, quoted
from ptheta.data.dataset import Data, Rows, Split, Truth
from ptheta.data.streaming import SelectedRows
from ptheta.errors import PthetaError, nearest
from ptheta.spaces import Categorical, Real, Space

_SAMPLED = 1000


class _Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Examples in their space, before they are split.

    Arguments:
        where: What messages call them.
        space: Their space.
        x: The examples, with shape (rows, *space.shape).
        contexts: What they can be conditioned on, by name.
        columns: The names of the values of an example, or that of the column of sentences.
        notes: What a person should know, a sentence each.
        parts: The rows of the splits that come with them, or the owners of those.
        splits: The fractions for a split by seed.
        ordered: Whether neighbours depend on each other, so that splits are stretches.
        owners: What each row is a part of, such as a recording, with shape (rows,): nothing of one
            owner stands in two splits. None where each row stands for itself.
    """

    where: str
    space: Space
    x: Rows
    contexts: Mapping[str, tuple[Tensor, Categorical | Real]] = field(
        default_factory=dict[str, tuple[Tensor, Categorical | Real]]
    )
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    parts: Parts = field(default_factory=dict[str, NDArray[np.int64]])
    splits: Fractions = DEFAULT_SPLITS
    ordered: bool = False
    owners: NDArray[np.int64] | None = None


def assemble(
    name: str,
    examples: Examples,
    context: str | None,
    splits: Fractions | None,
    seed: int,
    truth: Truth | None = None,
) -> Data:
    """A data set of examples.

    Arguments:
        name: Its name.
        examples: The examples.
        context: The name of what they are conditioned on, or None.
        splits: The fractions of train, validation and test; None takes the splits that come with
            the examples, if any.
        seed: The seed of a split by chance.
        truth: What is known of the true density.

    Raises:
        PthetaError: There are too few rows, or there is no such context.
    """
    values, context_space = _context(examples, context)
    rows = split_rows(examples, splits, seed)
    train, validation, test = (_take(examples.x, values, index) for index in rows)
    data = Data(
        name=name,
        space=examples.space,
        train=train,
        validation=validation,
        test=test,
        context_space=context_space,
        truth=truth,
        notes=examples.notes,
        fingerprint=fingerprint(examples.space, (train, validation, test)),
        columns=examples.columns,
    )
    return replace(data, notes=(*data.notes, *_unseen(data)))


def _unseen(data: Data) -> tuple[str, ...]:
    """A note on the classes that no training row has, which nothing is learnt of."""
    codes = [code for code, count in enumerate(data.class_counts) if count == 0]
    if not codes:
        return ()
    assert isinstance(data.context_space, Categorical)
    names = data.context_space.names
    return (f"No training row is of class {quoted(names[code] for code in codes)}.",)


def split_rows(
    examples: Examples, splits: Fractions | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The rows of train, validation and test.

    Arguments:
        examples: The examples.
        splits: The fractions; None takes the given rows first. Where only some splits are given, a
            tenth of the training rows makes the validation rows, a fifth the test rows.
        seed: The seed.

    Raises:
        PthetaError: There are fewer than three rows, or the fractions are not three positive
            numbers that sum to one.
    """
    refuse_few(len(examples.x), examples.where)
    owners = examples.owners
    if owners is None:
        return _split(examples, np.arange(len(examples.x)), splits, seed)
    train, validation, test = (
        np.flatnonzero(np.isin(owners, part))
        for part in _split(examples, np.unique(owners), splits, seed)
    )
    return train, validation, test


def _split(
    examples: Examples, units: NDArray[np.int64], splits: Fractions | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """What goes into train, validation and test, of rows or of their owners."""
    generator = np.random.default_rng(seed)
    if splits is None and examples.parts:
        parts = {name: part[np.isin(part, units)] for name, part in examples.parts.items()}
        return _given(replace(examples, parts=parts), generator)
    fractions = splits or examples.splits
    positive = all(fraction > 0 for fraction in fractions)
    if len(fractions) != 3 or not positive or not abs(sum(fractions) - 1) <= 1e-6:
        raise PthetaError(
            "splits must be three positive fractions that sum to 1, such as 0.7, 0.1, 0.2; "
            f"got {fractions}."
        )
    n = len(units)
    refuse_few(n, examples.where)
    order = units if examples.ordered else generator.permutation(units)
    validation, test = (max(1, round(n * fraction)) for fraction in fractions[1:])
    train = max(1, n - validation - test)
    first, second, third = np.split(order, [train, n - test])
    return first, second, third


def refuse_few(rows: int, where: str) -> None:
    """Checks that there are enough rows for three splits.

    Arguments:
        rows: The number of rows.
        where: What messages call them.

    Raises:
        PthetaError: There are fewer than three.
    """
    if rows < 3:
        raise PthetaError(
            f"{where} holds {rows} row{'s'[: rows != 1]}, but three splits need at least 3. Give "
            "more examples."
        )


def _given(
    examples: Examples, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    parts = dict(examples.parts)
    train = parts["train"]
    for name, fraction in (("test", 0.2), ("validation", 0.1)):
        if name not in parts:
            count = max(1, round(fraction * len(train)))
            order = train if examples.ordered else generator.permutation(train)
            train, parts[name] = order[:-count], order[-count:]
    for name, rows in (("train", train), *parts.items()):
        if not len(rows):
            raise PthetaError(f"{examples.where} has no {name} rows. Give some, or give splits.")
    return train, parts["validation"], parts["test"]


def fingerprint(space: Space, splits: tuple[Split, Split, Split]) -> str:
    """A hash of the examples and their split, as 64 hexadecimal digits.

    Of rows that stay on disk only their number and a sample evenly spread over them are read.

    Arguments:
        space: The space of the examples.
        splits: The three splits.
    """
    digest = hashlib.sha256(repr(space).encode())
    for split in splits:
        digest.update(str(len(split)).encode())
        if isinstance(split.x, Tensor):
            _update(digest, split.x)
        else:
            _update(digest, split.x[torch.linspace(0, len(split) - 1, _SAMPLED).long()])
        if split.context is not None:
            _update(digest, split.context)
    return digest.hexdigest()


def _update(digest: _Digest, x: Tensor) -> None:
    digest.update(np.ascontiguousarray(x.cpu().numpy()).data)


def _context(
    examples: Examples, context: str | None
) -> tuple[Tensor | None, Categorical | Real | None]:
    if context is None:
        return None, None
    if context in examples.contexts:
        return examples.contexts[context]
    if not examples.contexts:
        raise PthetaError(
            f"{examples.where} has nothing to condition on, so '{context}' cannot be its context."
        )
    raise PthetaError(
        f"{examples.where} has no context '{context}'; it has {quoted(examples.contexts)}. "
        f"{nearest(context, examples.contexts)}"
    )


def _take(x: Rows, context: Tensor | None, rows: NDArray[np.int64]) -> Split:
    index = torch.from_numpy(rows)
    taken = x[index] if isinstance(x, Tensor) else SelectedRows(x, index)
    return Split(taken, None if context is None else context[index])
