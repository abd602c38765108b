"""Telling the class of examples, by whichever model knows of classes."""

__all__ = ["classify"]

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ptheta.border import Count, checked
from ptheta.data.dataset import Rows
from ptheta.density import device_of, evaluating
from ptheta.errors import PthetaError
from ptheta.inference.bayes import WithBayes
from ptheta.protocols import SupportsClassify, SupportsLogProb, capabilities
from ptheta.spaces import Space


@checked
@torch.no_grad()
def classify(
    model: nn.Module,
    x: Rows,
    *,
    space: Space,
    frequencies: Sequence[float] = (),
    batch_size: Count = 1000,
) -> Tensor:
    """log p(class | x) of each row: the model's own, or by Bayes' rule from its p(x | class).

    References:
        On Discriminative vs. Generative Classifiers: A comparison of logistic regression and
        naive Bayes (Ng & Jordan, 2002),
        https://papers.nips.cc/paper/2020-on-discriminative-vs-generative-classifiers

    Arguments:
        model: The model.
        x: The rows, with shape (rows, *space.shape).
        space: The space of the data.
        frequencies: How frequent the classes are, for Bayes' rule: numbers in proportion to that,
            such as `run.class_counts`. A model that tells classes itself knows them, and does
            not look.
        batch_size: The number of rows taken at a time.

    Returns:
        The figures in nats, with shape (rows, classes), in float64; not a number for a row that
        lies outside the space.

    Raises:
        PthetaError: The model neither tells classes nor has an exact density given a class, or
            the frequencies are not as many as the classes that it is conditioned on.
    """
    teller = _teller(model, frequencies)
    device = device_of(model)
    found: list[Tensor] = []
    with evaluating(model):
        for start in range(0, len(x), batch_size):
            rows = x[start : start + batch_size].to(device)
            inside = space.contains(rows)
            part = _told(teller, rows[inside], space)
            whole = torch.full((len(rows), part.shape[1]), torch.nan, dtype=torch.float64)
            whole[inside.cpu()] = part.double().cpu()
            found.append(whole)
    return torch.cat(found)


def _teller(model: nn.Module, frequencies: Sequence[float]) -> SupportsClassify:
    if isinstance(model, SupportsClassify):
        return model
    if not isinstance(model, SupportsLogProb):
        raise PthetaError(
            f"this model cannot tell classes: it offers {', '.join(capabilities(model))}. That "
            "takes class_log_prob, which `naive-bayes` and `logistic-regression` have, or an exact "
            "density (log_prob) of a model that was fitted with the class as context."
        )
    if len(frequencies) < 2:
        raise PthetaError(
            "this model gives p(x | class) if it was fitted with the class as context, and for "
            "Bayes' rule the frequencies of the classes are needed too: give "
            "frequencies=run.class_counts."
        )
    try:
        return WithBayes(model, frequencies).to(device_of(model))
    except ValueError as error:
        raise PthetaError(f"{error}.") from None


def _told(teller: SupportsClassify, x: Tensor, space: Space) -> Tensor:
    """log p(class | x) of rows in the space, of which there may be none."""
    if len(x):
        return _asked(teller, x)
    # a model need not take no rows; how many classes there are, any row tells
    row = x.new_zeros(1, *space.shape)
    return _asked(teller, row if space.contains(row).all() else row + 1)[:0]


def _asked(teller: SupportsClassify, x: Tensor) -> Tensor:
    try:
        return teller.class_log_prob(x)
    except ValueError as error:
        raise PthetaError(f"{error}.") from None
