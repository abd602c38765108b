import inspect
import json
import os
import pickle

import pytest
import safetensors.torch
import torch

from ptheta.data.load import load_data
from ptheta.errors import PthetaError
from ptheta.fitting import fit, load
from ptheta.training.folder import FORMAT, Origin, RunFolder


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


def edit(folder, name, change):
    """Changes what a JSON file of a run holds."""
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def seal(folder):
    """Makes the digests of a run those of what it holds now."""
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    RunFolder(folder).write_model(tensors)


def unseal(folder):
    """Takes away the digest that versions before it did not write."""
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    record = (folder / "run.json").read_bytes()
    (folder / "run.json").unlink()
    RunFolder(folder).write_model(tensors)
    (folder / "run.json").write_bytes(record)


def test_edited_settings_do_not_fit_the_weights(saved):
    edit(saved, "run.json", lambda record: record["settings"].update(hidden_features=7))
    seal(saved)
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
        ("settings", {"hidden_features": 10**13}, r"run\.json.*cannot be built"),
        ("format", "2", "damaged at 'format'"),
        ("space", {"kind": "real", "shape": [1, -8, 8]}, "numbers above 0"),
        ("space", {"kind": "real", "shape": [10**6, 10**6]}, "product is at most"),
        ("space", {"kind": "discrete", "levels": 10**30}, "levels must be from 1"),
        ("space", {"kind": "discrete", "low": 10**30}, "low must be a number of 64 bits"),
        ("space", {"kind": "categorical", "categories": 3, "labels": ["a"]}, "as many labels"),
        ("steps", 10**400, r"run\.json is (damaged|not JSON)"),
        ("origin", {"source": "moons", "surprise": 1}, "damaged at 'origin.surprise'|'origin'"),
        ("origin", {"source": 3}, "damaged at 'origin"),
        ("origin", {"source": "moons", "seed": "many"}, "damaged at 'origin"),
        ("origin", {"source": "moons", "splits": [1]}, "damaged at 'origin"),
    ],
)
def test_an_edited_record_is_refused(saved, key, value, words):
    edit(saved, "run.json", lambda record: record.update({key: value}))
    seal(saved)
    with pytest.raises(PthetaError, match=words):
        load(saved)


def test_a_record_of_too_many_levels_is_refused(tmp_path, levels):
    run = tmp_path / "run"
    fit(levels, "made", steps=1, out=run)
    edit(run, "run.json", lambda record: record["space"].update(levels=10**12))
    with pytest.raises(PthetaError, match=r"run\.json was changed after the fit"):
        load(run)
    seal(run)
    with pytest.raises(PthetaError, match=r"does not fit the settings in run\.json"):
        load(run)


@pytest.mark.parametrize("key", ["recipe", "settings", "space", "context_space", "columns"])
def test_a_record_changed_after_the_fit_is_refused(saved, key):
    others = {
        "recipe": "nvp",
        "settings": {"layers": 8},
        "space": {"kind": "real", "shape": [2], "layout": "sequence"},
        "context_space": {"kind": "categorical", "categories": 2},
        "columns": ["a", "b"],
    }
    edit(saved, "run.json", lambda record: record.update({key: others[key]}))
    with pytest.raises(PthetaError, match=r"run\.json was changed after the fit.*Restore it"):
        load(saved)


def test_an_offset_changed_after_the_fit_is_refused(tmp_path, levels):
    run = tmp_path / "run"
    fit(levels, "made", steps=1, out=run)
    edit(run, "run.json", lambda record: record["space"].update(low=100))
    with pytest.raises(PthetaError, match=r"run\.json was changed after the fit"):
        load(run)


def test_a_model_without_a_digest_of_its_record_is_of_an_older_version_and_loads(saved):
    unseal(saved)
    assert load(saved).steps == 3


def test_what_does_not_change_the_model_may_be_edited(saved):
    edit(saved, "run.json", lambda record: record.update(data="another name"))
    assert load(saved).data == "another name"


@pytest.mark.parametrize("name", ["run.json", "state.json"])
def test_json_nested_too_deeply_is_refused(saved, blobs, name):
    (saved / name).write_text("[" * 10**6 + "]" * 10**6)
    with pytest.raises(PthetaError, match=name.replace(".", r"\.")):
        fit(blobs, "realnvp", steps=5, out=saved, resume=True)


def without(name):
    def change(content):
        items = content["state"]["dict"]
        content["state"]["dict"] = [item for item in items if item[0] != name]

    return change


def with_part(name, value):
    def change(content):
        without(name)(content)
        content["state"]["dict"].append([name, value])

    return change


