"""Models that tell classes: naive Bayes and logistic regression, the two of a pair."""

__all__ = ["logistic_regression", "naive_bayes"]

from typing import Literal

import torch

from ptheta.data.bridged import bridged
from ptheta.data.bridging import standardising
from ptheta.errors import PthetaError
from ptheta.models.heads import on_reals
from ptheta.models.tractable.logistic_regression import LogisticRegression
from ptheta.models.tractable.naive_bayes import NaiveBayes
from ptheta.objectives.likelihood import ConditionalLikelihood
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.closed_form import counted
from ptheta.recipes.gaps import refuse_gaps
from ptheta.recipes.settings import Count, PositiveFloat
from ptheta.spaces import Categorical, Real, Space
from ptheta.training.counting import CountingLearner
from ptheta.training.quasi_newton import QuasiNewtonLearner


def naive_bayes(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    alpha: PositiveFloat = 1.0,
    variances: Literal["class", "shared"] = "class",
    var_smoothing: PositiveFloat = 1e-3,
) -> Algorithm:
    """Naive Bayes: independent values in each class, counted, and so the class of a row.

    Real values are Gaussian in each class, positive ones in their logarithm; levels and
    categories have smoothed frequencies. Missing values are left out of the counts, and
    marginalised.

    References:
        On Discriminative vs. Generative Classifiers: A comparison of logistic regression and
        naive Bayes (Ng & Jordan, 2002),
        https://papers.nips.cc/paper/2020-on-discriminative-vs-generative-classifiers

    Arguments:
        space: What one example is; any space.
        context_space: The classes.
        alpha: The counts added to each level and category of each class.
        variances: Whether each class has variances of its own, or all have those within classes.
        var_smoothing: What is added to each variance, in variances of the whole column; so no
            value that is constant within a class has an unbounded density.
    """
    classes = _classes(context_space)
    model = NaiveBayes(
        on_reals(space),
        classes,
        alpha=alpha,
        var_smoothing=var_smoothing,
        shared=variances == "shared",
    )
    bridge = standardising(space, torch.float64)
    return counted(bridged(model, bridge, space), CountingLearner(model, bridge))


def logistic_regression(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    C: PositiveFloat = 1.0,  # noqa: N803
    tolerance: PositiveFloat = 1e-9,
    steps: Count = 2000,
) -> Algorithm:
    """Logistic regression: the class given a row, and no density of the row itself.

    Real values are standardised, positive ones in their logarithm; levels are scaled to [-1, 1],
    and categories are one-hot. The weights are those of the most penalised likelihood.

    References:
        On Discriminative vs. Generative Classifiers: A comparison of logistic regression and
        naive Bayes (Ng & Jordan, 2002),
        https://papers.nips.cc/paper/2020-on-discriminative-vs-generative-classifiers

    Arguments:
        space: What one example is; no value may be missing.
        context_space: The classes.
        C: The inverse of the penalty: half the squared norm of the weights stands beside C times
            the sum of the losses of all rows.
        tolerance: The largest entry of the gradient, in nats per row, at which it has converged.
        steps: The number of passes where no budget is given.
    """
    classes = _classes(context_space)
    refuse_gaps(space, "a weighted sum")
    model = bridged(
        LogisticRegression(on_reals(space), classes), standardising(space, torch.float64), space
    )
    return Algorithm(
        model,
        QuasiNewtonLearner(model, ConditionalLikelihood(), penalty=1 / C, tolerance=tolerance),
        batch_size=None,
        steps=steps,
        constraints=("parametric",),
        patience=None,
        keep="last",
    )


def _classes(context_space: Categorical | Real | None) -> Categorical:
    if not isinstance(context_space, Categorical) or context_space.shape:
        given = "nothing" if context_space is None else context_space.describe()
        raise PthetaError(
            "it tells classes, and needs the class of each row as context: name its column with "
            f"--context (context= in Python), read as categories. The context here is {given}."
        )
    if context_space.categories < 2:
        raise PthetaError("all rows are of one class, so there is nothing to tell apart.")
    return context_space
