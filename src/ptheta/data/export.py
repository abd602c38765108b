"""Samples as files, in the form that suits their space."""

from __future__ import annotations

__all__ = ["columns_of", "refuse_target", "save_samples"]

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ptheta.border import checked
from ptheta.data.audio import save_audio
from ptheta.data.encoding import decode
from ptheta.data.images import example_image, image_grid
from ptheta.data.spectrograms import sound_grid
from ptheta.errors import PthetaError
from ptheta.files import whole_file, whole_folder
from ptheta.spaces import (
    Categorical,
    Column,
    Discrete,
    Positive,
    Real,
    Space,
    Table,
    end_of,
    rate_of,
)

if TYPE_CHECKING:
    import pandas as pd


@checked
def save_samples(
    x: Tensor, space: Space, path: str | Path, *, columns: tuple[str, ...] = ()
) -> Path:
    r"""Writes samples, decoded: labels for categories, levels from their low end, gaps left empty.

    Arguments:
        x: The samples, with shape (batch, *space.shape).
        space: Their space.
        path: The file to write, or a folder for images or sounds. The ending says how: .png (a
            grid of images, or of spectrograms of sounds, or a scatter plot of points in the
            plane), .wav (sounds, one after the other), .npy, .npz, .csv, .parquet, .jsonl, .txt,
            or none for a folder of images or of WAV files.
        columns: The names of the values of an example, where they have names.

    Returns:
        The path.

    Raises:
        PthetaError: The samples are not of the space, or it cannot be written so, or the ending is
            not known.
        CannotWrite: The file cannot be written.

    Example:
        >>> import torch
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = save_samples(torch.zeros(2, 2), Real((2,)), f"{folder}/a.csv")
        ...     path.read_text()
        'x0,x1\n0.0,0.0\n0.0,0.0\n'
    """
    path = Path(path)
    _refuse_others(x, space, columns)
    refuse_target(path, space)
    if not path.suffix or path.is_dir():
        return _save_folder(x, space, path)
    write = _WRITERS[path.suffix.lower()]
    return _write(path, lambda to: write(x, space, to, columns))


