"""Algorithms of records, as the format in which a record was written means them."""

__all__ = ["built"]

from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.formats import as_written, settings_as_written
from ptheta.recipes.registry import build
from ptheta.training.folder import RunRecord


def built(record: RunRecord) -> Algorithm:
    """The algorithm of a record.

    Arguments:
        record: What is fitted, or was.

    Raises:
        PthetaError: It cannot be built.
    """
    settings = settings_as_written(record.recipe, record.format, record.settings)
    algorithm = build(record.recipe, record.space, record.context_space, settings, record.columns)
    as_written(algorithm.model, record.format, record.settings)
    return algorithm
