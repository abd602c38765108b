"""The one error that a person is meant to read."""

__all__ = ["PthetaError", "nearest"]

import difflib
from collections.abc import Iterable


class PthetaError(ValueError):
    """Something asked for, or given, that cannot be served.

    The message is one or two sentences: what is wrong, where, and what to do about it. The
    command line prints it without a traceback and exits with code 2.
    """


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