def refuse_target(path: str | Path, space: Space) -> None:
    """Refuses where samples cannot be written, which is best known before they are drawn.

    Arguments:
        path: The file or folder that they are to be written to.
        space: Their space.

    Raises:
        PthetaError: The ending is not known, samples of the space are not written so, or the
            folder is not empty.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if not ending or path.is_dir():
        _refuse_folder(path, space)
    elif ending not in _WRITERS:
        raise PthetaError(
            f"{path.name} has an ending that is not known. Samples are written as "
            f"{', '.join(_WRITERS)}, or to a folder of images or sounds."
        )
    elif ending == ".png" and not _has_picture(space):
        raise PthetaError(
            f"{space.describe()} cannot be drawn as .png, which is for images, sounds and points "
            "in the plane. Use .csv or .npz."
        )
    elif ending == ".wav" and rate_of(space) is None:
        raise PthetaError(f"{space.describe()} is no sound, so it cannot be written as .wav.")
    elif ending == ".txt" and isinstance(space, Table):
        raise PthetaError("a table cannot be written as .txt. Use .csv, .parquet or .jsonl.")


def _has_picture(space: Space) -> bool:
    in_the_plane = space.shape == (2,) and space.continuous
    return space.layout == "image" or rate_of(space) is not None or in_the_plane


def _refuse_others(x: Tensor, space: Space, columns: tuple[str, ...]) -> None:
    if x.shape[1:] != space.shape or len(x) == 0:
        shape = ", ".join(map(str, space.shape))
        raise PthetaError(
            f"samples of {space.describe()} have the shape (n, {shape}), got {tuple(x.shape)}."
        )
    outside = (~space.contains(x)).nonzero()
    if len(outside):
        raise PthetaError(f"sample {int(outside[0]) + 1} does not lie in {space.describe()}.")
    unnamed = isinstance(space, Table) or end_of(space) is not None
    if columns and not unnamed and len(columns) != space.features:
        raise PthetaError(
            f"{space.describe()} has {space.features} values, and {len(columns)} names are given. "
            "Give a name for each, or none."
        )


def save_table(frame: pd.DataFrame, path: str | Path) -> Path:
    """Writes a table, whole or not at all.

    Arguments:
        frame: The table.
        path: A file ending in .csv, .tsv, .parquet or .jsonl.

    Raises:
        PthetaError: The ending is another, or the file cannot be written.
    """
    path = Path(path)
    writers: dict[str, Callable[[Path], object]] = {
        ".csv": lambda to: frame.to_csv(to, index=False),
        ".tsv": lambda to: frame.to_csv(to, index=False, sep="\t"),
        ".parquet": lambda to: frame.to_parquet(to, index=False),
        ".jsonl": lambda to: frame.to_json(to, orient="records", lines=True),
    }
    write = writers.get(path.suffix.lower())
    if write is None:
        raise PthetaError(
            f"{path.name} has an ending that a table cannot have. Give one of {', '.join(writers)}."
        )
    return _write(path, write)


def _write(path: Path, write: Callable[[Path], object]) -> Path:
    with whole_file(path) as temporary:
        write(temporary)
    return path


def _refuse_folder(path: Path, space: Space) -> None:
    if space.layout != "image" and rate_of(space) is None:
        raise PthetaError(
            f"{space.describe()} cannot be written to a folder of images. Give a file ending in "
            ".csv, .parquet or .npz."
        )
    if path.is_file():
        raise PthetaError(
            f"{path} is a file, and without an ending a folder is written. Name a new folder, or "
            "give an ending such as .png."
        )
    if path.is_dir() and any(path.iterdir()):
        raise PthetaError(f"the folder {path} is not empty. Give a new one.")


def _save_folder(x: Tensor, space: Space, path: Path) -> Path:
    rate = rate_of(space)
    digits = len(str(len(x)))
    with whole_folder(path) as temporary:
        for i, example in enumerate(x):
            name = temporary / f"{i:0{digits}}"
            if rate is None:
                example_image(example, space).save(name.with_suffix(".png"))
            else:
                save_audio(example[None], rate, name.with_suffix(".wav"))
    return path


def _save_sounds(x: Tensor, space: Space, path: Path) -> None:
    rate = rate_of(space)
    assert rate is not None
    save_audio(x, rate, path)


def _save_picture(x: Tensor, space: Space, path: Path, columns: tuple[str, ...]) -> None:
    if space.layout == "image":
        image_grid(x, space).save(path)
    elif rate_of(space) is not None:
        sound_grid(x).save(path)
    else:
        _save_scatter(x, path, columns)


def _save_scatter(x: Tensor, path: Path, columns: tuple[str, ...]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = x.detach().cpu().numpy()
    axes.scatter(points[:, 0], points[:, 1], s=max(1.0, min(12.0, 6000 / max(len(points), 1))))
    axes.set_aspect("equal", adjustable="datalim")
    if columns:
        axes.set_xlabel(columns[0])
        axes.set_ylabel(columns[1])
    figure.savefig(path, dpi=120)


def _array(x: Tensor, space: Space) -> NDArray[Any]:
    if isinstance(space, Table):
        lows = [c.space.low if isinstance(c.space, Discrete) else 0 for c in space.columns]
        labelled = [c.name for c in space.columns if isinstance(c.space, Categorical)]
        if labelled:
            raise PthetaError(
                f"column '{labelled[0]}' holds categories, which an array of numbers cannot. Use "
                ".csv, .parquet or .npz."
            )
        return x.detach().cpu().numpy() + np.array(lows)
    values = x.detach().cpu().numpy()
    low = space.low if isinstance(space, Discrete) else 0
    return values.astype(np.int64) + low if low else values


def _save_npy(values: NDArray[Any], path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, values, allow_pickle=False)


def _save_npz(x: Tensor, space: Space, path: Path, columns: tuple[str, ...]) -> None:
    arrays = {"x": _array(x, space)} if not isinstance(space, Table) else {}
    if isinstance(space, Table):
        frame = _frame(x, space, columns)
        arrays = {str(name): _plain(frame[name]) for name in frame}
    with path.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def _plain(values: pd.Series[Any]) -> NDArray[Any]:
    if values.dtype == "str":
        return values.fillna("").to_numpy(dtype=np.str_)
    return (
        values.to_numpy(dtype=np.float64, na_value=np.nan) if values.hasnans else values.to_numpy()
    )


def _frame(x: Tensor, space: Space, columns: tuple[str, ...]) -> pd.DataFrame:
    return decode(x.reshape(len(x), -1), columns_of(space, columns))


def columns_of(space: Space, names: tuple[str, ...]) -> tuple[Column, ...]:
    """The values of an example as columns of a table.

    Arguments:
        space: The space of the examples.
        names: The names of the values, where they have names.
    """
    if isinstance(space, Table):
        return space.columns
    names = names if len(names) == space.features else _names(space.features)
    scalar = _scalar(space)
    return tuple(Column(name, scalar) for name in names)


def _names(features: int) -> tuple[str, ...]:
    return tuple(f"x{i}" for i in range(features))


def _scalar(space: Space) -> Real | Positive | Discrete | Categorical:
    match space:
        case Discrete():
            return Discrete(levels=space.levels, low=space.low)
        case Categorical():
            return Categorical(categories=space.categories, labels=space.labels)
        case Positive():
            return Positive()
        case _:
            return Real()


def _save_text(x: Tensor, space: Space, path: Path) -> None:
    if isinstance(space, Categorical) and space.layout == "sequence" and space.labels:
        rows = ["".join(space.labels[code] for code in row) for row in x.long().tolist()]
        path.write_text("\n\n".join(rows) + "\n", encoding="utf-8")
    else:
        np.savetxt(path, _array(x, space).reshape(len(x), -1), fmt="%.9g")


_WRITERS: Mapping[str, Callable[[Tensor, Space, Path, tuple[str, ...]], object]] = {
    ".png": lambda x, space, to, columns: _save_picture(x, space, to, columns),
    ".wav": lambda x, space, to, _: _save_sounds(x, space, to),
    ".npy": lambda x, space, to, _: _save_npy(_array(x, space), to),
    ".npz": lambda x, space, to, columns: _save_npz(x, space, to, columns),
    ".csv": lambda x, space, to, columns: _frame(x, space, columns).to_csv(to, index=False),
    ".tsv": lambda x, space, to, columns: _frame(x, space, columns).to_csv(
        to, index=False, sep="\t"
    ),
    ".parquet": lambda x, space, to, columns: _frame(x, space, columns).to_parquet(to, index=False),
    ".jsonl": lambda x, space, to, columns: _frame(x, space, columns).to_json(
        to, orient="records", lines=True
    ),
    ".txt": lambda x, space, to, _: _save_text(x, space, to),
}
