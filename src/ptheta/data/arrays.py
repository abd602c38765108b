"""Arrays of numbers: NumPy files, tensors and arrays in memory."""

__all__ = [
    "ARRAY_ENDINGS",
    "conform_array",
    "from_mapping",
    "from_values",
    "interpret_array",
    "read_array",
]

import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptheta.data.contents import PART_NAMES, Arrays, Frame, Parts, few, quoted
from ptheta.data.dataset import MappedRows, Rows
from ptheta.data.splits import Examples
from ptheta.data.streaming import file_key, mapped_array
from ptheta.data.tables import tidy
from ptheta.errors import PthetaError
from ptheta.spaces import Categorical, Discrete, Real, Space, Table

ARRAY_ENDINGS = (".npy", ".npz")

_EXAMPLES = ("x", "data", "samples", "images", "arr_0")
_LABELS = ("y", "label", "labels", "context", "target", "class")
_BLOCK = 2**24  # values looked at together


def read_array(path: Path, mapped: bool = False) -> Arrays | Frame:
    """An array from a NumPy file.

    Arguments:
        path: A file ending in .npy or .npz. In an .npz the examples are the only array, or the one
            named x, data, samples or images; labels are named y, label, labels, context, target or
            class. Splits are named train, valid and test, alone or with those names, as in
            ``x_train`` and ``train_labels``. Arrays of one column each are a table.
        mapped: Whether an .npy stays on disk.

    Raises:
        PthetaError: The file is empty, broken, holds objects, or arrays of unknown names.
    """
    if path.stat().st_size == 0:
        raise PthetaError(f"{path} is empty. Give a file with an array.")
    try:
        found = np.load(path, mmap_mode="r") if mapped else _load(path)
    except (ValueError, OSError, EOFError, BadZipFile, zlib.error) as error:
        if "pickle" in str(error) or "Object arrays" in str(error):
            raise PthetaError(
                f"{path} holds Python objects, which are not loaded because that can run code. "
                "Save plain numbers."
            ) from None
        raise PthetaError(f"{path} cannot be read as a NumPy file: {error}.") from None
    if isinstance(found, np.ndarray):
        return from_values(found, path.name)
    return from_mapping(found, path.name)


