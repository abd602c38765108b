"""Which objectives go with which models, read from the annotation that a type checker reads."""

__all__ = ["accepts"]

from typing import TypeVar, get_args, get_origin, get_type_hints

from ptheta.inference.kernels import Target
from ptheta.objectives.types import Batch


def accepts(objective: object, model: object) -> bool:
    """Whether a model has what an objective asks of it, and what its kernel does if it has one.

    An objective around another asks for what that one does.

    Arguments:
        objective: An objective, whose method ``loss(model, batch)`` annotates its model with a
            protocol.
        model: Any model.

    Raises:
        TypeError: The objective has no such method, or does not say what it needs.

    Example:
        >>> from ptheta.objectives.likelihood import MaximumLikelihood, NegativeElbo
        >>> from ptheta.recipes.registry import build
        >>> from ptheta.spaces import Real
        >>> model = build("gmm", Real((2,))).model
        >>> accepts(MaximumLikelihood(), model), accepts(NegativeElbo(), model)
        (True, False)
    """
    within = getattr(objective, "objective", None)
    if within is not None:
        return accepts(within, model)
    loss = getattr(objective, "loss", None)
    needed = get_type_hints(loss).get("model") if callable(loss) else None
    if isinstance(needed, TypeVar):
        needed = needed.__bound__
    if not isinstance(needed, type):
        raise TypeError(
            f"{type(objective).__name__} has no method loss(model: SomeProtocol, batch: "
            f"{Batch.__name__}) that says what it needs of a model"
        )
    return isinstance(model, needed) and isinstance(model, _of_kernel(objective))


def _of_kernel(objective: object) -> type:
    """What the kernel of an objective asks of the model behind its target: a log-density, or more.

    The annotation of the target says it, as in ``Target[SupportsGibbs]``.
    """
    step = getattr(getattr(objective, "kernel", None), "step", None)
    for hint in get_type_hints(step).values() if callable(step) else ():
        if get_origin(hint) is Target:
            return get_args(hint)[0]
    return object
