"""How the files of standard sets are read."""

from __future__ import annotations

__all__ = [
    "adult",
    "binarized_mnist",
    "cifar_subset",
    "eng_fra",
    "freyfaces",
    "miniboone",
    "mnist",
    "msnbc",
    "omniglot",
    "packed",
    "shakespeare",
    "spoken_digits",
    "uci",
]

import gzip
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptheta.data.contents import Arrays, Contents, Frame, Sentences, Text
from ptheta.data.homes import spoken_digits_of
from ptheta.data.tables import read_table
from ptheta.data.text import lines_of
from ptheta.spaces import Binary, Discrete


def _idx(path: Path) -> NDArray[np.uint8]:
    data = gzip.decompress(path.read_bytes())
    dimensions = data[3]
    shape = np.frombuffer(data, ">i4", dimensions, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def _stretches(**lengths: int) -> dict[str, NDArray[np.int64]]:
    ends = np.cumsum([0, *lengths.values()])
    return {name: np.arange(ends[i], ends[i + 1]) for i, name in enumerate(lengths)}


def mnist(paths: Sequence[Path]) -> Contents:
    """Images and labels of MNIST, in the format idx."""
    train, train_labels, test, test_labels = map(_idx, paths)
    x = np.concatenate([train, test])[:, None]
    return Arrays(
        where="",
        x=x,
        labels={"label": np.concatenate([train_labels, test_labels])},
        space=Discrete(x.shape[1:], 256, layout="image"),
        parts=_stretches(train=50_000, validation=10_000, test=10_000),
    )


def packed(paths: Sequence[Path], shape: tuple[int, ...] | None = None) -> Contents:
    """The splits of a binary set, a bit a value."""
    found = _arrays(paths[0])
    size = int(found["n_vars"])
    rows = {name: found[name] for name in ("train", "valid", "test") if name in found}
    x = np.concatenate([np.unpackbits(bits, axis=1)[:, :size] for bits in rows.values()])
    lengths = {{"valid": "validation"}.get(name, name): len(bits) for name, bits in rows.items()}
    shape = shape or (size,)
    return Arrays(
        where="",
        x=x.reshape(-1, *shape),
        space=Binary(shape, "image" if len(shape) == 3 else "vector"),
        parts=_stretches(**lengths),
    )


def binarized_mnist(paths: Sequence[Path]) -> Contents:
    """The fixed binarisation of MNIST, as images."""
    return packed(paths, (1, 28, 28))


def msnbc(paths: Sequence[Path]) -> Contents:
    """The validation and test rows, the first of which are the training rows too."""
    found = packed(paths)
    # without the training rows, the validation rows are what there is to fit to
    return replace(found, parts={"train": found.parts["validation"], "test": found.parts["test"]})


def omniglot(paths: Sequence[Path]) -> Contents:
    """Characters, with their alphabets, and the drawers that make the splits."""
    found = _arrays(paths[0])
    x = found["images"][:, None]
    held_out = found["drawer"] >= 16
    return Arrays(
        where="",
        x=x,
        labels={"label": found["alphabet_names"][found["alphabet"]]},
        space=Discrete(x.shape[1:], 256, layout="image"),
        parts={"train": np.flatnonzero(~held_out), "test": np.flatnonzero(held_out)},
    )


def freyfaces(paths: Sequence[Path]) -> Contents:
    """Frames of a video."""
    x = _arrays(paths[0])["images"][:, None]
    splits = (1565 / 1965, 200 / 1965, 200 / 1965)
    space = Discrete(x.shape[1:], 256, layout="image")
    return Arrays(where="", x=x, space=space, splits=splits)


def cifar_subset(paths: Sequence[Path]) -> Contents:
    """Colour images, kept as differences of neighbours."""
    found = _arrays(paths[0])
    x = np.concatenate([_from_differences(found[f"{part}_residual"]) for part in ("train", "test")])
    labels = np.concatenate([found["train_labels"], found["test_labels"]])
    return Arrays(
        where="",
        x=x,
        labels={"label": found["class_names"][labels]},
        space=Discrete(x.shape[1:], 256, layout="image"),
        parts=_stretches(train=3600, validation=400, test=1000),
    )


def _from_differences(residual: NDArray[np.uint8]) -> NDArray[np.uint8]:
    down = np.cumsum(residual, axis=2, dtype=np.uint8)
    pixels = np.cumsum(down, axis=3, dtype=np.uint8)
    pixels[:, 0] += pixels[:, 1]
    pixels[:, 2] += pixels[:, 1]
    return pixels


def uci(names: str, leave_out: Sequence[int] = ()) -> Callable[..., Contents]:
    """What reads a table whose columns have these names."""
    columns = names.split()

    def read(paths: Sequence[Path]) -> Contents:
        import pandas as pd

        found = _arrays(paths[0])
        keep = [i for i in range(found["data"].shape[1]) if i not in leave_out]
        test = np.unpackbits(found["test_mask"][0])[: int(found["n_rows"])].astype(bool)
        return Frame(
            where="",
            frame=pd.DataFrame(found["data"][:, keep], columns=[columns[i] for i in keep]),
            parts={"train": np.flatnonzero(~test), "test": np.flatnonzero(test)},
        )

    return read


def miniboone(paths: Sequence[Path]) -> Contents:
    """The head of MiniBooNE."""
    x = _arrays(paths[0])["data"]
    return Arrays(where="", x=x, columns=tuple(f"v{i + 1}" for i in range(x.shape[1])))


def adult(paths: Sequence[Path]) -> Contents:
    """The census, its missing values as they are marked."""
    import pandas as pd

    train, test = map(read_table, paths)
    return Frame(
        where="",
        frame=pd.concat([train, test], ignore_index=True),
        parts=_stretches(train=len(train), test=len(test)),
    )


def shakespeare(paths: Sequence[Path]) -> Contents:
    """The plays, with the usual split."""
    text = gzip.decompress(paths[0].read_bytes()).decode("utf-8")
    return Text(where="", text=text, splits=(0.8, 0.1, 0.1))


def eng_fra(paths: Sequence[Path]) -> Contents:
    """Pairs of sentences."""
    lines = lines_of(gzip.decompress(paths[0].read_bytes()).decode("utf-8"))
    parts, english, french = zip(*(line.split("\t") for line in lines), strict=True)
    names = {"train": "train", "validation": "valid", "test": "test"}
    return Sentences(
        where="",
        sentences=french,
        given={"english": english},
        parts={ours: np.flatnonzero(np.array(parts) == theirs) for ours, theirs in names.items()},
    )


def spoken_digits(paths: Sequence[Path]) -> Contents:
    """Recordings, with digit and speaker."""
    found = _arrays(paths[0])
    samples = (found["audio_hi"].astype(np.uint16) << 8 | found["audio_lo"]).view(np.int16)
    return spoken_digits_of(
        np.split(samples, np.cumsum(found["length"])[:-1]),
        digits=found["digit"],
        speakers=found["speaker_names"][found["speaker"]],
        takes=found["take"],
    )
