"""Which objectives go with which models, read from the annotation that a type checker reads."""

__all__ = ["accepts"]

from typing import get_type_hints

from ptheta.objectives.types import Batch


def accepts(objective: object, model: object) -> bool:
    """Whether a model has what an objective asks of it.

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
    loss = getattr(objective, "loss", None)
    needed = get_type_hints(loss).get("model") if callable(loss) else None
    if not isinstance(needed, type):
        raise TypeError(
            f"{type(objective).__name__} has no method loss(model: SomeProtocol, batch: "
            f"{Batch.__name__}) that says what it needs of a model"
        )
    return isinstance(model, needed)
