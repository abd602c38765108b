"""What a model is conditioned on, as features that a network can read."""

__all__ = [
    "ContextFeatures",
    "ContextShift",
    "LearnedVector",
    "beside",
    "check_context",
    "check_features",
]

import torch
from torch import Tensor, nn

from ptheta.spaces import Categorical, Real


class ContextFeatures(nn.Module):
    """One-hot codes of categories, or a standardised vector; nothing where there is no context.

    Arguments:
        context_space: The space of the context, or None.

    Example:
        >>> features = ContextFeatures(Categorical(categories=3))
        >>> features(torch.tensor([2, 0]), rows=2)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, context_space: Categorical | Real | None) -> None:
        super().__init__()
        self.context_space = context_space
        size = context_space.features if isinstance(context_space, Real) else 0
        # categories have them empty: as weights do, they follow the dtype of the model
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        match context_space:
            case None:
                self.features = 0
            case Categorical():
                self.features = context_space.features * context_space.categories
            case Real():
                self.features = context_space.features

    def initialize_context(self, context: Tensor | None) -> None:
        """Fits the scale of numbers, so that networks see them standardised.

        Arguments:
            context: The context of the training data, with shape (rows, *context_space.shape), or
                None.
        """
        if context is not None and isinstance(self.context_space, Real):
            values = context.reshape(len(context), -1).double()
            spread = values.std(dim=0, correction=0)
            self.mean.copy_(values.mean(dim=0))
            self.scale.copy_(torch.where(spread > 0, spread, torch.ones_like(spread)))

    def forward(self, context: Tensor | None, rows: int) -> Tensor | None:
        """Features of the context.

        Arguments:
            context: The context, with shape (rows, *context_space.shape).
            rows: The number of rows that it must have.

        Returns:
            The features, with shape (rows, features) and in the dtype that the model was brought
            to, or None where the model has no context.

        Raises:
            ValueError: The model has a context and none is given, or the other way round, the
                numbers of rows differ, or a code is not that of a category.
        """
        # in training a look at the codes would make a GPU wait; there they were read as data
        looked_at = not self.training or (context is not None and context.device.type == "cpu")
        check_context(self.context_space, context, rows, codes=looked_at)
        if self.context_space is None or context is None:
            return None
        if isinstance(self.context_space, Real):
            return ((context.reshape(rows, self.features) - self.mean) / self.scale).to(
                self.mean.dtype
            )
        codes = nn.functional.one_hot(context.long(), self.context_space.categories)
        return codes.reshape(rows, self.features).to(self.mean.dtype)

    def join(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Appends the features of the context to x, with shape (batch, any)."""
        features = self(context, len(x))
        return x if features is None else torch.cat([x, features], dim=1)


class ContextShift(nn.Linear):
    """What features of a context add to the outputs of a layer.

    Arguments:
        context_features: The number of features of the context.
        out_features: The number of outputs.
    """

    def __init__(self, context_features: int, out_features: int) -> None:
        super().__init__(context_features, out_features, bias=False)

    @classmethod
    def of(cls, context_features: int, out_features: int) -> "ContextShift | None":
        """A shift of that size, or None where there is no context."""
        return cls(context_features, out_features) if context_features else None

    def forward(self, input: Tensor | None) -> Tensor:
        """What is added, with shape (batch, out_features).

        Arguments:
            input: The features of the context, with shape (batch, context_features).

        Raises:
            ValueError: There are none.
        """
        check_features(input, self.in_features)
        assert input is not None
        return super().forward(input)


class LearnedVector(nn.Module):
    """A vector that is learned, and that features of a context shift.

    Arguments:
        start: The vector at the start, with shape (size,).
        context_features: The number of features of the context; 0 means that there is none.

    Example:
        >>> LearnedVector(torch.ones(3))(None)
        tensor([[1., 1., 1.]], grad_fn=<UnsqueezeBackward0>)
    """

    def __init__(self, start: Tensor, context_features: int = 0) -> None:
        super().__init__()
        self.start = nn.Parameter(start)
        self.given = ContextShift.of(context_features, len(start))

    def forward(self, context: Tensor | None) -> Tensor:
        """The vector, with shape (batch, size), or (1, size) where there is no context.

        Raises:
            ValueError: Features of a context shift it, and none are given.
        """
        vector = self.start.unsqueeze(0)
        return vector if self.given is None else vector + self.given(context)


def beside(x: Tensor, context: Tensor | None, context_features: int) -> Tensor:
    """What a network reads: values, and the features of a context beside them where it has any.

    Arguments:
        x: The values, with shape (batch, values).
        context: The features of the context, with shape (batch, context_features), or None.
        context_features: The number of features that the network reads; 0 means none.

    Raises:
        ValueError: The network reads features of a context, and none are given, or the other way
            round.
    """
    check_features(context, context_features)
    return x if context is None else torch.cat([x, context], dim=1)


def check_features(context: Tensor | None, context_features: int) -> None:
    """Refuses features of a context that a layer does not read, and their absence where it does.

    Arguments:
        context: The features of the context, with shape (batch, context_features), or None.
        context_features: The number of features that the layer reads; 0 means none.

    Raises:
        ValueError: The layer reads features of a context, and none are given, or more or fewer, or
            the other way round.
    """
    if context is None and context_features:
        raise ValueError(
            f"this layer reads {context_features} features of a context, and none are given: give "
            "context=, or give the flow that it is in its context_space"
        )
    if context is not None and not context_features:
        raise ValueError("this layer was made without context, but a context is given")
    if context is not None and context.shape[-1] != context_features:
        raise ValueError(
            f"this layer reads {context_features} features of a context, got a context of shape "
            f"{tuple(context.shape)}"
        )


def check_context(
    space: Categorical | Real | None, context: Tensor | None, rows: int, *, codes: bool
) -> None:
    """Refuses a context that is not of its space.

    Arguments:
        space: The space of the context, or None.
        context: What is given.
        rows: The number of rows that it must have.
        codes: Whether codes of categories are looked at.

    Raises:
        ValueError: There is a context and none should be, or the other way round, the numbers of
            rows or of values differ, or a code is not that of a category.
    """
    if space is None:
        if context is not None:
            raise ValueError("this model was fitted without context, but a context is given")
        return
    if context is None:
        raise ValueError(
            f"this model is conditional ({space.describe()}): give context=, one for each row"
        )
    if len(context) != rows:
        raise ValueError(f"expected {rows} rows of context, one for each row, got {len(context)}")
    if context.numel() != rows * space.features:
        raise ValueError(
            f"expected context of shape {(rows, *space.shape)}, got {tuple(context.shape)}"
        )
    if codes and isinstance(space, Real) and not context.isfinite().all():
        raise ValueError(
            "expected a context of finite numbers, got one that is missing or infinite"
        )
    if codes and isinstance(space, Categorical) and not space.contains(context).all():
        raise ValueError(
            f"expected context of codes from 0 to {space.categories - 1} "
            f"({space.describe()}), got codes from {context.min()} to {context.max()}"
        )
