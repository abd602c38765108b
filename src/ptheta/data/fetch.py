"""Fetching: standard sets that are not at hand, and data sets of the Hugging Face hub."""

from __future__ import annotations

__all__ = ["FETCHERS", "fetch_files", "fetch_openml_frame", "from_hub"]

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

from ptheta.data.contents import Arrays, Contents, Frame, Text, quoted
from ptheta.data.streaming import cache_folder
from ptheta.data.tables import tidy
from ptheta.errors import PthetaError
from ptheta.spaces import Binary

if TYPE_CHECKING:
    import pandas as pd

BINARIZED_MNIST = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"
SHAKESPEARE = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare"
DEBD = "https://raw.githubusercontent.com/arranger1044/DEBD/master/datasets"

_BINARIZED_MNIST_SHA256 = {
    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}
_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
_PARTS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}


def fetch_files(base: str, files: Mapping[str, str | None]) -> dict[str, Path]:
    """Files from a public place, kept in the cache folder, with a progress bar.

    Arguments:
        base: The address of their folder.
        files: The SHA-256 of each file by name, or None where it is not known.

    Returns:
        Where each file lies.

    Raises:
        PthetaError: The place cannot be reached, or a file is not what it should be.
    """
    try:
        return {name: _fetch(f"{base}/{name}", digest) for name, digest in files.items()}
    except OSError as error:
        raise PthetaError(f"{base} cannot be reached ({_reason(error)}).") from None
    except ValueError as error:
        raise PthetaError(f"what came from {base} is not the known file: {error}.") from None


def _fetch(url: str, digest: str | None) -> Path:
    import pooch

    logger, level = pooch.get_logger(), pooch.get_logger().level
    bar: Any = _Progress(url.rsplit("/", 1)[1])
    downloader: Any = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16)
    logger.setLevel("WARNING")  # the progress bar says enough
    try:
        found = pooch.retrieve(
            url,
            None if digest is None else f"sha256:{digest}",
            path=cache_folder() / "fetched",
            downloader=downloader,
        )
    finally:
        bar.close()
        logger.setLevel(level)
    return Path(found)


class _Progress:
    """A progress bar of rich, as pooch asks for one: it sets `total`, then updates."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self.bar = Progress(console=Console(stderr=True), transient=True)
        self.task = self.bar.add_task(title, total=None)
        self.total = 0

    def update(self, size: int) -> None:
        """Moves the bar on by so many bytes."""
        self.bar.start()
        self.bar.update(self.task, advance=size, total=self.total or None)

    def reset(self) -> None:
        """Moves the bar back to the start."""
        self.bar.reset(self.task)

    def close(self) -> None:
        """Takes the bar away."""
        self.bar.stop()


def fetch_openml_frame(data_id: int) -> pd.DataFrame:
    """A table of OpenML, through scikit-learn.

    Arguments:
        data_id: Its number there.

    Raises:
        PthetaError: OpenML cannot be reached.
    """
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a second try; the error says the rest
            found: Any = fetch_openml(
                data_id=data_id,
                as_frame=True,
                parser="pandas",
                data_home=str(cache_folder()),
                n_retries=1,
                delay=0.1,
            )
    except (OSError, ValueError) as error:
        raise PthetaError(f"OpenML cannot be reached ({_reason(error)}).") from None
    return found.frame


def from_hub(name: str) -> Contents:
    """A data set of the Hugging Face hub.

    Images become arrays, with the first class label as ``label``; one column of text becomes a
    text; all else is a table. Splits named train, validation and test are kept.

    Arguments:
        name: Its name there, such as ``ylecun/mnist``.

    Raises:
        PthetaError: The package `datasets` is not installed, the hub cannot be reached, or the
            images differ in size.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise PthetaError(
            "data sets of the Hugging Face hub need the package 'datasets': "
            "pip install 'ptheta[hub]'."
        ) from None
    _refuse_unreachable_hub(name)
    try:
        found: Any = load_dataset(name)
    except (OSError, ValueError) as error:
        raise PthetaError(
            f"the data set '{name}' cannot be had from the Hugging Face hub ({_reason(error)})."
        ) from None
    return _from_dataset(found, f"hf:{name}")


def _refuse_unreachable_hub(name: str) -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return
    try:
        # asked here first, because the hub's own client retries for half a minute
        urlopen(constants.ENDPOINT, timeout=10).close()
    except HTTPError:
        return
    except OSError as error:
        raise PthetaError(
            f"the data set '{name}' cannot be had: the Hugging Face hub cannot be reached "
            f"({_reason(error)}). With HF_HUB_OFFLINE=1 what was fetched before is used."
        ) from None


def _from_dataset(found: Any, where: str) -> Contents:
    import pandas as pd

    splits = {_PARTS[split]: rows for split, rows in found.items() if split in _PARTS}
    splits = splits if "train" in splits else {"all": next(iter(found.values()))}
    starts = np.cumsum([0, *(len(rows) for rows in splits.values())])
    parts: dict[str, NDArray[np.int64]] = {
        split: np.arange(starts[i], starts[i + 1])
        for i, split in enumerate(splits)
        if split != "all"
    }
    features = next(iter(splits.values())).features
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    image = next((name for name, kind in kinds.items() if kind == "Image"), None)
    label = next((name for name, kind in kinds.items() if kind == "ClassLabel"), None)
    if image is not None:
        labels = {} if label is None else {"label": _labels(splits, label)}
        return Arrays(where=where, x=_stack(splits, image, where), labels=labels, parts=parts)
    if list(kinds) == ["text"]:
        return Text(
            where=where, text="\n".join(t for rows in splits.values() for t in rows["text"])
        )
    frame = pd.concat([rows.to_pandas() for rows in splits.values()], ignore_index=True)
    for name in (n for n, kind in kinds.items() if kind == "ClassLabel"):
        frame[name] = _labels(splits, name)
    return Frame(where=where, frame=tidy(frame, where), parts=parts)