@pytest.mark.parametrize(
    "change",
    [
        without("step"),
        without("seconds"),
        without("learner"),
        with_part("batches", {"dict": []}),
        with_part("step", "3"),
        with_part("step", -1),
        with_part("seconds", {"float": "nan"}),
        with_part("model", {"dict": []}),
        with_part("validation", 1),
        lambda content: content.update(state=[1]),
        lambda content: content.update(tensors=3),
        lambda content: content.update(state={"dict": [[[], 1]]}),
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_an_edited_state_is_refused(saved, blobs, change, sealed):
    edit(saved, "state.json", change)
    if not sealed:
        edit(saved, "state.json", lambda content: content.pop("sha256"))
    before = (saved / "metrics.jsonl").read_text()
    with pytest.raises(PthetaError, match=r"state\.json.*Restore it"):
        fit(blobs, "realnvp", steps=5, out=saved, resume=True)
    assert (saved / "metrics.jsonl").read_text() == before


def test_a_state_without_a_digest_is_of_an_older_version_and_goes_on(saved, blobs):
    edit(saved, "state.json", lambda content: content.pop("sha256"))
    assert fit(blobs, "realnvp", steps=5, out=saved, resume=True).steps == 5


def test_a_missing_file_of_the_state_is_damage(saved, blobs):
    (saved / "state-3.safetensors").unlink()
    with pytest.raises(
        PthetaError, match=r"damaged: state-3\.safetensors, which state\.json names"
    ):
        fit(blobs, "realnvp", steps=5, out=saved, resume=True)


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"1", b"[]", b"nonsense", b'{"step": "one"}', b"[" * 10**5]
)
def test_a_damaged_history_names_its_line(saved, blobs, line):
    (saved / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + line + b"\n")
    with pytest.raises(PthetaError, match=r"metrics\.jsonl is damaged in line 2.*remove it"):
        load(saved)
    with pytest.raises(PthetaError, match=r"metrics\.jsonl is damaged in line 2"):
        fit(blobs, "realnvp", steps=5, out=saved, resume=True)


def test_a_last_line_of_the_history_that_was_cut_off_is_left_out(saved):
    (saved / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"st\xff')
    assert load(saved).history == ({"step": 1},)


def test_a_run_cut_off_in_its_first_checkpoint_goes_on_from_its_start(saved, blobs):
    record = json.loads((saved / "run.json").read_text())
    (saved / "run.json").write_text(json.dumps(record | {"steps": 0, "finished": False}))
    (saved / "state.json").unlink()
    (saved / "model.safetensors").unlink()
    (saved / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"st')
    run = fit(blobs, "realnvp", steps=3, out=saved, resume=True)
    assert load(saved).history == run.history


def test_a_whole_run_without_its_state_is_not_begun_again(saved, blobs):
    (saved / "state.json").unlink()
    before = (saved / "model.safetensors").read_bytes()
    with pytest.raises(PthetaError, match="holds a model of 3 steps, but no state to go on from"):
        fit(blobs, "realnvp", steps=9, out=saved, resume=True)
    assert (saved / "model.safetensors").read_bytes() == before


def test_a_run_that_has_no_model_yet_can_go_on(saved, blobs):
    (saved / "model.safetensors").unlink()
    with pytest.raises(PthetaError, match=r"cut off, or is still going on.*--resume"):
        load(saved)
    assert fit(blobs, "realnvp", steps=5, out=saved, resume=True).steps == 5
    assert load(saved).steps == 5


@pytest.mark.parametrize("ending", ["pkl", "pickle", "pt", "pth", "ckpt", "bin", "PKL"])
def test_a_pickle_beside_a_whole_run_is_refused_by_name(saved, ending):
    (saved / f"extra.{ending}").touch()
    with pytest.raises(PthetaError, match=rf"extra\.{ending}.*move the other file out"):
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


def test_an_origin_is_what_data_are_loaded_by():
    asked = inspect.signature(load_data).parameters
    assert set(Origin.model_fields) == set(asked)


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


def test_a_setting_that_is_newer_than_a_run_was_at_its_default(saved, blobs):
    def strip(name):
        record = json.loads((saved / "run.json").read_text())
        del record["settings"][name]
        (saved / "run.json").write_text(json.dumps(record))

    # a run of its recipe that had no such setting yet
    strip("layers")
    x = fit(blobs, "realnvp", steps=5, out=saved, resume=True).model.sample(3)
    assert torch.isfinite(x).all()
    # what it is saved with is what its digest says, and it can be gone on with again
    assert load(saved).steps == 5
    fit(blobs, "realnvp", steps=6, out=saved, resume=True)
    assert load(saved).steps == 6
    with pytest.raises(PthetaError, match=r"another setting 'layers' \(8, now 2\)"):
        fit(blobs, "realnvp", steps=6, out=saved, resume=True, settings={"layers": 2})
