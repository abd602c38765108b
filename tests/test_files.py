import os
import pickle
import sys
from pathlib import Path

import pytest

from ptheta.errors import PthetaError
from ptheta.files import CannotWrite, refuse_unwritable, replacing, whole_file, whole_folder


@pytest.fixture
def _full(monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)


def test_a_file_and_its_folders_are_written(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as file:
        assert file.suffix == ".txt"
        file.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_file_has_the_mode_that_any_new_file_has(tmp_path):
    (tmp_path / "plain").touch()
    with whole_file(tmp_path / "a") as file:
        file.touch()
    with whole_folder(tmp_path / "b"):
        pass
    (tmp_path / "folder").mkdir()
    modes = {p.name: p.stat().st_mode for p in tmp_path.iterdir()}
    assert modes["a"] == modes["plain"]
    assert modes["b"] == modes["folder"]


@pytest.mark.usefixtures("_full")
def test_a_full_disk_is_a_sentence_and_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with (
        pytest.raises(CannotWrite) as caught,
        whole_file(path, "Make room.") as file,
    ):
        file.write_text("new")
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device. Nothing was left half written. Make room."
    )
    assert isinstance(caught.value, PthetaError)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("writing", [replacing, whole_file, whole_folder])
def test_any_other_error_stays_itself_and_leaves_nothing(tmp_path, writing):
    def fail():
        with writing(tmp_path / "a") as place:
            assert place.parent == tmp_path
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_and_those_above_it_are_written(tmp_path):
    with whole_folder(tmp_path / "new" / "a") as folder:
        (folder / "1.txt").write_text("one")
    assert (tmp_path / "new" / "a" / "1.txt").read_text() == "one"


def test_a_folder_that_fails_is_not_there(tmp_path):
    def fail():
        with whole_folder(tmp_path / "new") as folder:
            (folder / "1.txt").write_text("one")
            raise OSError(28, "No space left on device")

    with pytest.raises(CannotWrite, match=r"new: No space left on device\. Nothing was left half"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_found_beforehand(tmp_path):
    (tmp_path / "file").write_text("mine")
    refuse_unwritable(tmp_path / "file")
    refuse_unwritable(tmp_path / "new" / "newer" / "r.html", 2**20)
    assert (tmp_path / "file").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    with pytest.raises(CannotWrite, match=r"it is a folder\. Name another file\."):
        refuse_unwritable(tmp_path)
    with pytest.raises(CannotWrite, match=r"file/r\.html: Not a directory\. Nothing was left"):
        refuse_unwritable(tmp_path / "file" / "r.html")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no devices among files")
def test_a_device_is_not_replaced():
    with (
        pytest.raises(CannotWrite, match="it is no plain file"),
        whole_file(Path(os.devnull)),
    ):
        pass


def test_the_error_survives_the_way_from_another_process():
    error = pickle.loads(pickle.dumps(CannotWrite("cannot write a.", "Make room.")))
    assert str(error) == "cannot write a. Make room."
    assert error.fact == "cannot write a."
