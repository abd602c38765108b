import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ptheta.data.export import refuse_target, save_samples
from ptheta.data.load import load_data, load_rows
from ptheta.errors import PthetaError
from ptheta.fitting import fit
from ptheta.spaces import Binary, Categorical, Column, Discrete, Real, Table

MIXED = Table(
    (
        Column("size", Real(), missing=True),
        Column("grade", Discrete(levels=3, low=4)),
        Column("city", Categorical(categories=2, labels=("Aachen", "Bonn")), missing=True),
    )
)
ROWS = torch.tensor([[1.5, 0, 1], [math.nan, 2, 0], [0.1 + 0.2, 1, math.nan]]).double()
DIGITS = Discrete((1, 8, 8), 17, layout="image")


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl"])
def test_a_table_comes_back_as_it_was(tmp_path, ending):
    path = save_samples(ROWS, MIXED, tmp_path / f"a.{ending}")
    back = load_rows(path, MIXED).x
    torch.testing.assert_close(back, ROWS, equal_nan=True, rtol=1e-9, atol=0)


def test_a_table_is_written_decoded(tmp_path):
    path = save_samples(ROWS, MIXED, tmp_path / "a.csv")
    assert path.read_text().splitlines()[:3] == ["size,grade,city", "1.5,4,Bonn", ",6,Aachen"]


def test_a_table_in_an_npz_has_an_array_a_column(tmp_path):
    with np.load(save_samples(ROWS, MIXED, tmp_path / "a.npz"), allow_pickle=False) as found:
        assert found["grade"].tolist() == [4, 6, 5]
        assert found["city"].tolist() == ["Bonn", "Aachen", ""]
        np.testing.assert_array_equal(found["size"], ROWS[:, 0].numpy())


@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "parquet", "jsonl"])
@pytest.mark.parametrize(
    "space", [Real((3,)), Binary((4,)), Discrete((2,), 5, low=-2), DIGITS], ids=str
)
def test_vectors_and_images_come_back_as_they_were(tmp_path, space, ending):
    generator = torch.Generator().manual_seed(0)
    shape = (7, *space.shape)
    x = torch.randn(shape, generator=generator)
    if isinstance(space, Discrete):
        x = torch.randint(space.levels, shape, generator=generator).to(space.dtype)
    back = load_rows(save_samples(x, space, tmp_path / f"a.{ending}"), space).x
    torch.testing.assert_close(back, x, rtol=1e-6, atol=1e-6)


def test_columns_keep_their_names(tmp_path):
    path = save_samples(torch.zeros(2, 2), Real((2,)), tmp_path / "a.csv", columns=("u", "v"))
    assert list(pd.read_csv(path).columns) == ["u", "v"]


def test_text_is_written_as_text(tmp_path):
    space = Categorical((3,), 2, ("a", "b"), layout="sequence")
    path = save_samples(torch.tensor([[0, 1, 1], [1, 0, 0]]), space, tmp_path / "a.txt")
    assert path.read_text() == "abb\n\nbaa\n"


def test_images_are_written_as_a_grid_and_as_a_folder(tmp_path):
    x = torch.arange(17).repeat(4)[:64].reshape(1, 1, 8, 8).expand(10, 1, 8, 8)
    with Image.open(save_samples(x, DIGITS, tmp_path / "a.png")) as grid:
        assert grid.width > grid.height > 8
    folder = save_samples(x, DIGITS, tmp_path / "images")
    assert sorted(p.name for p in folder.iterdir()) == [f"{i:02}.png" for i in range(10)]
    with pytest.raises(PthetaError, match="is not empty"):
        save_samples(x, DIGITS, folder)


def test_points_in_the_plane_are_drawn(tmp_path):
    with Image.open(save_samples(torch.randn(50, 2), Real((2,)), tmp_path / "a.png")) as picture:
        assert np.asarray(picture.convert("L")).std() > 5


@pytest.mark.parametrize(
    ("space", "name", "message"),
    [
        (MIXED, "a.npy", "'city' holds categories.*csv"),
        (MIXED, "a.txt", "a table cannot be written as .txt"),
        (MIXED, "a.png", "cannot be drawn as .png"),
        (Real((3,)), "a.png", "cannot be drawn as .png"),
        (Real((3,)), "folder", "cannot be written to a folder of images"),
        (Real((3,)), "a.xlsx", r"a\.xlsx has an ending .* \.csv"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path, space, name, message):
    x = ROWS if space is MIXED else torch.zeros(2, 3)
    with pytest.raises(PthetaError, match=message):
        save_samples(x, space, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = save_samples(torch.zeros(2, 2), Real((2,)), tmp_path / "a.npy")

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(PthetaError, match="No space"):
        save_samples(torch.ones(2, 2), Real((2,)), path)
    assert np.load(path).tolist() == [[0, 0], [0, 0]]
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]


def test_a_folder_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    x = torch.zeros(3, 1, 8, 8)
    with pytest.raises(PthetaError, match=r"cannot write .*images: No space left on device\. Noth"):
        save_samples(x, DIGITS, tmp_path / "images")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_images_is_not_written_where_a_file_is(tmp_path):
    (tmp_path / "a").write_text("mine")
    x = torch.zeros(3, 1, 8, 8)
    with pytest.raises(PthetaError, match=r"a is a file, .* Name a new folder, or give an ending"):
        save_samples(x, DIGITS, tmp_path / "a")
    with pytest.raises(PthetaError, match="cannot write .*: Not a directory"):
        save_samples(x, DIGITS, tmp_path / "a" / "images")
    assert (tmp_path / "a").read_text() == "mine"


@pytest.mark.parametrize(
    ("space", "name", "said"),
    [
        (Real((3,)), "x.flac", r"x\.flac has an ending that is not known"),
        (Real((3,)), "x.png", r"cannot be drawn as \.png"),
        (Real((3,)), "x.wav", "is no sound"),
        (Real((3,)), "x", "cannot be written to a folder of images"),
        (Table((Column("a", Real()),)), "x.txt", r"a table cannot be written as \.txt"),
    ],
)
def test_a_place_that_cannot_be_written_is_known_before_anything_is_drawn(
    space, name, said, tmp_path
):
    with pytest.raises(PthetaError, match=said):
        refuse_target(tmp_path / name, space)


def test_the_command_looks_where_it_writes_before_it_draws(tmp_path, monkeypatch, exit_code):
    fit(load_data(torch.randn(60, 3)), "gmm", steps=1, out=tmp_path / "run")
    monkeypatch.setattr("ptheta.density.draw", lambda *_, **__: pytest.fail("it drew"))
    assert exit_code("sample", tmp_path / "run", "-o", tmp_path / "x.flac") == 2
