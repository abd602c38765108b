"""Fetchers against miniatures served on localhost."""

import functools
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from ptheta.data import fetch, homes, standard
from ptheta.data.interpret import interpret
from ptheta.data.load import load_data
from ptheta.errors import PthetaError
from ptheta.spaces import Binary


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder, and the address at which it is served."""
    monkeypatch.setenv("PTHETA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PTHETA_DATA", raising=False)
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def amat(rows):
    return "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()


def binarized(folder):
    generator = np.random.default_rng(0)
    rows = {part: generator.integers(0, 2, (4, 784)) for part in ("train", "valid", "test")}
    digests = {}
    for part, x in rows.items():
        data = amat(x)
        (folder / f"binarized_mnist_{part}.amat").write_bytes(data)
        digests[part] = hashlib.sha256(data).hexdigest()
    return rows, digests


def test_binarized_mnist_comes_from_its_public_home_with_its_splits(served, monkeypatch):
    folder, base = served
    rows, digests = binarized(folder)
    fetcher = functools.partial(homes.binarized_mnist, base, digests)
    monkeypatch.setattr(standard, "FETCHERS", {"binarized-mnist": fetcher})
    data = load_data("binarized-mnist")
    assert data.space == Binary((1, 28, 28), "image")
    for split, x in zip((data.train, data.validation, data.test), rows.values(), strict=True):
        assert np.array_equal(split.x[:].reshape(-1, 784), x)


def test_what_was_fetched_is_not_fetched_again(served):
    folder, base = served
    _, digests = binarized(folder)
    homes.binarized_mnist(base, digests)
    for path in folder.iterdir():
        path.unlink()
    assert len(homes.binarized_mnist(base, digests).x) == 12


def test_a_file_that_is_not_the_known_one_is_refused_and_not_kept(served):
    folder, base = served
    _, digests = binarized(folder)
    (folder / "binarized_mnist_valid.amat").write_bytes(b"1 0\n")
    with pytest.raises(PthetaError, match="is not the known file"):
        homes.binarized_mnist(base, digests)


def test_the_known_hashes_are_those_of_the_folder_s_copy():
    folder = os.environ.get("PTHETA_DATA")
    if not folder:
        pytest.skip("PTHETA_DATA is not set")
    with np.load(f"{folder}/images/binarized_mnist.npz") as found:
        rows = np.unpackbits(found["test"], axis=1)[:, :784]
    text = np.full((len(rows), 2 * 784), ord(" "), dtype=np.uint8)
    text[:, ::2] = rows + ord("0")
    text[:, -1] = ord("\n")
    # the official file, written again from its bits
    assert hashlib.sha256(text).hexdigest() == homes._BINARIZED_MNIST_SHA256["test"]


def test_a_binary_density_set_comes_from_its_collection(served):
    folder, base = served
    (folder / "dna").mkdir()
    generator = np.random.default_rng(0)
    rows = {part: generator.integers(0, 2, (5, 9)) for part in ("train", "valid", "test")}
    for part, x in rows.items():
        text = "\n".join(",".join(map(str, row)) for row in x)  # no line end at the end
        (folder / "dna" / f"dna.{part}.data").write_text(text)
    found = homes.debd("dna", base)
    assert np.array_equal(found.x, np.concatenate(list(rows.values())))
    assert found.parts["validation"].tolist() == [5, 6, 7, 8, 9]


def test_shakespeare_comes_from_its_public_home(served):
    folder, base = served
    text = "to be or not to be, that is the question\n" * 50
    (folder / "input.txt").write_text(text)
    found = homes.shakespeare(base, hashlib.sha256(text.encode()).hexdigest())
    assert found.text == text


def test_without_network_and_folder_the_sentence_says_what_to_do(served, monkeypatch):
    nobody = functools.partial(homes.binarized_mnist, "http://127.0.0.1:9", {"train": "0" * 64})
    monkeypatch.setattr(standard, "FETCHERS", {"binarized-mnist": nobody})
    message = (
        "not at hand .*PTHETA_DATA is not set.*cannot be reached.*Connect .*or set PTHETA_DATA"
    )
    with pytest.raises(PthetaError, match=message):
        load_data("binarized-mnist")


def test_a_table_comes_from_openml(served, monkeypatch):
    import sklearn.datasets._openml as openml

    folder, base = served
    arff = (
        "@RELATION tiny\n@ATTRIBUTE size REAL\n@ATTRIBUTE city {Aachen,Bonn}\n@DATA\n"
        + "".join(f"{i / 7},{'Bonn' if i % 2 else 'Aachen'}\n" for i in range(20))
    ).encode()
    serve_openml(folder, arff)
    for name in ("_DATA_INFO", "_DATA_FEATURES", "_DATA_QUALITIES"):
        address = getattr(openml, name).replace("https://www.openml.org", base)
        monkeypatch.setattr(openml, name, address)
    real = openml._open_openml_url
    monkeypatch.setattr(
        openml,
        "_open_openml_url",
        lambda url, *args, **kwargs: real(
            url.replace("https://www.openml.org", base), *args, **kwargs
        ),
    )
    fetcher = functools.partial(homes.openml, 42, "adult", 20)
    monkeypatch.setattr(standard, "FETCHERS", {"adult": fetcher})
    data = load_data("adult", context="city")
    assert data.columns == ("size",)
    assert data.context_space.labels == ("Aachen", "Bonn")
    assert any("From OpenML" in note for note in data.notes)


def written(archive, images):
    import zipfile

    with zipfile.ZipFile(archive, "w") as out:
        for name, image in images.items():
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "PNG")
            out.writestr(name, stream.getvalue())
    return "md5:" + hashlib.md5(archive.read_bytes()).hexdigest()


def test_omniglot_is_reduced_by_area_with_bright_ink_and_split_by_drawer(served):
    folder, base = served
    paper = np.full((105, 105), True)
    inked = paper.copy()
    inked[:15, :15] = False  # four by four of the 28 x 28 pixels
    digests = {
        "images_background.zip": written(
            folder / "images_background.zip",
            {
                "images_background/Greek/character02/0002_16.png": paper,
                "images_background/Greek/character01/0001_01.png": inked,
            },
        ),
        "images_evaluation.zip": written(
            folder / "images_evaluation.zip",
            {"images_evaluation/Angelic/character01/0965_15.png": paper},
        ),
    }
    found = homes.omniglot(base, digests)
    assert found.x.shape == (3, 1, 28, 28)
    assert (found.x[0, 0, :4, :4] == 255).all()
    assert found.x.sum() == 16 * 255
    assert found.labels["label"].tolist() == ["Greek", "Greek", "Angelic"]
    assert found.parts["train"].tolist() == [0, 2]
    assert found.parts["test"].tolist() == [1]


def test_freyfaces_are_the_rows_of_a_matlab_file(served):
    from scipy.io import savemat

    folder, base = served
    faces = np.random.default_rng(0).integers(0, 256, (6, 28, 20)).astype(np.uint8)
    savemat(folder / "frey_rawface.mat", {"ff": faces.reshape(6, 560).T})
    found = homes.freyfaces(base, hashlib.sha256(faces.tobytes()).hexdigest())
    assert np.array_equal(found.x[:, 0], faces)
    with pytest.raises(PthetaError, match="is not the known data"):
        homes.freyfaces(base, "0" * 64)


def test_a_uci_table_comes_with_the_first_of_its_usual_splits(served):
    folder, base = served
    (folder / "yacht" / "data").mkdir(parents=True)
    values = np.random.default_rng(0).normal(size=(10, 2)).round(3)
    lines = "\n".join("  ".join(map(str, row)) + " " for row in values)
    (folder / "yacht" / "data" / "data.txt").write_text(lines)
    rows = {"train": [3, 1, 0, 2, 5, 6, 7, 8], "test": [9, 4]}
    for part, index in rows.items():
        text = "".join(f"{i}.000000000000000000e+00\n" for i in index)
        (folder / "yacht" / "data" / f"index_{part}_0.txt").write_text(text)
    found = homes.uci("yacht", "a b", hashlib.sha256(values.tobytes()).hexdigest(), base)
    assert np.array_equal(found.frame.to_numpy(), values)
    assert {part: index.tolist() for part, index in found.parts.items()} == rows
    with pytest.raises(PthetaError, match="is not the known data"):
        homes.uci("yacht", "a b", "0" * 64, base)


@pytest.mark.skipif(not os.environ.get("PTHETA_DATA"), reason="PTHETA_DATA is not set")
def test_the_known_values_are_those_of_the_folder_s_copy():
    folder = os.environ["PTHETA_DATA"]
    for name, digest in {
        "power_plant": homes._POWER_PLANT_VALUES,
        "yacht": homes._YACHT_VALUES,
    }.items():
        with np.load(f"{folder}/tabular/uci/{name}.npz") as found:
            assert hashlib.sha256(found["data"].tobytes()).hexdigest() == digest
    with np.load(f"{folder}/images/freyfaces.npz") as found:
        assert hashlib.sha256(found["images"].tobytes()).hexdigest() == homes._FREYFACES_VALUES
    with np.load(f"{folder}/audio/fsdd_subset.npz") as found:
        samples = (found["audio_hi"].astype("<u2") << 8) + found["audio_lo"]
        assert hashlib.sha256(samples.tobytes()).hexdigest() == homes._SPOKEN_DIGITS_VALUES


def test_translations_are_sentences_conditioned_on_sentences(served, monkeypatch):
    import zipfile

    folder, base = served
    # a mark that ends a line elsewhere is a character here
    lines = [f"Go {i}!\tVa {i}\u2028!\tCC-BY" for i in range(40)]
    with zipfile.ZipFile(folder / "fra-eng.zip", "w") as out:
        out.writestr("fra-eng/fra.txt", "\n".join(lines) + "\n")
    digest = "sha1:" + hashlib.sha1((folder / "fra-eng.zip").read_bytes()).hexdigest()
    fetcher = functools.partial(homes.eng_fra, base, digest)
    monkeypatch.setattr(standard, "FETCHERS", {"eng-fra": fetcher})
    data = load_data("eng-fra", context="english")
    assert data.space.shape == (7,)
    assert data.context_space.shape == (6,)
    french = "".join(data.space.labels[code] for code in data.test.x[0].tolist())
    english = "".join(data.context_space.labels[code] for code in data.test.context[0].tolist())
    assert english == f"Go {french.split()[1]}!"


def test_spoken_digits_are_the_takes_that_are_known(served, monkeypatch):
    import zipfile

    import soundfile

    folder, base = served
    takes = {
        (digit, speaker, take): np.tile([-1, 1], 10).astype(np.int16) * (1000 + 7000 * digit + take)
        for digit in (0, 1)
        for speaker in ("george", "theo")
        for take in (0, 4, 5, 6, 7, 14, 15, 49)
    }
    with zipfile.ZipFile(folder / "master.zip", "w") as out:
        for (digit, speaker, take), samples in reversed(takes.items()):
            file = io.BytesIO()
            soundfile.write(file, samples, 8000, format="WAV")
            name = f"fsdd-master/recordings/{digit}_{speaker}_{take}.wav"
            out.writestr(name, file.getvalue())
    known = np.concatenate([samples for key, samples in sorted(takes.items()) if key[2] < 15])
    digest = hashlib.sha256(known.tobytes()).hexdigest()
    fetcher = functools.partial(homes.spoken_digits, base, digest)
    monkeypatch.setattr(standard, "FETCHERS", {"spoken-digits": fetcher})
    data = load_data("spoken-digits", context="digit", window=10)
    assert data.space.rate == 8000
    # two takes of two digits by two speakers are test recordings, and each has two windows
    assert len(data.test) == 2 * 2 * 2 * 2
    assert len(data.train) + len(data.validation) == 2 * 2 * 4 * 2
    loud = data.test.x.amax(dim=1) >= 200  # those that say one are
    assert data.test.context.tolist() == loud.int().tolist()
    with pytest.raises(PthetaError, match="is not the known data"):
        homes.spoken_digits(base, "0" * 64)


def test_a_table_of_openml_with_other_rows_is_refused(monkeypatch):
    import pandas as pd

    monkeypatch.setattr(homes, "fetch_openml", lambda data_id: pd.DataFrame({"a": [1.0, 2.0]}))
    with pytest.raises(PthetaError, match="it has 2 rows, not 3"):
        homes.openml(42, "tiny", 3)


def test_every_standard_set_but_fragments_has_a_home():
    without = [
        name
        for name, set_ in standard.STANDARD.items()
        if isinstance(set_, standard.Standard) and name not in homes.FETCHERS
    ]
    assert without == ["cifar10-subset", "miniboone-head", "eng-fra-subset"]


def serve_openml(folder, arff):
    """The pages that scikit-learn asks OpenML for, as files."""
    info = {
        "id": "42",
        "name": "tiny",
        "version": "1",
        "format": "ARFF",
        "file_id": "7",
        "url": "https://www.openml.org/data/v1/download/7/tiny.arff",
        "md5_checksum": hashlib.md5(arff).hexdigest(),
        "status": "active",
        "description": "A miniature.",
        "default_target_attribute": "city",
    }
    features = [
        feature(0, "size", "numeric", "false"),
        feature(1, "city", "nominal", "true"),
    ]
    pages = {
        "api/v1/json/data/42": {"data_set_description": info},
        "api/v1/json/data/features/42": {"data_features": {"feature": features}},
        "api/v1/json/data/qualities/42": {
            "data_qualities": {"quality": [{"name": "NumberOfInstances", "value": "20"}]}
        },
    }
    for name, page in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(page))
    path = folder / "data/v1/download/7/tiny.arff"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(arff)


def feature(index, name, kind, target):
    return {
        "index": str(index),
        "name": name,
        "data_type": kind,
        "is_target": target,
        "is_ignore": "false",
        "is_row_identifier": "false",
        "number_of_missing_values": "0",
    }


def png(value):
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def mnist_like(path, rows):
    """A data set as the hub keeps MNIST: Parquet of images and class labels."""
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as ImageFeature

    features = Features({"image": ImageFeature(), "label": ClassLabel(names=["no", "yes"])})
    columns = {
        "image": [{"bytes": png(value), "path": None} for value in rows],
        "label": [value % 2 for value in rows],
    }
    Dataset.from_dict(columns, features=features).to_parquet(path)


def test_images_of_the_hub_become_arrays_with_labels_and_splits(tmp_path):
    from datasets import load_dataset

    mnist_like(tmp_path / "train.parquet", range(30))
    mnist_like(tmp_path / "test.parquet", range(100, 110))
    files = {part: str(tmp_path / f"{part}.parquet") for part in ("train", "test")}
    found = load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    contents = fetch._from_dataset(found, "hf:tiny")
    assert contents.x.shape == (40, 1, 4, 4)
    assert contents.x[:, 0, 0, 0].tolist() == [*range(30), *range(100, 110)]
    assert contents.parts["test"].tolist() == list(range(30, 40))
    examples = interpret(contents)
    assert examples.contexts["label"][1].labels == ("no", "yes")


def test_tables_of_the_hub_become_tables(tmp_path):
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    features = Features({"x": Value("float64"), "y": ClassLabel(names=["no", "yes"])})
    rows = Dataset.from_dict({"x": [0.5, 1.5, 2.25], "y": [0, 1, 1]}, features=features)
    contents = fetch._from_dataset(DatasetDict(train=rows), "hf:tiny")
    assert contents.frame.to_dict("list") == {"x": [0.5, 1.5, 2.25], "y": ["no", "yes", "yes"]}


def test_the_hub_is_asked_at_the_address_that_is_set(tmp_path):
    """A miniature hub; in a process of its own, since its client reads the address on import."""
    mnist_like(tmp_path / "train.parquet", range(30))
    script = tmp_path / "run.py"
    script.write_text(HUB.replace("FILE", repr(str(tmp_path / "train.parquet"))))
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "PTHETA_DATA": ""}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip().endswith("(30, 1, 4, 4) ['no', 'yes']"), done.stderr


HUB = """
import hashlib, json, os, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

