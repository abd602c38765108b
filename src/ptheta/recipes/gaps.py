"""Refusing missing values, by the names of their columns."""

__all__ = ["refuse_gaps"]

from ptheta.errors import PthetaError
from ptheta.spaces import Space, Table


def refuse_gaps(space: Space, model: str) -> None:
    """Refuses a table in which values may be missing.

    Arguments:
        space: What one example is.
        model: What has no place for missing values, such as ``a weighted sum``.

    Raises:
        PthetaError: Values may be missing.
    """
    if not (isinstance(space, Table) and space.missing):
        return
    names = [f"'{column.name}'" for column in space.columns if column.missing]
    raise PthetaError(
        f"{model} has no place for missing values (columns {', '.join(names[:4])}"
        f"{', ...' if names[4:] else ''}); drop those rows or columns, fill them in, or take "
        "another recipe."
    )
