"""Settings of a recipe: read from its signature, checked before anything is built."""

__all__ = [
    "WHEN_USED",
    "Count",
    "Fraction",
    "PositiveFloat",
    "Setting",
    "NonNegative",
    "OnlyWith",
    "changed_settings",
    "check_settings",
    "refuse_idle",
    "settings_of",
]

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from ptheta.border import Count
from ptheta.errors import PthetaError, nearest

PositiveFloat = Annotated[float, Gt(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]
NonNegative = Annotated[float, Ge(0)]


@dataclass(frozen=True)
class _WhenUsed:
    """Marks settings that fitted weights serve under any value of: see `WHEN_USED`."""


WHEN_USED = _WhenUsed()
"""In the annotation of a setting: it may be changed when a fitted model is used."""


@dataclass(frozen=True)
class OnlyWith:
    """In the annotation of a setting: it does something with some values of another alone.

    Arguments:
        name: The other setting.
        values: Its values.
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """One setting of a recipe.

    Arguments:
        name: Its name.
        type: Its type, as annotated.
        default: Its default.
        meaning: What the recipe's docstring says of it.
    """

    name: str
    type: Any
    default: Any
    meaning: str

    @property
    def type_text(self) -> str:
        """The type and its bounds, for a person: ``int >= 1``."""
        return _type_text(self.type)

    @property
    def when_used(self) -> bool:
        """Whether it may be changed when a fitted model is used."""
        return WHEN_USED in getattr(self.type, "__metadata__", ())

    @property
    def only_with(self) -> tuple[OnlyWith, ...]:
        """The values of others that it needs to do something."""
        marks = getattr(self.type, "__metadata__", ())
        return tuple(mark for mark in marks if isinstance(mark, OnlyWith))

    @property
    def default_text(self) -> str:
        """The default as it would be typed."""
        return "none" if self.default is None else str(self.default)


@cache
def settings_of(recipe: Callable[..., Any]) -> tuple[Setting, ...]:
    """The settings of a recipe: its keyword-only arguments, described by its docstring.

    Arguments:
        recipe: The recipe's function.
    """
    from docstring_parser import parse

    meanings = {p.arg_name: p.description or "" for p in parse(recipe.__doc__ or "").params}
    hints = get_type_hints(recipe, include_extras=True)
    return tuple(
        Setting(name, hints[name], p.default, " ".join(meanings.get(name, "").split()))
        for name, p in inspect.signature(recipe).parameters.items()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    )


def check_settings(
    name: str, recipe: Callable[..., Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Checks settings against a recipe's signature: names, types, bounds.

    Arguments:
        name: The recipe's name, for the message.
        recipe: The recipe's function.
        given: The settings; text is read as the annotated type.

    Returns:
        Every setting of the recipe, with defaults where none was given.

    Raises:
        PthetaError: A name is not known, or a value is not of its type or outside its bounds.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    known = {setting.name: setting for setting in settings_of(recipe)}
    for key in given:
        if key not in known:
            raise PthetaError(f"{name} has no setting '{key}'. {nearest(key, known)}")
    checked = {key: setting.default for key, setting in known.items()}
    for key, value in given.items():
        adapter: TypeAdapter[Any] = TypeAdapter(
            known[key].type, config=ConfigDict(allow_inf_nan=False)
        )
        try:
            checked[key] = adapter.validate_python(_none(value))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise PthetaError(
                f"setting '{key}' of {name} cannot be {value!r}: {reason[0].lower()}{reason[1:]} "
                f"(the default is {known[key].default!r})."
            ) from None
    return checked


def refuse_idle(name: str, recipe: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuses settings that would do nothing, beside the others that are given.

    Arguments:
        name: The recipe's name, for the message.
        recipe: The recipe's function.
        given: The settings; text is read as the annotated type.

    Raises:
        PthetaError: A setting would do nothing, or as `check_settings` does.
    """
    _refuse_idle(name, recipe, given, check_settings(name, recipe, given))


def _refuse_idle(
    name: str, recipe: Callable[..., Any], given: Mapping[str, Any], checked: Mapping[str, Any]
) -> None:
    for setting in settings_of(recipe):
        if setting.name not in given or checked[setting.name] == setting.default:
            continue
        for mark in setting.only_with:
            if checked[mark.name] not in mark.values:
                raise PthetaError(
                    f"setting '{setting.name}' of {name} does nothing with "
                    f"{mark.name}={checked[mark.name]}: it is for "
                    f"{mark.name}={' or '.join(mark.values)}. Leave it out."
                )


def changed_settings(
    name: str, recipe: Callable[..., Any], fitted: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a fitted model with some changed that its weights serve under any value of.

    Arguments:
        name: The recipe's name, for the message.
        recipe: The recipe's function.
        fitted: The settings that it was fitted with.
        given: The changes; text is read as the annotated type.

    Raises:
        PthetaError: A name is not known, a value is not of its type or outside its bounds, or the
            weights are what they are by it, or it would do nothing.
    """
    checked = check_settings(name, recipe, given)
    changeable = [setting.name for setting in settings_of(recipe) if setting.when_used]
    for key in given:
        if key not in changeable:
            able = f"These can: {', '.join(changeable)}." if changeable else "It has none that can."
            raise PthetaError(
                f"setting '{key}' of {name} is one that a model is fitted with, and cannot be "
                f"changed when it is used. {able}"
            )
    changed = {**fitted, **{key: checked[key] for key in given}}
    _refuse_idle(name, recipe, given, {**checked, **changed})
    return changed


def _type_text(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        inner, *bounds = get_args(annotation)
        bounds = [bound for bound in bounds if not isinstance(bound, _WhenUsed | OnlyWith)]
        return " ".join([_type_text(inner), *(_bound_text(bound) for bound in bounds)])
    if get_origin(annotation) is Literal:
        return " | ".join(str(value) for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(_type_text(inner) for inner in get_args(annotation))
    return "none" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _bound_text(bound: Any) -> str:
    match bound:
        case Ge():
            return f">= {bound.ge}"
        case Gt():
            return f"> {bound.gt}"
        case Le():
            return f"<= {bound.le}"
        case Lt():
            return f"< {bound.lt}"
        case _:
            return str(bound)


def _none(value: Any) -> Any:
    return None if value == "none" else value
