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

from ptheta.data import fetch, standard
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
    fetcher = functools.partial(fetch.binarized_mnist, base, digests)
    monkeypatch.setattr(standard, "FETCHERS", {"binarized-mnist": fetcher})
    data = load_data("binarized-mnist")
    assert data.space == Binary((1, 28, 28), "image")
    for split, x in zip((data.train, data.validation, data.test), rows.values(), strict=True):
        assert np.array_equal(split.x[:].reshape(-1, 784), x)


def test_what_was_fetched_is_not_fetched_again(served):
    folder, base = served
    _, digests = binarized(folder)
    fetch.binarized_mnist(base, digests)
    for path in folder.iterdir():
        path.unlink()
    assert len(fetch.binarized_mnist(base, digests).x) == 12


def test_a_file_that_is_not_the_known_one_is_refused_and_not_kept(served):
    folder, base = served
    _, digests = binarized(folder)
    (folder / "binarized_mnist_valid.amat").write_bytes(b"1 0\n")
    with pytest.raises(PthetaError, match="is not the known file"):
        fetch.binarized_mnist(base, digests)


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
    assert hashlib.sha256(text).hexdigest() == fetch._BINARIZED_MNIST_SHA256["test"]


def test_a_binary_density_set_comes_from_its_collection(served):
    folder, base = served
    (folder / "dna").mkdir()
    generator = np.random.default_rng(0)
    rows = {part: generator.integers(0, 2, (5, 9)) for part in ("train", "valid", "test")}
    for part, x in rows.items():
        text = "\n".join(",".join(map(str, row)) for row in x)  # no line end at the end
        (folder / "dna" / f"dna.{part}.data").write_text(text)
    found = fetch.debd("dna", base)
    assert np.array_equal(found.x, np.concatenate(list(rows.values())))
    assert found.parts["validation"].tolist() == [5, 6, 7, 8, 9]


def test_shakespeare_comes_from_its_public_home(served):
    folder, base = served
    text = "to be or not to be, that is the question\n" * 50
    (folder / "input.txt").write_text(text)
    found = fetch.shakespeare(base, hashlib.sha256(text.encode()).hexdigest())
    assert found.text == text


def test_without_network_and_folder_the_sentence_says_what_to_do(served, monkeypatch):
    nobody = functools.partial(fetch.binarized_mnist, "http://127.0.0.1:9", {"train": "0" * 64})
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
    fetcher = functools.partial(fetch._openml, 42, "adult")
    monkeypatch.setattr(standard, "FETCHERS", {"adult": fetcher})
    data = load_data("adult", context="city")
    assert data.columns == ("size",)
    assert data.context_space.labels == ("Aachen", "Bonn")
    assert any("From OpenML" in note for note in data.notes)


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
