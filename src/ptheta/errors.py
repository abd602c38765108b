"""The errors that a person is meant to read."""

__all__ = ["NotConverged", "PthetaError", "nearest"]

import difflib
from collections.abc import Iterable


class PthetaError(ValueError):
    """Something asked for, or given, that cannot be served.

    The message is one or two sentences: what is wrong, where, and what to do about it. The
    command line prints it without a traceback and exits with code 2.
    """


class NotConverged(PthetaError):
    """An iteration that did not settle within the steps that it was allowed.

    Arguments:
        sought: What it looks for, and of which layer.
        rows: The number of rows for which it was not found.
        of: The number of rows.
        steps: The number of steps that were taken.
        finite: Whether those rows held numbers that are finite.

    Example:
        >>> str(NotConverged("the inverse of a layer", rows=2, of=10, steps=100)).split(". ")[0]
        'the inverse of a layer was not found for 2 of 10 rows in 100 steps'
    """

    def __init__(self, sought: str, *, rows: int, of: int, steps: int, finite: bool = True) -> None:
        why = (
            "A layer that training has made too steep, or not finite, does that: fit again with a "
            "smaller learning_rate."
            if finite
            else "They hold what is missing or infinite: leave those rows out."
        )
        super().__init__(f"{sought} was not found for {rows} of {of} rows in {steps} steps. {why}")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names what was probably meant, or lists what there is.

    Arguments:
        name: The unknown name.
        known: The names that exist.

    Returns:
        A sentence, such as ``Did you mean 'made'?``.

    Example:
        >>> nearest("realnpv", ["made", "realnvp"])
        "Did you mean 'realnvp'?"
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"There is: {', '.join(known)}." if known else "There is none."
