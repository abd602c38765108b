"""Texts as windows of characters."""

__all__ = [
    "WINDOW",
    "category_codes",
    "code_points",
    "conform_text",
    "interpret_text",
    "lines_of",
    "prompt_codes",
    "read_text",
    "refuse_window",
]

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptheta.data.contents import Text
from ptheta.data.splits import Examples
from ptheta.errors import PthetaError
from ptheta.spaces import Categorical, Space

WINDOW = 64


def read_text(path: Path) -> Text:
    """A text file.

    Arguments:
        path: A file in UTF-8.

    Raises:
        PthetaError: It is empty, or not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin with a mark
    except UnicodeDecodeError as error:
        raise PthetaError(
            f"{path} is not UTF-8 text (at byte {error.start}). Save it again with the encoding "
            "UTF-8."
        ) from None
    if not text:
        raise PthetaError(f"{path} is empty. Give a file with text.")
    return Text(where=path.name, text=text)


def lines_of(text: str) -> list[str]:
    r"""The lines of a text, which end in a line feed, or a carriage return and a line feed.

    Other marks that Unicode takes for the end of a line stay within one.

    Arguments:
        text: The text.

    Example:
        >>> lines_of("a\u2028b\r\n\nc\n")
        ['a\u2028b', '', 'c']
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]


def interpret_text(contents: Text, window: int | None = None) -> Examples:
    """Consecutive windows of a text; the characters that occur are the categories.

    Arguments:
        contents: The text.
        window: The characters in a window; None takes 64. What is left over at the end is left
            out.

    Raises:
        PthetaError: The text is shorter than three windows, or of one character only, or a window
            has no characters.
    """
    window = WINDOW if window is None else window
    if window < 1:
        raise PthetaError(f"a window must have at least 1 character, got {window}.")
    codes = code_points(contents.text)
    alphabet = np.unique(codes)
    if len(codes) < 3 * window or len(alphabet) < 2:
        raise PthetaError(
            f"{contents.where} holds {len(codes)} characters, {len(alphabet)} of them different; "
            f"windows of {window} need at least {3 * window} characters, 2 of them different."
        )
    labels = tuple(map(chr, alphabet.tolist()))
    space = Categorical((window,), len(labels), labels, layout="sequence")
    return Examples(
        where=contents.where,
        space=space,
        x=_windows(np.searchsorted(alphabet, codes), window).to(space.dtype),
        notes=(
            *contents.notes,
            f"Text of {len(codes)} characters, cut into windows of {window}; the splits are "
            "stretches of it, in order.",
        ),
        parts=contents.parts,
        splits=contents.splits,
        ordered=True,
    )


def conform_text(contents: Text, space: Space) -> Tensor:
    """The windows of a text in a space that is known.

    Arguments:
        contents: The text.
        space: The space.

    Returns:
        Codes with shape (windows, window); a character that is not known has the code
        ``categories``.

    Raises:
        PthetaError: The space is not one of text.
    """
    if not isinstance(space, Categorical) or space.layout != "sequence" or not space.labels:
        raise PthetaError(f"{contents.where} is text, but {space.describe()} is expected.")
    codes = code_points(contents.text)
    known = category_codes(codes, [ord(label) for label in space.labels])
    if len(codes) < space.shape[0]:
        raise PthetaError(
            f"{contents.where} holds {len(codes)} characters, less than one window of "
            f"{space.shape[0]}. Give more text."
        )
    return _windows(known, space.shape[0])


def refuse_window(window: int | None, where: str) -> None:
    """Refuses a window where there is no running text and no sound.

    Arguments:
        window: The window that is asked for, or None.
        where: What the message calls the source.

    Raises:
        PthetaError: A window is asked for.
    """
    if window is not None:
        raise PthetaError(f"{where} is no running text, so it has no window of {window}.")


def prompt_codes(text: str, space: Space) -> Tensor:
    """The codes of a beginning, as a run is to go on with it.

    Arguments:
        text: The beginning; it may be empty.
        space: The space of the run.

    Returns:
        The codes, with shape (characters,).

    Raises:
        PthetaError: The space is not one of characters, or a character is not in it.

    Example:
        >>> prompt_codes("abba", Categorical((8,), 2, ("a", "b"), layout="sequence")).tolist()
        [0, 1, 1, 0]
    """
    if not isinstance(space, Categorical) or not _of_characters(space):
        if not text:
            return torch.empty(0, dtype=torch.long)
        raise PthetaError(
            f"a prompt is text, and the run was fitted to {space.describe()}, which has no "
            "characters. Leave the prompt out, or give codes in Python: model.extend(prefix)."
        )
    alphabet = [ord(label) if label else -1 for label in space.labels]
    codes = category_codes(code_points(text), alphabet)
    unknown = (codes == space.categories).nonzero()[0]
    if len(unknown):
        first = int(unknown[0])
        raise PthetaError(
            f"the prompt has {text[first]!r} at character {first + 1}, which is not among the "
            f"{space.categories} symbols that the run was fitted to. Leave it out."
        )
    return torch.from_numpy(codes)


def _of_characters(space: Categorical) -> bool:
    # the label of what follows the end of a sentence is empty
    return bool(space.labels) and all(len(label) <= 1 for label in space.labels)


def code_points(text: str) -> NDArray[np.int64]:
    """The code point of each character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)


def category_codes(points: NDArray[np.int64], alphabet: Sequence[int]) -> NDArray[np.int64]:
    """The code of each character in an alphabet; its length for one that is not in it.

    Arguments:
        points: The code points of the characters.
        alphabet: The code point of each category.
    """
    known = np.array(alphabet)
    order = np.argsort(known)
    found = order[np.searchsorted(known, points, sorter=order).clip(max=len(order) - 1)]
    return np.where(known[found] == points, found, len(known))


def _windows(codes: NDArray[np.int64], window: int) -> Tensor:
    count = len(codes) // window
    return torch.from_numpy(codes[: count * window].reshape(count, window))