def _load(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    # opened here, because numpy leaves a broken archive open
    with path.open("rb") as stream:
        found: Any = np.load(stream, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        return {name: found[name] for name in found.files}


def from_mapping(arrays: Mapping[str, Any], where: str) -> Arrays | Frame:
    """Named arrays: examples, labels, and splits where they are given; or columns of a table.

    Arguments:
        arrays: The arrays by name, as in an .npz; see `read_array`.
        where: What messages call them.

    Raises:
        PthetaError: It is not clear which array holds the examples, or lengths differ.
    """
    named = {name: _numpy(value, f"'{name}' of {where}") for name, value in arrays.items()}
    named, parts = _joined(named, where)
    labels = {name: value for name, value in named.items() if name in _LABELS}
    rest = {name: value for name, value in named.items() if name not in _LABELS}
    name = next((name for name in _EXAMPLES if name in rest), None)
    if name is None and len(rest) == 1:
        name = next(iter(rest))
    if name is None and not parts and _are_columns(named):
        return _table(named, where)
    if name is None:
        raise PthetaError(
            f"{where} holds the arrays {quoted(named)}; it is not clear which are the examples. "
            "Name them 'x' and, if there are labels, 'label'."
        )
    found = from_values(rest.pop(name), where)
    notes: list[str] = []
    if rest:
        notes.append(f"The arrays {quoted(rest)} are no examples and were left out.")
    if labels and named[name].ndim == 1:
        notes.append(f"'{name}' is taken as the examples, and {quoted(labels)} as their labels.")
    given = {label: _one_each(values, label, found, where) for label, values in labels.items()}
    return replace(
        found,
        labels={"label": next(iter(given.values())), **given} if given else {},
        parts=parts,
        notes=tuple(notes),
    )


def _joined(
    arrays: Mapping[str, NDArray[Any]], where: str
) -> tuple[dict[str, NDArray[Any]], Parts]:
    """Splits of one array put one after the other, and the rows of each."""
    split: dict[str, dict[str, NDArray[Any]]] = {}
    whole: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        base, part = _base_and_part(name)
        if part is None:
            whole[name] = array
        else:
            split.setdefault(base, {})[part] = array
    if not any("train" in arrays for arrays in split.values()):
        return dict(arrays), {}
    sizes: dict[str, dict[str, int]] = {}
    for base, of_part in split.items():
        shapes = {array.shape[1:] for array in of_part.values()}
        if len(shapes) > 1:
            raise PthetaError(f"the splits of {where} have different shapes: {few(shapes)}.")
        whole[base] = np.concatenate(list(of_part.values()))
        sizes[base] = {part: len(array) for part, array in of_part.items()}
    first, *others = sizes.items()
    for base, size in others:
        if size != first[1]:
            raise PthetaError(
                f"the splits of {where} do not agree: '{first[0]}' has {first[1]} rows, '{base}' "
                f"has {size}."
            )
    starts = np.cumsum([0, *first[1].values()])
    return whole, {part: np.arange(starts[i], starts[i + 1]) for i, part in enumerate(first[1])}


def _base_and_part(name: str) -> tuple[str, str | None]:
    """What an array holds and of which split: ``x_train`` is x of train, as is ``train``."""
    before, _, after = name.partition("_")
    for part, base in ((before, after), (after, before)):
        if part in PART_NAMES and (not base or base in (*_EXAMPLES, *_LABELS)):
            return base or "x", PART_NAMES[part]
    return name, None


def _are_columns(arrays: Mapping[str, NDArray[Any]]) -> bool:
    shapes = {array.shape for array in arrays.values()}
    return len(shapes) == 1 and len(next(iter(shapes))) == 1


def _table(arrays: Mapping[str, NDArray[Any]], where: str) -> Frame:
    import pandas as pd

    return Frame(where=where, frame=tidy(pd.DataFrame(dict(arrays)), where))


def _one_each(values: NDArray[Any], label: str, found: Arrays, where: str) -> NDArray[Any]:
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if len(values) != len(found.x) or values.ndim != 1:
        raise PthetaError(
            f"'{label}' of {where} has shape {values.shape}, but there are {len(found.x)} "
            "examples. Give one label for each."
        )
    return values


def from_values(values: Any, where: str) -> Arrays:
    """An array or tensor of examples.

    Arguments:
        values: With shape (rows,), (rows, features), or of images: (rows, height, width),
            (rows, height, width, channels) or (rows, channels, height, width).
        where: What messages call it.

    Raises:
        PthetaError: It is empty, does not hold numbers, or has more dimensions.
    """
    x = _numpy(values, where)
    if x.dtype.kind not in "biuf":
        raise PthetaError(f"{where} holds {x.dtype} values, but numbers are needed.")
    if x.ndim == 0 or x.size == 0:
        raise PthetaError(f"{where} is empty (shape {x.shape}). Give at least three examples.")
    match x.ndim:
        case 1:
            x = x[:, None]
        case 2:
            pass
        case 3:
            x = x[:, None]
        case 4:
            x = x.transpose(0, 3, 1, 2) if _channels_last(x.shape) else x
        case _:
            raise PthetaError(
                f"{where} has shape {x.shape}; vectors (rows, features) and images (rows, height, "
                "width) or (rows, channels, height, width) are served."
            )
    return Arrays(where=where, x=x)


def _channels_last(shape: tuple[int, ...]) -> bool:
    _, first, middle, last = shape
    usual = (1, 3)
    if first in usual or last in usual:
        square = first == middle != last
        return last in usual and (first not in usual or square)
    return last == 4 != first


def _numpy(values: Any, where: str) -> NDArray[Any]:
    try:
        array = _of_tensor(values) if isinstance(values, Tensor) else np.asanyarray(values)
    except TypeError as error:
        raise PthetaError(f"{where} cannot be read as an array: {error}.") from None
    except ValueError as error:
        _refuse_ragged(values, where)
        raise PthetaError(f"{where} cannot be read as an array: {error}.") from None
    if array.dtype == object:
        raise PthetaError(f"{where} holds Python objects, but numbers are needed.")
    return array


def _of_tensor(values: Tensor) -> NDArray[Any]:
    values = values.detach().cpu()
    # numpy has no numbers of this kind, all of which are numbers of the next
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def _refuse_ragged(rows: Any, where: str) -> None:
    """Names the first row that keeps rows from being an array, if it is for their lengths."""
    shapes = [_shape(row) for row in rows]
    for number, shape in enumerate(shapes, 1):
        if shape is None or shape != shapes[0]:
            beside = "" if shape is None else f", but row 1 has {_length(shapes[0])}"
            raise PthetaError(
                f"row {number} of {where} has {_length(shape)}{beside}. Give all rows the same "
                "length."
            )


def _shape(row: Any) -> tuple[int, ...] | None:
    try:
        return np.shape(row)
    except ValueError:
        return None


def _length(shape: tuple[int, ...] | None) -> str:
    match shape:
        case None:
            return "parts of different lengths"
        case ():
            return "a single value"
        case (length,):
            return f"{length} value{'s'[: length != 1]}"
        case _:
            return f"shape {_size(shape)}"


def interpret_array(contents: Arrays) -> Examples:
    """The space of an array, and its examples as codes.

    Fractions are real; whole numbers with few values are levels, from the smallest value on for
    vectors and from 0 for images.

    Arguments:
        contents: The array; one that is mapped into memory stays on disk.

    Raises:
        PthetaError: There are NaN or infinite values, or a constant column of real numbers.
    """
    x = contents.x
    shape = x.shape[1:]
    layout = "image" if len(shape) == 3 else "vector"
    notes: tuple[str, ...] = contents.notes
    space = contents.space
    low, high = (0, 0) if space is not None else _range(x, contents.where)
    if space is None and x.dtype.kind == "f":
        space = Real(shape, layout)
        notes += _check_reals(x, contents.where)
    elif space is None and layout == "vector" and high - low >= 65536:
        space = Real(shape)
        notes += (f"Whole numbers from {low} to {high} are taken as real.",)
    elif space is None:
        low = min(low, 0) if layout == "image" else low
        levels = max(high - low + 1, 2)
        if x.dtype == np.uint8 and levels > 64:
            low, levels = 0, 256
        space = Discrete(shape, levels, low, layout)
        notes += (f"Whole numbers from {low} to {low + levels - 1} are taken as levels.",)
    return Examples(
        where=contents.where,
        space=space,
        x=_codes(x, space),
        columns=contents.columns,
        notes=notes,
        parts=contents.parts,
        splits=contents.splits,
    )


def _range(x: NDArray[Any], where: str) -> tuple[int, int]:
    blocks = list(_blocks(x))
    low = min(block.min() for block in blocks)
    high = max(block.max() for block in blocks)
    if x.dtype.kind == "f" and not (np.isfinite(low) and np.isfinite(high)):
        _refuse_gaps(x, where)
    return (int(low), int(high))


def _refuse_gaps(x: NDArray[Any], where: str) -> None:
    flat = x.reshape(len(x), -1)
    rows = np.flatnonzero(~np.isfinite(flat).all(axis=1)) + 1
    what = "NaN" if np.isnan(flat[rows[0] - 1]).any() else "infinite"
    raise PthetaError(
        f"{where} holds {what} values in row{'s'[: len(rows) != 1]} {few(rows)}. Remove those "
        "rows, or give a table (CSV, Parquet or a DataFrame), where values may be missing."
    )


def _check_reals(x: NDArray[Any], where: str) -> tuple[str, ...]:
    if x.ndim == 2 and len(x) > 1:
        constant = np.flatnonzero(np.ptp(x, axis=0) == 0)
        if len(constant):
            raise PthetaError(
                f"column{'s'[: len(constant) != 1]} {few(constant)} of {where} (counted from 0) "
                f"{'are' if len(constant) > 1 else 'is'} constant. Remove what does not vary."
            )
    sample = np.asarray(x[:: max(1, len(x) // 1000)])
    if (sample == np.round(sample)).all():
        return ("All values are whole numbers, taken as real; save integers to model levels.",)
    return ()


def _codes(x: NDArray[Any], space: Space) -> Rows:
    low = space.low if isinstance(space, Discrete) else 0
    if not isinstance(x, np.memmap):
        return _tensor(x - low if low else x).to(space.dtype)
    if not low:
        return MappedRows(x, space.dtype)
    key = (*file_key(Path(str(x.filename))), low)
    codes = mapped_array(key, x.shape, np.int64, lambda out: np.subtract(x, low, out=out))
    return MappedRows(codes, space.dtype)


def _tensor(x: NDArray[Any]) -> Tensor:
    # torch warns of arrays that it could write to through the back door
    return torch.from_numpy(np.ascontiguousarray(x) if x.flags.writeable else np.array(x))


def _blocks(x: NDArray[Any]) -> "list[NDArray[Any]]":
    rows = max(1, _BLOCK // max(1, math.prod(x.shape[1:])))
    return [x[start : start + rows] for start in range(0, len(x), rows)]


def conform_array(contents: Arrays, space: Space) -> Tensor:
    """The examples of an array in a space that is known.

    Arguments:
        contents: The array.
        space: The space.

    Returns:
        The examples, with shape (rows, *space.shape). A value outside the space keeps a code
        outside it, so that `Space.contains` is false there.

    Raises:
        PthetaError: The shapes do not agree.
    """
    shape = contents.x.shape[1:]
    flat = 1 in (len(shape), len(space.shape))
    if shape != space.shape and not (flat and math.prod(shape) == space.features):
        raise PthetaError(
            f"{contents.where} holds examples of shape {_size(shape)}, but {space.describe()} "
            "is expected. Give data of the shape that the model was fitted to."
        )
    x = _tensor(contents.x).reshape(-1, *space.shape)
    if isinstance(space, Table):
        lows = [c.space.low if isinstance(c.space, Discrete) else 0 for c in space.columns]
        return x.double() - torch.tensor(lows)
    known = contents.space
    low = space.low if isinstance(space, Discrete) and known is None else 0
    if not isinstance(space, Discrete | Categorical):
        return x.to(space.dtype)
    if x.is_floating_point():
        codes = x - low
        return codes.to(space.dtype) if bool(space.contains(codes).all()) else codes
    codes = x.long() - low
    return codes.to(space.dtype) if bool(space.contains(codes).all()) else codes


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
