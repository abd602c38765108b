"""Nested state as tensors beside a skeleton that JSON can hold, and back."""

__all__ = ["join_state", "split_state"]

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor

_SPECIAL = {math.inf: "inf", -math.inf: "-inf"}


def split_state(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """Takes the tensors out of a state.

    Arguments:
        state: Nested dicts, lists and tuples of tensors, numbers, text, booleans and None.

    Returns:
        A skeleton of plain JSON values, and the tensors by the name that stands in their place.

    Example:
        >>> import torch
        >>> skeleton, tensors = split_state({0: [torch.zeros(2), 1.5]})
        >>> join_state(skeleton, tensors)
        {0: [tensor([0., 0.]), 1.5]}
    """
    tensors: dict[str, Tensor] = {}
    return _split(state, "", tensors), tensors


def join_state(skeleton: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Puts the tensors back.

    Arguments:
        skeleton: The skeleton.
        tensors: The tensors by name.

    Raises:
        KeyError: A tensor is missing.
    """
    if isinstance(skeleton, list):
        return [join_state(value, tensors) for value in cast("list[Any]", skeleton)]
    if not isinstance(skeleton, dict):
        return skeleton
    (tag, value), *_ = cast("dict[str, Any]", skeleton).items()
    match tag:
        case "tensor":
            return tensors[value]
        case "dict":
            return {key: join_state(inner, tensors) for key, inner in value}
        case "tuple":
            return tuple(join_state(inner, tensors) for inner in value)
        case "float":
            return float(value)
        case _:
            raise KeyError(tag)


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    match value:
        case Tensor():
            tensors[path] = value
            return {"tensor": path}
        case Mapping():
            items = cast("Mapping[Any, Any]", value).items()
            return {"dict": [[key, _split(v, f"{path}/{key}", tensors)] for key, v in items]}
        case tuple():
            return {"tuple": _split_all(cast("tuple[Any, ...]", value), path, tensors)}
        case list():
            return _split_all(cast("list[Any]", value), path, tensors)
        case float() if not math.isfinite(value):
            return {"float": _SPECIAL.get(value, "nan")}
        case None | bool() | int() | float() | str():
            return value
        case _:
            raise TypeError(f"state holds a {type(value).__name__} at '{path}'")


def _split_all(values: Sequence[Any], path: str, tensors: dict[str, Tensor]) -> list[Any]:
    return [_split(value, f"{path}/{i}", tensors) for i, value in enumerate(values)]
