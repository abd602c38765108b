"""Data larger than memory: rows that stay on disk, and arrays that are made there."""

__all__ = ["SelectedRows", "cache_folder", "file_key", "fits_in_memory", "mapped_array"]

import errno
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from ptheta.data.dataset import Rows
from ptheta.files import explained, whole_file


class SelectedRows:
    """Some rows of others, in an order of their own, taken when they are asked for.

    Arguments:
        rows: The rows to take from.
        index: Which of them, with shape (rows,).
    """

    def __init__(self, rows: Rows, index: Tensor) -> None:
        self.rows = rows
        self.index = index

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Any, /) -> Tensor:
        if isinstance(index, Tensor):
            index = index.cpu()
        return self.rows[self.index[index]]


def fits_in_memory(size: int) -> bool:
    """Whether so many bytes fit in half of the memory that is free.

    Arguments:
        size: The number of bytes.
    """
    return size <= _free_memory() // 2


def _free_memory() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":") for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    if "SC_PHYS_PAGES" in os.sysconf_names:
        # all memory, where what is free is not told: half of it is still a safe amount
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 * 2**30


def cache_folder() -> Path:
    """The folder for what is fetched or converted: ``PTHETA_CACHE``, or the user's cache folder.

    Raises:
        CannotWrite: It cannot be made.
    """
    from pooch import os_cache

    given = os.environ.get("PTHETA_CACHE")
    folder = Path(given) if given else Path(os_cache("ptheta"))
    with explained(folder, _advice(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _advice(folder: Path) -> str:
    return (
        f"The cache folder is {folder}: make room there, or name another folder in the variable "
        "PTHETA_CACHE."
    )


def mapped_array(
    key: Sequence[object],
    shape: tuple[int, ...],
    dtype: DTypeLike,
    fill: Callable[[NDArray[Any]], object],
) -> NDArray[Any]:
    """An array on disk, made once and mapped into memory from then on.

    Arguments:
        key: What it is made from; another key is another array.
        shape: The shape.
        dtype: The dtype.
        fill: Writes the values.

    Returns:
        The array, read-only.

    Raises:
        CannotWrite: There is no room for it in the cache folder.
    """
    name = hashlib.sha256(repr((*key, shape, np.dtype(dtype).str)).encode()).hexdigest()[:32]
    path = cache_folder() / f"{name}.npy"
    if not path.exists():
        with whole_file(path, _advice(path.parent)) as temporary:
            array = _reserved(temporary, shape, dtype)
            fill(array)
            array.flush()
    return np.load(path, mmap_mode="r")


def _reserved(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> np.memmap[Any, Any]:
    """An array in a new file whose space on disk is taken, where the system can do so.

    A disk that is full is then an error here. Memory that is mapped to a file with holes would
    end the process at the first value that finds no room.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
    return array


def file_key(path: Path) -> tuple[object, ...]:
    """What tells a file from an earlier version of it: its place, size and time of change."""
    found = path.stat()
    return str(path.resolve()), found.st_size, found.st_mtime_ns
