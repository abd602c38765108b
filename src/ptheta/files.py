"""Files and folders that are written whole or not at all."""

__all__ = [
    "CannotWrite",
    "explained",
    "refuse_unwritable",
    "replacing",
    "whole_file",
    "whole_folder",
]

import errno
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ptheta.errors import PthetaError


class CannotWrite(PthetaError):
    """The disk is full, or the place cannot be written to: nothing that was asked for is at fault.

    Arguments:
        fact: What cannot be written, where and why; whole sentences.
        advice: What to do about it; empty where that is plain.
    """

    def __init__(self, fact: str, advice: str = "") -> None:
        super().__init__(f"{fact} {advice}".rstrip())
        self.fact = fact


@contextmanager
def explained(path: Path, advice: str = "") -> Generator[None]:
    """Makes an error of the system in writing a path the sentence that a person reads.

    Arguments:
        path: What is written.
        advice: What to do about it.

    Raises:
        CannotWrite: It could not be written.
    """
    try:
        yield
    except OSError as error:
        fact = f"cannot write {path}: {error.strerror or error}. Nothing was left half written."
        raise CannotWrite(fact, advice) from None


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A new file beside a path, which is flushed to disk and takes its place at the end.

    Where anything fails, the file is removed, and what was at the path stays as it was.

    Arguments:
        path: The file to write, in a folder that exists.

    Yields:
        The file to write to, empty, with the same ending.

    Raises:
        OSError: It could not be written.
    """
    handle, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def whole_file(path: Path, advice: str = "") -> Generator[Path]:
    """As `replacing`, for a person: folders are made, and an error is a sentence.

    Arguments:
        path: The file to write.
        advice: What to do where it cannot be written.

    Yields:
        The file to write to, empty, with the same ending.

    Raises:
        CannotWrite: It could not be written, or it is no plain file.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with whole_file(Path(folder, "new", "a.txt")) as file:
        ...         _ = file.write_text("whole")
        ...     Path(folder, "new", "a.txt").read_text()
        'whole'
    """
    with explained(path, advice):
        _refuse_other_kinds(path)
        _make_folder(path.parent)
        with replacing(path) as temporary:
            yield temporary


@contextmanager
def whole_folder(path: Path) -> Generator[Path]:
    """A new folder beside a path, which takes its place at the end.

    Arguments:
        path: The folder to write: new, or empty.

    Yields:
        The folder to write in.

    Raises:
        CannotWrite: It could not be written.
    """
    with explained(path):
        _make_folder(path.parent)
        temporary = Path(tempfile.mkdtemp(prefix=".", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            temporary.replace(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def refuse_unwritable(path: Path, size: int = 1) -> None:
    """Finds out, before long work, whether a file can be written in the end.

    Arguments:
        path: The file. It and its folders are left as they are.
        size: The bytes that there must be room for.

    Raises:
        CannotWrite: It cannot be written, or it is no plain file.
    """
    with explained(path):
        _refuse_other_kinds(path)
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(size))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        # "File exists" would not say that the file is in the way of a folder
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None


def _refuse_other_kinds(path: Path) -> None:
    # a rename would put a file in the place of a device such as /dev/null
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no plain file"
        raise CannotWrite(f"cannot write {path}: it is {kind}.", "Name another file.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
