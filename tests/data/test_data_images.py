from zlib import crc32

import numpy as np
import pytest
import torch
from PIL import Image

from ptheta.data.images import example_image, image_grid, read_images
from ptheta.data.load import load_data, load_rows
from ptheta.errors import PthetaError
from ptheta.spaces import Discrete, Real


def save(path, size=(6, 4), mode="RGB", value=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], len(mode))
    pixels = np.random.default_rng(crc32(path.name.encode())).integers(0, 256, shape)
    pixels = pixels if value is None else np.full(shape, value)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return pixels


def test_a_folder_is_read_in_order_of_names_with_its_pixels(tmp_path):
    expected = [save(tmp_path / f"{name}.png") for name in ("b", "a", "c")]
    found = read_images(tmp_path)
    assert found.x.shape == (3, 3, 4, 6)
    assert np.array_equal(found.x[1].transpose(1, 2, 0), expected[0])
    assert found.space == Discrete((3, 4, 6), 256, layout="image")


def test_grey_images_have_one_channel_and_one_colour_image_gives_all_three(tmp_path):
    for name in "abc":
        save(tmp_path / f"{name}.png", mode="L")
    assert read_images(tmp_path).x.shape == (3, 1, 4, 6)
    save(tmp_path / "d.png")
    assert read_images(tmp_path).x.shape == (4, 3, 4, 6)


def test_class_folders_are_the_label(tmp_path):
    for i in range(12):
        save(tmp_path / ("cat" if i % 3 else "dog") / f"{i}.png", value=10 if i % 3 else 200)
    data = load_data(tmp_path, context="label")
    assert data.context_space.labels == ("cat", "dog")
    pixel = data.train.x[:][:, 0, 0, 0]
    assert torch.equal(data.train.context, (pixel == 200).long())


def test_folders_train_and_test_are_the_splits(tmp_path):
    for part, value in (("train", 1), ("val", 2), ("test", 3)):
        for i in range(4):
            save(tmp_path / part / f"{i}.png", value=value)
    data = load_data(tmp_path)
    splits = (data.train, data.validation, data.test)
    assert [split.x[:].unique().tolist() for split in splits] == [[1], [2], [3]]


def test_sizes_that_differ_are_refused_with_an_offer_that_works(tmp_path):
    for name in "abc":
        save(tmp_path / f"{name}.png", size=(6, 4))
    save(tmp_path / "d.png", size=(9, 8))
    with pytest.raises(PthetaError, match=r"a\.png is 6 x 4, d\.png is 9 x 8.*--size 4"):
        load_data(tmp_path)
    assert load_data(tmp_path, image_size=4).space.shape == (3, 4, 4)


def test_an_image_that_cannot_be_read_is_left_out_and_counted(tmp_path):
    for name in "abcd":
        save(tmp_path / f"{name}.png")
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "e.jpg").write_bytes(b"junk")
    data = load_data(tmp_path)
    assert len(data.train) + len(data.validation) + len(data.test) == 3
    assert any("2 images could not be read" in note and "'b.png'" in note for note in data.notes)
    with pytest.raises(PthetaError, match=r"b\.png cannot be read as an image"):
        load_data(tmp_path, strict=True)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(PthetaError, match="holds no images"):
        load_data(tmp_path)
    (tmp_path / "a.png").write_bytes(b"junk")
    with pytest.raises(PthetaError, match="none of the 1 images"):
        load_data(tmp_path)


def test_streamed_pixels_are_those_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("PTHETA_CACHE", str(tmp_path / "cache"))
    for i in range(10):
        save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "photos" / "x.png").write_bytes(b"junk")
    disk, memory = (load_data(tmp_path / "photos", stream=stream) for stream in (True, False))
    assert not isinstance(disk.train.x, torch.Tensor)
    assert torch.equal(disk.train.x[:], memory.train.x[:])
    assert disk.notes == memory.notes


def test_rotated_photographs_are_turned_upright(tmp_path):
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    found = read_images(tmp_path)
    assert np.array_equal(found.x[0, 0], np.rot90(pixels, -1))


def test_images_of_another_size_cannot_be_scored_unless_they_are_scaled(tmp_path):
    for name in "abc":
        save(tmp_path / f"{name}.png", size=(8, 8), mode="L")
    space = Discrete((1, 4, 4), 256, layout="image")
    with pytest.raises(PthetaError, match="shape 1 x 8 x 8, but 256 levels, image 1 x 4 x 4"):
        load_rows(tmp_path, space)
    assert load_rows(tmp_path, space, image_size=4).x.shape == (3, 1, 4, 4)


def test_colour_is_refused_where_grey_is_expected_and_grey_in_three_channels_is_not(tmp_path):
    space = Discrete((1, 4, 6), 256, layout="image")
    pixels = save(tmp_path / "a.png", mode="L")
    Image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(tmp_path / "b.png")
    assert torch.equal(*load_rows(tmp_path, space).x)
    save(tmp_path / "cats" / "c.png")
    with pytest.raises(PthetaError, match=r"cats/c\.png is in colour, and grey images"):
        load_rows(tmp_path, space)


def test_sixteen_bits_are_scaled_not_cut_off(tmp_path):
    pixels = np.array([[0, 257, 65535], [32896, 255, 1000]], dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_images(tmp_path).x[0, 0].tolist() == [[0, 1, 255], [128, 0, 3]]


def test_example_image_spreads_levels_over_grey_values():
    space = Discrete((1, 1, 3), 17, layout="image")
    image = example_image(torch.tensor([[[0, 8, 16]]]), space)
    assert np.asarray(image).tolist() == [[0, 128, 255]]


def test_grid_places_examples_row_by_row():
    space = Discrete((1, 2, 2), 256, layout="image")
    x = torch.arange(1, 6).reshape(5, 1, 1, 1).expand(5, 1, 2, 2) * 50
    grid = np.asarray(image_grid(x, space, columns=3, zoom=1))
    # two rows of three cells of 2 x 2 pixels, with lines of 2 pixels around them
    assert grid.shape == (2 * 4 + 2, 3 * 4 + 2)
    corners = [grid[2 + 4 * (i // 3), 2 + 4 * (i % 3)] for i in range(6)]
    assert corners == [50, 100, 150, 200, 250, 128]


def test_only_images_can_be_shown():
    with pytest.raises(PthetaError, match="cannot be shown as images"):
        image_grid(torch.zeros(2, 3), Real((3,)))
