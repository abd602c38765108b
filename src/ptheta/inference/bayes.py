r"""Bayes' rule: from the density of examples given a class to the class given an example.

.. math:: p(c \mid x) = \frac{p(x \mid c) \, p(c)}{\sum_{c'} p(x \mid c') \, p(c')}
"""

__all__ = ["WithBayes"]

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ptheta.protocols import SupportsLogProb
from ptheta.spaces import Categorical, Real


@runtime_checkable
class _ReadsContext(Protocol):
    """A piece of a model that reads what the model is conditioned on."""

    context_space: Categorical | Real | None


class WithBayes(nn.Module):
    """A density of examples given their class, which so tells the classes of examples.

    An example that no class of the prior can have given tells nothing of its class, and is left
    with the prior.

    Arguments:
        model: The density, a module whose context is a class.
        frequencies: How frequent the classes are, as numbers in proportion to that.

    Raises:
        ValueError: A frequency is negative or not finite, or all are zero; the model is
            conditioned on something else than a class, or on another number of classes.

    Example:
        >>> from ptheta.recipes.registry import build
        >>> from ptheta.spaces import Binary, Categorical
        >>> model = build("made", Binary((3,)), Categorical(categories=2)).model
        >>> WithBayes(model, [1, 3]).class_log_prob(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    log_prior: Tensor

    def __init__(self, model: SupportsLogProb, frequencies: Sequence[float]) -> None:
        super().__init__()
        prior = torch.tensor(frequencies, dtype=torch.float64)
        if not (prior >= 0).all() or not 0 < prior.sum() < torch.inf:
            raise ValueError(
                "expected frequencies of classes of at least 0, and not all 0, got "
                f"{tuple(frequencies)}"
            )
        self.model = model
        for piece in self.modules():
            if isinstance(piece, _ReadsContext):
                _check_classes(piece.context_space, len(frequencies))
        self.register_buffer("log_prior", (prior / prior.sum()).log())

    def class_log_prob(self, x: Tensor) -> Tensor:
        """log p(class | x) in nats, with shape (batch, classes)."""
        classes = torch.arange(len(self.log_prior), device=x.device)
        # a class at a time: all at once would take as much memory as there are classes
        given_class = [self.model.log_prob(x, label.expand(len(x))) for label in classes]
        joint = torch.stack(given_class, dim=1) + self.log_prior
        impossible = (joint == -torch.inf).all(dim=1, keepdim=True)
        return torch.where(impossible, self.log_prior, joint).log_softmax(dim=1)


def _check_classes(space: Categorical | Real | None, frequencies: int) -> None:
    # a model without context says so itself, when it is asked
    if space is None:
        return
    if not isinstance(space, Categorical) or space.shape:
        raise ValueError(
            "expected a model that is conditioned on a class, for its classes to be told, and "
            f"this one is conditioned on {space.describe()}"
        )
    if space.categories != frequencies:
        raise ValueError(
            f"expected a frequency for each of the {space.categories} classes that the model is "
            f"conditioned on, such as run.class_counts, got {frequencies}"
        )