def _labels(splits: Mapping[str, Any], name: str) -> NDArray[Any]:
    names = np.array(next(iter(splits.values())).features[name].names)
    return np.concatenate([names[np.asarray(rows[name])] for rows in splits.values()])


def _stack(splits: Mapping[str, Any], name: str, where: str) -> NDArray[np.uint8]:
    images = [np.asarray(image) for rows in splits.values() for image in rows[name]]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise PthetaError(
            f"the images of {where} differ in shape: {quoted(sorted(map(str, shapes)), 3)}. Save "
            "them to a folder and give that with one size (--size)."
        )
    x = np.stack(images)
    return x[:, None] if x.ndim == 3 else np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def binarized_mnist(
    base: str = BINARIZED_MNIST, digests: Mapping[str, str] = _BINARIZED_MNIST_SHA256
) -> Contents:
    """The fixed binarised MNIST, from its public home.

    References:
        On the quantitative analysis of deep belief networks (Salakhutdinov & Murray, 2008)

    Arguments:
        base: The address of the folder.
        digests: The SHA-256 of the files of train, valid and test.
    """
    names = {part: f"binarized_mnist_{part}.amat" for part in digests}
    files = fetch_files(base, {names[part]: digest for part, digest in digests.items()})
    return binary_rows({part: files[name] for part, name in names.items()}, (1, 28, 28))


def debd(file: str, base: str = DEBD) -> Contents:
    """One of the binary density sets, from the collection's public home.

    Arguments:
        file: Its name there.
        base: The address of the collection.
    """
    names = {f"{file}.{part}.data": None for part in ("train", "valid", "test")}
    files = fetch_files(f"{base}/{file}", names)
    return binary_rows({name.split(".")[1]: path for name, path in files.items()})


def binary_rows(files: Mapping[str, Path], shape: tuple[int, ...] | None = None) -> Arrays:
    """Splits that are written as text, a row a line, of digits 0 and 1 with a sign between them.

    Arguments:
        files: The files of train, valid and test.
        shape: The shape of one example; None is a vector.
    """
    rows = {part: _bits(path) for part, path in files.items()}
    starts = np.cumsum([0, *map(len, rows.values())])
    x = np.concatenate(list(rows.values()))
    shape = shape or x.shape[1:]
    return Arrays(
        where=next(iter(files.values())).name,
        x=x.reshape(-1, *shape),
        space=Binary(shape, "image" if len(shape) == 3 else "vector"),
        parts={_PARTS[part]: np.arange(starts[i], starts[i + 1]) for i, part in enumerate(rows)},
    )


def _bits(path: Path) -> NDArray[np.uint8]:
    lines = path.read_bytes().split()
    joined = b"".join(lines).replace(b",", b"")
    rows = path.read_bytes().rstrip().count(b"\n") + 1
    return (np.frombuffer(joined, dtype=np.uint8) - ord("0")).reshape(rows, -1)


def shakespeare(base: str = SHAKESPEARE, digest: str = _SHAKESPEARE_SHA256) -> Contents:
    """The plays of Shakespeare in one text, from their public home.

    Arguments:
        base: The address of the folder.
        digest: The SHA-256 of the file.
    """
    path = fetch_files(base, {"input.txt": digest})["input.txt"]
    return Text(where="", text=path.read_text(encoding="utf-8"), splits=(0.8, 0.1, 0.1))


def _openml(data_id: int, name: str) -> Contents:
    note = "From OpenML: the split is by seed, not the official one."
    return Frame(where=name, frame=tidy(fetch_openml_frame(data_id), name), notes=(note,))


def _reason(error: BaseException) -> str:
    return (str(error).strip().split("\n")[0] or type(error).__name__)[:200]


_OPENML = {
    "adult": 1590,
    "concrete": 44959,
    "energy": 44960,
    "kin8nm": 44980,
    "naval": 44969,
    "protein": 44963,
    "wine-red": 44972,
}
_DEBD = {
    name: name
    for name in (
        *("nltcs", "plants", "baudio", "jester", "bnetflix", "msnbc", "accidents", "pumsb_star"),
        *("dna", "bbc", "mushrooms", "connect4", "nips"),
    )
} | {"adult-binary": "adult"}

FETCHERS: Mapping[str, Callable[[], Contents]] = {
    "mnist": partial(from_hub, "ylecun/mnist"),
    "cifar10": partial(from_hub, "uoft-cs/cifar10"),
    "binarized-mnist": binarized_mnist,
    "shakespeare": shakespeare,
    **{name: partial(_openml, number, name) for name, number in _OPENML.items()},
    **{name: partial(debd, file) for name, file in _DEBD.items()},
}
