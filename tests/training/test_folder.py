import json
import os
import pickle

import pytest
import torch

from ptheta.errors import PthetaError
from ptheta.fitting import fit, load
from ptheta.training.folder import FORMAT, RunFolder


@pytest.fixture
def saved(blobs, tmp_path):
    fit(blobs, "realnvp", steps=3, out=tmp_path / "run")
    return tmp_path / "run"


def test_a_run_is_loaded_without_naming_its_class(saved, blobs):
    run = load(saved)
    again = fit(blobs, "realnvp", steps=3)
    assert run.recipe == "realnvp"
    assert run.steps == 3
    assert torch.equal(run.model.log_prob(blobs.test.x), again.model.log_prob(blobs.test.x))


def test_the_folder_holds_what_the_design_names(saved):
    names = {path.name for path in saved.iterdir()}
    assert {"run.json", "model.safetensors", "state.json", "metrics.jsonl"} <= names
    assert "state-3.safetensors" in names
    assert len(names) == 5


@pytest.mark.parametrize("name", ["run.json", "model.safetensors"])
def test_a_file_cut_off_is_named(saved, name):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(PthetaError, match=name.replace(".", r"\.")):
        load(saved)


@pytest.mark.parametrize("name", ["state.json", "state-3.safetensors"])
def test_a_state_cut_off_is_named_on_resume(saved, blobs, name):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(PthetaError, match="cut off"):
        fit(blobs, "realnvp", steps=5, out=saved, resume=True)


def test_edited_weights_do_not_match_their_digest(saved):
    content = bytearray((saved / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (saved / "model.safetensors").write_bytes(bytes(content))
    with pytest.raises(PthetaError, match="digest"):
        load(saved)


def test_edited_settings_do_not_fit_the_weights(saved):
    record = json.loads((saved / "run.json").read_text())
    record["settings"]["hidden_features"] = 7
    (saved / "run.json").write_text(json.dumps(record))
    with pytest.raises(PthetaError, match=r"does not fit the settings in run\.json"):
        load(saved)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format", FORMAT + 1, "newer ptheta"),
        ("recipe", "os.system", "no recipe"),
        ("space", {"kind": "nonsense"}, "damaged at 'space'"),
        ("surprise", 1, "damaged at 'surprise'"),
        ("settings", {"layers": -1}, "greater than or equal to 1"),
    ],
)
def test_an_edited_record_is_refused(saved, key, value, words):
    record = json.loads((saved / "run.json").read_text())
    record[key] = value
    (saved / "run.json").write_text(json.dumps(record))
    with pytest.raises(PthetaError, match=words):
        load(saved)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
def test_a_pickle_is_refused_and_never_executed(saved, tmp_path, name):
    (saved / "model.safetensors").unlink()
    (saved / name).write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    with pytest.raises(PthetaError, match=r"executed|never\s+unpickles"):
        load(saved)
    assert not (tmp_path / "executed").exists()


def test_no_folder_and_a_foreign_folder_are_told_apart(tmp_path, blobs):
    with pytest.raises(PthetaError, match="no run folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(PthetaError, match=r"no run\.json"):
        load(tmp_path)
    with pytest.raises(PthetaError, match="not empty"):
        fit(blobs, "realnvp", steps=1, out=tmp_path)


def test_a_full_disk_keeps_what_was_written(saved, monkeypatch):
    before = (saved / "model.safetensors").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PthetaError, match=r"No space left.*whole"):
        RunFolder(saved).write_model({"w": torch.zeros(3)})
    assert (saved / "model.safetensors").read_bytes() == before
    assert not list(saved.glob(".*"))


def test_a_second_fit_into_a_folder_is_refused(saved, blobs):
    with pytest.raises(PthetaError, match="already holds a run"):
        fit(blobs, "realnvp", steps=1, out=saved)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 1}, "another seed"),
        ({"settings": {"layers": 2}}, r"another setting 'layers' \(8, now 2\)"),
    ],
)
def test_resuming_something_else_is_refused(saved, blobs, options, words):
    with pytest.raises(PthetaError, match=words):
        fit(blobs, "realnvp", steps=5, out=saved, resume=True, **options)
