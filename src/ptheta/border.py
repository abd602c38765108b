"""Arguments of public functions, checked against their annotations before anything is done."""

__all__ = ["Count", "Seed", "checked"]

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import cache, reduce, wraps
from operator import or_
from types import UnionType
from typing import (
    Annotated,
    Any,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, Lt

from ptheta.errors import PthetaError

P = ParamSpec("P")
T = TypeVar("T")

Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0), Lt(2**63)]


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """A function whose arguments are checked against its annotations.

    Numbers that are written as text are read, a bound in an annotation is kept to, and tensors,
    models and other objects are to be of their class.

    Arguments:
        function: The function; its annotations can be resolved where it is defined.

    Raises:
        PthetaError: Raised by the function that comes back, where an argument is another; the
            message names it, and what was given.

    Example:
        >>> @checked
        ... def twice(count: Count) -> int:
        ...     return 2 * count
        >>> twice(0)
        Traceback (most recent call last):
        ptheta.errors.PthetaError: count cannot be 0: input should be greater than or equal to 1.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        given = signature.bind(*args, **kwargs)
        adapters = _adapters(function)
        for name, value in given.arguments.items():
            if name in adapters:
                given.arguments[name] = _taken(adapters[name], name, value)
        return function(*given.args, **given.kwargs)

    return call


def _taken(adapter: Any, name: str, value: Any) -> Any:
    from pydantic import ValidationError

    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        shown = repr(value)
        shown = shown if len(shown) < 60 and "\n" not in shown else f"a {type(value).__name__}"
        hint = _hint(name, value)
        message = f"{name} cannot be {shown}: {reason[0].lower()}{reason[1:]}.{hint}"
        raise PthetaError(message) from None


def _hint(name: str, value: Any) -> str:
    """What to do instead, where it is plain what was meant."""
    # a run is not its model, and both are at hand
    if name == "model" and hasattr(value, "model"):
        return " Give its .model."
    if name == "data" and hasattr(value, "shape"):
        return " Load it first: ptheta.load_data takes files, arrays and tables."
    return ""


@cache
def _adapters(function: Callable[..., Any]) -> dict[str, Any]:
    from pydantic import ConfigDict, TypeAdapter

    # the original objects go through, and a tensor is told by its class alone
    config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
    hints = get_type_hints(function, include_extras=True)
    return {
        name: TypeAdapter(_told_by_class(hints[name]), config=config)
        for name in inspect.signature(function).parameters
        if hints.get(name, Any) is not Any
    }


def _told_by_class(annotation: Any) -> Any:
    """An annotation in which data classes are told by their class, not by their fields."""
    from pydantic import GetPydanticSchema
    from pydantic_core.core_schema import is_instance_schema

    if get_origin(annotation) in (Union, UnionType):
        return reduce(or_, map(_told_by_class, get_args(annotation)))
    if isinstance(annotation, type) and is_dataclass(annotation):
        schema = is_instance_schema(annotation)
        return Annotated[Any, GetPydanticSchema(lambda source, handler: schema)]
    return annotation