data = open(FILE, "rb").read()
sha, path = "a" * 40, "data/train-00000-of-00001.parquet"
siblings = [{"rfilename": path}]
info = {"id": "some/mnist", "sha": sha, "private": False, "disabled": False, "gated": False,
        "downloads": 0, "likes": 0, "tags": [], "siblings": siblings,
        "lastModified": "2024-01-01T00:00:00.000Z", "createdAt": "2024-01-01T00:00:00.000Z"}
entry = {"type": "file", "path": path, "size": len(data), "oid": "b" * 40}
folder = {"type": "directory", "path": "data", "size": 0, "oid": "c" * 40}

class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_HEAD(self): self.do_GET()
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(json.dumps([entry]).encode(), "application/json")
    def do_GET(self):
        place = self.path.split("?")[0]
        if place.startswith("/datasets/some/mnist/resolve/") and place.endswith(path):
            return self.answer(data, "application/octet-stream")
        if "/tree/" in place:
            return self.answer(json.dumps([entry] if "/data" in place.split("/tree/")[1] or
                "recursive=True" in self.path else [folder]).encode(), "application/json")
        if place.startswith("/api/datasets/some/mnist") and "paths-info" not in place:
            return self.answer(json.dumps(info).encode(), "application/json")
        self.answer(b"", "text/plain", 200 if place == "/" else 404)
    def answer(self, body, kind, status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"' + hashlib.sha256(body).hexdigest() + '"')
        self.send_header("X-Repo-Commit", sha)
        if status == 404: self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)

server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_address[1]}"
from ptheta.data.load import load_data
found = load_data("hf:some/mnist", context="label")
rows = len(found.train) + len(found.validation) + len(found.test)
print((rows, *found.space.shape), list(found.context_space.labels))
"""
