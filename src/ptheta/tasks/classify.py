"""Telling the class of examples, by whichever model knows of classes."""

__all__ = ["classify"]

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ptheta.asking import batches, in_sentences, rows_at_once, rows_of
from ptheta.border import Count, checked
from ptheta.density import device_of, evaluating
from ptheta.errors import PthetaError
from ptheta.inference.bayes import WithBayes
from ptheta.protocols import SupportsClassify, SupportsLogProb, capabilities
from ptheta.spaces import Space


@checked
@torch.no_grad()
def classify(
    model: nn.Module,
    x: object,
    *,
    space: Space,
    frequencies: Sequence[float] = (),
    batch_size: Count | None = None,
) -> Tensor:
    """log p(class | x) of each row: the model's own, or by Bayes' rule from its p(x | class).

    References:
        On Discriminative vs. Generative Classifiers: A comparison of logistic regression and
        naive Bayes (Ng & Jordan, 2002),
        https://papers.nips.cc/paper/2020-on-discriminative-vs-generative-classifiers

    Arguments:
        model: The model.
        x: The rows: a tensor with shape (rows, *space.shape), or an array, a list or a table of
            pandas as `ptheta.load_rows` reads it.
        space: The space of the data.
        frequencies: How frequent the classes are, for Bayes' rule: numbers in proportion to that,
            such as `run.class_counts`. A model that tells classes itself knows them, and does
            not look.
        batch_size: The number of rows taken at a time; None takes fewer where they are long.

    Returns:
        The figures in nats, with shape (rows, classes), in float64; not a number for a row that
        lies outside the space.

    Raises:
        PthetaError: The model neither tells classes nor has an exact density given a class, the
            frequencies are not as many as the classes that it is conditioned on, or the rows are
            not what it was fitted to.
    """
    teller = _teller(model, frequencies)
    x = rows_of(x, space)
    device = device_of(model)
    found: list[Tensor] = []
    with evaluating(model), in_sentences():
        for batch in batches(len(x), batch_size or rows_at_once(space.features)):
            rows = x[batch].to(device)
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
    with in_sentences():
        return WithBayes(model, frequencies).to(device_of(model))


def _told(teller: SupportsClassify, x: Tensor, space: Space) -> Tensor:
    """log p(class | x) of rows in the space, of which there may be none."""
    if len(x):
        return teller.class_log_prob(x)
    # a model need not take no rows; how many classes there are, any row tells
    row = x.new_zeros(1, *space.shape)
    return teller.class_log_prob(row if space.contains(row).all() else row + 1)[:0]
