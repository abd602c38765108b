import gzip
import hashlib
import json
import os

import numpy as np
import pytest
import torch

from ptheta.data.load import load_data
from ptheta.data.mu_law import compressed
from ptheta.data.standard import STANDARD
from ptheta.errors import PthetaError
from ptheta.spaces import Binary, Categorical, Discrete, Real, Table

BENCHMARKS = os.environ.get("PTHETA_DATA")
with_benchmarks = pytest.mark.skipif(not BENCHMARKS, reason="PTHETA_DATA is not set")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A miniature of the folder of benchmark data."""
    monkeypatch.setenv("PTHETA_DATA", str(tmp_path))
    return tmp_path


def enter(folder):
    """Writes a manifest of the files that are there."""
    entries = [
        {"file": str(path.relative_to(folder)), "sha256": hashlib.sha256(data).hexdigest()}
        for path in folder.rglob("*.*")
        if path.is_file() and (data := path.read_bytes())
    ]
    (folder / "manifest.json").write_text(json.dumps({"entries": entries}))


def bits(n, size, seed):
    return np.random.default_rng(seed).integers(0, 2, (n, size)).astype(np.uint8)


def save(folder, file, **arrays):
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def test_packed_bits_are_unpacked_into_the_official_splits(folder):
    splits = {"train": bits(9, 11, 0), "valid": bits(4, 11, 1), "test": bits(5, 11, 2)}
    packed = {name: np.packbits(rows, axis=1) for name, rows in splits.items()}
    save(folder, "binary/dna.npz", n_vars=11, **packed)
    enter(folder)
    data = load_data("dna")
    assert data.space == Binary((11,))
    for split, rows in zip((data.train, data.validation, data.test), splits.values(), strict=True):
        assert np.array_equal(split.x[:], rows)


def test_differences_are_summed_to_pixels(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (5000, 3, 2, 2)).astype(np.uint8)
    coded = pixels.copy()
    coded[:, 0] -= pixels[:, 1]
    coded[:, 2] -= pixels[:, 1]
    coded = np.diff(np.diff(coded, axis=2, prepend=np.uint8(0)), axis=3, prepend=np.uint8(0))
    save(
        folder,
        "images/cifar10_subset.npz",
        train_residual=coded[:4000],
        test_residual=coded[4000:],
        train_labels=np.arange(4000, dtype=np.uint8) % 2,
        test_labels=np.arange(1000, dtype=np.uint8) % 2,
        class_names=np.array(["cat", "dog"]),
    )
    enter(folder)
    data = load_data("cifar10-subset", context="label")
    assert np.array_equal(data.test.x[:], pixels[4000:])
    assert data.context_space == Categorical((), 2, ("cat", "dog"))
    assert "subset" in " ".join(data.notes)


def test_a_uci_table_has_names_and_the_first_official_split(folder):
    x = np.random.default_rng(0).normal(size=(40, 5))
    mask = np.zeros((2, 40), dtype=np.uint8)
    mask[0, ::10] = 1
    save(
        folder,
        "tabular/uci/power_plant.npz",
        data=x,
        test_mask=np.packbits(mask, axis=1),
        n_rows=40,
    )
    enter(folder)
    data = load_data("power-plant")
    assert data.columns == ("temperature", "vacuum", "pressure", "humidity", "output")
    assert np.array_equal(data.test.x[:], x[::10].astype(np.float32))
    # validation rows are a tenth of the other 36
    assert (len(data.train), len(data.validation)) == (32, 4)


def test_text_is_split_in_order(folder):
    text = "".join(map(chr, np.random.default_rng(0).integers(97, 100, 6400)))
    path = folder / "text/tinyshakespeare.txt.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(text.encode()))
    enter(folder)
    data = load_data("shakespeare")
    rows = torch.cat([split.x[:] for split in (data.train, data.validation, data.test)])
    assert "".join(data.space.labels[code] for code in rows.flatten().tolist()) == text
    assert (len(data.train), len(data.validation), len(data.test)) == (80, 10, 10)


def test_bytes_of_sound_are_put_together_and_split_by_take(folder):
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 40 * 30).astype(np.int16)
    save(
        folder,
        "audio/fsdd_subset.npz",
        audio_hi=(samples.view(np.uint16) >> 8).astype(np.uint8),
        audio_lo=(samples.view(np.uint16) & 255).astype(np.uint8),
        length=np.full(40, 30, dtype=np.int32),
        digit=np.repeat(np.arange(4, dtype=np.uint8), 10),
        speaker=np.tile(np.arange(2, dtype=np.uint8), 20),
        take=np.tile(np.arange(10, dtype=np.uint8), 4),
        speaker_names=np.array(["theo", "jackson"]),
        sample_rate=8000,
    )
    enter(folder)
    data = load_data("spoken-digits", context="speaker", window=15)
    assert data.context_space == Categorical((), 2, ("jackson", "theo"))
    official = compressed((samples.reshape(40, 2, 15) / 2**15).astype(np.float32))
    tests = np.tile(np.arange(10), 4) < 5
    assert np.array_equal(data.test.x, official[tests].reshape(-1, 15))
    assert data.test.context.tolist() == [1, 1, 0, 0, 1, 1, 0, 0, 1, 1] * 4
    assert len(data.train) + len(data.validation) == 40


def test_a_file_with_another_hash_counts_as_absent(folder):
    save(folder, "tabular/miniboone_head.npz", data=np.zeros((10, 4)))
    enter(folder)
    save(folder, "tabular/miniboone_head.npz", data=np.ones((10, 4)))
    with pytest.raises(PthetaError, match="is not the file that the manifest describes"):
        load_data("miniboone-head")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, r"PTHETA_DATA is not set\) and cannot be fetched. Set PTHETA_DATA"),
        ("nowhere", "PTHETA_DATA, nowhere, holds no manifest.json"),
    ],
)
def test_without_the_folder_the_sentence_says_what_to_do(monkeypatch, given, message):
    monkeypatch.delenv("PTHETA_DATA", raising=False)
    if given:
        monkeypatch.setenv("PTHETA_DATA", given)
    with pytest.raises(PthetaError, match=message):
        load_data("miniboone-head")


@with_benchmarks
@pytest.mark.parametrize(
    ("name", "space", "rows"),
    [
        ("mnist", Discrete((1, 28, 28), 256, layout="image"), (50000, 10000, 10000)),
        ("binarized-mnist", Binary((1, 28, 28), "image"), (50000, 10000, 10000)),
        ("omniglot", Discrete((1, 28, 28), 256, layout="image"), (21911, 2434, 8115)),
        ("freyfaces", Discrete((1, 28, 20), 256, layout="image"), (1565, 200, 200)),
        ("cifar10-subset", Discrete((3, 32, 32), 256, layout="image"), (3600, 400, 1000)),
        ("nltcs", Binary((16,)), (16181, 2157, 3236)),
        ("adult-binary", Binary((123,)), (5000, 1414, 26147)),
        ("concrete", Real((9,)), (834, 93, 103)),
        (
            "spoken-digits",
            Discrete((1024,), 256, layout="sequence", rate=8000),
            (1563, 178, 860),
        ),
        ("miniboone-head", Real((43,)), (1066, 152, 305)),
    ],
)
def test_benchmarks_have_their_official_sizes(name, space, rows):
    data = load_data(name)
    assert data.space == space
    assert (len(data.train), len(data.validation), len(data.test)) == rows
    assert space.contains(data.test.x[:]).all()


@with_benchmarks
def test_mnist_looks_like_mnist():
    data = load_data("mnist", context="label")
    # the mean grey value of the 70,000 images is known to be 33.4 or so
    assert float(data.train.x[:].float().mean()) == pytest.approx(33.3, abs=0.5)
    assert torch.bincount(data.test.context).tolist()[:3] == [980, 1135, 1032]


@with_benchmarks
def test_adult_is_mixed_with_gaps_and_its_official_test_rows():
    data = load_data("adult", context="income")
    assert isinstance(data.space, Table)
    kinds = {column.name: column.space.kind for column in data.space.columns}
    assert (kinds["age"], kinds["education"]) == ("real", "categorical")
    gaps = {column.name for column in data.space.columns if column.missing}
    assert gaps == {"workclass", "occupation", "native_country"}
    assert len(data.test) == 16281
    assert int((data.test.context == 1).sum()) == 3846  # above 50,000


@with_benchmarks
def test_cifar10_is_the_subset_by_its_own_name_where_only_that_is_at_hand(monkeypatch):
    def unreachable():
        raise PthetaError("the hub cannot be reached.")

    from ptheta.data import standard

    monkeypatch.setattr(standard, "FETCHERS", {"cifar10": unreachable})
    data = load_data("cifar10")
    assert data.name == "cifar10-subset"
    assert any("subset" in note for note in data.notes)


@with_benchmarks
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STANDARD if name != "cifar10"])
def test_every_benchmark_loads_and_lies_in_its_space(name):
    data = load_data(name)
    for split in (data.train, data.validation, data.test):
        assert data.space.contains(split.x[:]).all()
