"""A data set in words and numbers, for a person or a machine."""

__all__ = ["describe"]

from typing import Any

import torch
from torch import Tensor

from ptheta.data.dataset import Data
from ptheta.spaces import Categorical, Column, Discrete, Real, Space, Table, end_of

_SAMPLED = 100_000
_SHOWN_LABELS = 50


def describe(data: Data) -> dict[str, Any]:
    """What a data set is: its space, rows, columns and what to beware of.

    Ranges and missing values are those of the training rows, of the first 100,000 where there are
    more.

    Arguments:
        data: The data set.

    Returns:
        Values that JSON can hold: ``name``, ``space``, ``kind``, ``shape``, ``rows`` by split,
        ``columns``, ``range``, ``context``, ``truth``, ``notes``, ``fingerprint``.

    Example:
        >>> from ptheta.data.load import load_data
        >>> describe(load_data("checkerboard"))["rows"]
        {'train': 7000, 'validation': 1000, 'test': 2000}
    """
    rows = data.train.x[: min(len(data.train), _SAMPLED)]
    return {
        "name": data.name,
        "space": data.space.describe(),
        "kind": getattr(data.space, "kind", "other"),
        "shape": list(data.space.shape),
        "rows": {
            "train": len(data.train),
            "validation": len(data.validation),
            "test": len(data.test),
        },
        "columns": _columns(data, rows),
        "range": None if isinstance(data.space, Table) else _range(rows, data.space),
        "context": None if data.context_space is None else _kind(data.context_space),
        "truth": _truth(data),
        "notes": list(data.notes),
        "fingerprint": data.fingerprint,
    }


def _columns(data: Data, rows: Tensor) -> list[dict[str, Any]]:
    if isinstance(data.space, Table):
        return [_column(column, rows[:, i]) for i, column in enumerate(data.space.columns)]
    # of sentences the name is that of their column, and no symbol has one
    names = () if end_of(data.space) is not None else data.columns
    return [
        {"name": name, **_kind(data.space), "range": _range(rows[:, i], data.space), "missing": 0}
        for i, name in enumerate(names)
    ]


def _column(column: Column, values: Tensor) -> dict[str, Any]:
    present = values[~values.isnan()]
    return {
        "name": column.name,
        **_kind(column.space),
        "range": _range(present, column.space),
        "missing": len(values) - len(present),
    }


def _kind(space: Space) -> dict[str, Any]:
    match space:
        case Discrete():
            return {"kind": "binary" if space.levels == 2 else "discrete", "levels": space.levels}
        case Categorical():
            labels = list(space.labels[:_SHOWN_LABELS])
            return {"kind": "categorical", "categories": space.categories, "labels": labels}
        case Real():
            return {"kind": "real"}
        case _:
            return {"kind": getattr(space, "kind", "other")}


def _range(values: Tensor, space: Space) -> list[float] | None:
    if isinstance(space, Categorical) or not values.numel():
        return None
    low = space.low if isinstance(space, Discrete) else 0
    ends = torch.stack([values.min(), values.max()]).double() + low
    return [float(end) for end in ends]


def _truth(data: Data) -> dict[str, Any] | None:
    if data.truth is None:
        return None
    modes = None if data.truth.modes is None else len(data.truth.modes)
    return {"entropy": data.truth.entropy, "modes": modes}
