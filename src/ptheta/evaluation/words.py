"""Examples as words, where that is how a person reads them."""

__all__ = ["as_text"]

from torch import Tensor

from ptheta.spaces import Categorical, Space

_SHOWN = 12


def as_text(x: Tensor, space: Space) -> tuple[str, ...]:
    """Sequences of labelled categories as lines of text; nothing for any other space.

    Arguments:
        x: The examples, with shape (n, *space.shape).
        space: Their space.

    Example:
        >>> import torch
        >>> space = Categorical((3,), 2, ("a", "b"), layout="sequence")
        >>> as_text(torch.tensor([[0, 1, 1]]), space)
        ('abb',)
    """
    if not isinstance(space, Categorical) or space.layout != "sequence" or not space.labels:
        return ()
    # labels of one character are letters; longer ones are words
    gap = "" if all(len(label) <= 1 for label in space.labels) else " "
    rows = x[:_SHOWN].reshape(min(len(x), _SHOWN), -1).tolist()
    return tuple(gap.join(space.labels[int(code)] for code in row) for row in rows)
