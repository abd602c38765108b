"""Fetching: files of a public place, tables of OpenML, data sets of the Hugging Face hub."""

from __future__ import annotations

__all__ = ["fetch_files", "fetch_openml", "from_hub"]

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

from ptheta.data.contents import PART_NAMES, Arrays, Contents, Frame, Text, quoted
from ptheta.data.streaming import cache_folder
from ptheta.data.tables import tidy
from ptheta.errors import PthetaError

if TYPE_CHECKING:
    import pandas as pd


def fetch_files(base: str, files: Mapping[str, str | None]) -> dict[str, Path]:
    """Files from a public place, kept in the cache folder, with a progress bar.

    Arguments:
        base: The address of their folder.
        files: The hash of each file by name: its SHA-256, or another with the algorithm in front,
            such as ``md5:...``; None where it is not known.

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
            digest,
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


def fetch_openml(data_id: int) -> pd.DataFrame:
    """A table of OpenML, through scikit-learn.

    Arguments:
        data_id: Its number there.

    Raises:
        PthetaError: OpenML cannot be reached.
    """
    from sklearn import datasets

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a second try; the error says the rest
            found: Any = datasets.fetch_openml(
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

    splits = {PART_NAMES[split]: rows for split, rows in found.items() if split in PART_NAMES}
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


def _reason(error: BaseException) -> str:
    # clients wrap what went wrong several times
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    text = str(getattr(error, "reason", error)).split("): ", 1)[-1]
    return (text.strip().split("\n")[0] or type(error).__name__)[:200]
