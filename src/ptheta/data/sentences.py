"""Sentences of different lengths, as sequences of one length.

What follows the end of a sentence is filled with a category of its own, labelled with the empty
string, so that p(x) is that of the sentence and its end.
"""

__all__ = [
    "conform_sentences",
    "decode_sentences",
    "encode_sentences",
    "interpret_sentences",
    "known_sentences",
]

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor

from ptheta.data.contents import Sentences
from ptheta.data.splits import Examples, refuse_few
from ptheta.data.text import category_codes, code_points
from ptheta.errors import PthetaError
from ptheta.spaces import END, Categorical, Space

_FILL = "\0"


def interpret_sentences(contents: Sentences) -> Examples:
    """Sentences filled up to the length of the longest; the characters are the categories.

    Arguments:
        contents: The sentences.

    Raises:
        PthetaError: There are too few, none has a character, or one holds a NUL.
    """
    where = contents.where
    refuse_few(len(contents.sentences), where)
    space = _space_of(contents.sentences, where)
    contexts: dict[str, tuple[Tensor, Categorical]] = {}
    for name, given in contents.given.items():
        named = f"'{name}' of {where}"
        known = _space_of(given, named)
        contexts[name] = (encode_sentences(given, known, named).long(), known)
    longest = space.shape[0]
    return Examples(
        where=where,
        space=space,
        x=encode_sentences(contents.sentences, space, where).to(space.dtype),
        contexts=contexts,
        columns=(contents.column,) if contents.column else (),
        notes=(
            *contents.notes,
            f"Sentences of up to {longest} characters; shorter ones are filled up after their end.",
        ),
        parts=contents.parts,
        splits=contents.splits,
    )


def conform_sentences(sentences: Sequence[str], space: Space, where: str) -> Tensor:
    """Sentences in a space that is known.

    Arguments:
        sentences: The sentences.
        space: The space.
        where: What messages call them.

    Returns:
        Codes with shape (sentences, length); a character that is not known has the code
        ``categories``.

    Raises:
        PthetaError: The space is not one of sentences, a sentence is too long, or holds a NUL.
    """
    if not isinstance(space, Categorical) or END not in space.labels:
        raise PthetaError(f"{where} holds sentences, but {space.describe()} is expected.")
    return encode_sentences(sentences, space, where)


def encode_sentences(sentences: Sequence[str], space: Categorical, where: str) -> Tensor:
    """The codes of sentences, filled up after their end.

    Arguments:
        sentences: The sentences.
        space: Their space, with the label of the end among its labels.
        where: What messages call them.

    Returns:
        Codes with shape (sentences, length); a character that is not known has the code
        ``categories``.

    Raises:
        PthetaError: A sentence is too long, or holds a NUL.
    """
    (length,) = space.shape
    for row, sentence in enumerate(sentences):
        if len(sentence) > length:
            raise PthetaError(
                f"sentence {row + 1} of {where} has {len(sentence)} characters; at most {length} "
                "are possible. Shorten it."
            )
        if _FILL in sentence:
            raise PthetaError(
                f"sentence {row + 1} of {where} has a NUL at character "
                f"{sentence.index(_FILL) + 1}, which is no character of a text. Remove it."
            )
    points = code_points("".join(sentence.ljust(length, _FILL) for sentence in sentences))
    codes = category_codes(points, [ord(label or _FILL) for label in space.labels])
    return torch.from_numpy(codes.reshape(len(sentences), length))


def known_sentences(sentences: Sequence[str], space: Categorical, where: str) -> Tensor:
    """The codes of sentences of known characters alone.

    Arguments:
        sentences: The sentences.
        space: Their space, with the label of the end among its labels.
        where: What messages call them.

    Returns:
        Codes with shape (sentences, length).

    Raises:
        PthetaError: A sentence is too long, or has a character that is not in the space.
    """
    codes = encode_sentences(sentences, space, where)
    unknown = (codes == space.categories).nonzero()
    if len(unknown):
        row, place = unknown[0].tolist()
        raise PthetaError(
            f"sentence {row + 1} of {where} has {sentences[row][place]!r} at character "
            f"{place + 1}, which is not among those that the run was fitted to. Leave it out."
        )
    return codes.long()


def decode_sentences(codes: Tensor, space: Categorical) -> list[str]:
    """The sentences of codes, each up to its end.

    Arguments:
        codes: The codes, with shape (sentences, any).
        space: Their space.

    Example:
        >>> space = Categorical((3,), 3, ("a", "b", END), layout="sequence")
        >>> decode_sentences(torch.tensor([[1, 0, 2], [0, 2, 1]]), space)
        ['ba', 'a']
    """
    texts: list[str] = []
    for row in codes.tolist():
        symbols = takewhile(bool, (space.labels[code] for code in row))
        texts.append("".join(symbols))
    return texts


def _space_of(sentences: Sequence[str], where: str) -> Categorical:
    characters = sorted(set("".join(sentences)))
    if not characters:
        raise PthetaError(f"{where} holds no characters. Give sentences.")
    labels = (*characters, END)
    longest = max(map(len, sentences))
    return Categorical((longest,), len(labels), labels, layout="sequence")
