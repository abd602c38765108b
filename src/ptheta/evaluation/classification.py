"""How well classes are told: accuracy, and the log-loss of the probabilities."""

__all__ = ["Classification", "classification", "tells_classes"]

import math
from dataclasses import dataclass

from torch import Tensor

from ptheta.errors import PthetaError
from ptheta.evaluation.estimate import Estimate, mean_of, share_of
from ptheta.fitting import Run
from ptheta.protocols import SupportsClassify, SupportsLogProb


@dataclass(frozen=True)
class Classification:
    """Classes that are told, beside those that are true. All intervals are 95%, over rows.

    Arguments:
        accuracy: The share of rows whose likeliest class is the true one.
        log_loss: The mean of -log p(true class | x), in nats; infinite where a true class is held
            impossible.
        rows: The number of rows.
        unknown: The rows outside the space, which have no figure and are left out.
    """

    accuracy: Estimate
    log_loss: Estimate
    rows: int
    unknown: int


def classification(log_probs: Tensor, classes: Tensor) -> Classification:
    """How well the classes of rows are told.

    Arguments:
        log_probs: log p(class | x) of each row, with shape (rows, classes); not a number where a
            row has none.
        classes: The true classes, with shape (rows,).

    Raises:
        PthetaError: No row has probabilities.
    """
    known = ~log_probs.isnan().any(dim=1)
    if not known.any():
        raise PthetaError("every row lies outside what the run was fitted to.")
    found, true = log_probs[known], classes[known].long()
    losses = -found.gather(1, true[:, None])[:, 0]
    impossible = Estimate(math.inf, math.inf, math.inf)
    return Classification(
        accuracy=share_of(found.argmax(dim=1) == true),
        log_loss=mean_of(losses) if losses.isfinite().all() else impossible,
        rows=len(found),
        unknown=int((~known).sum()),
    )


def tells_classes(run: Run) -> bool:
    """Whether a run tells classes: its model does, or by Bayes' rule from an exact density.

    Arguments:
        run: The run.
    """
    by_bayes = isinstance(run.model, SupportsLogProb) and len(run.class_counts) > 1
    return by_bayes or isinstance(run.model, SupportsClassify)
