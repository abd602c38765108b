"""Sound from one's own files to files of sound."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image

from ptheta.data.load import load_rows
from ptheta.data.mu_law import compressed
from ptheta.evaluation.pictures import examples_picture
from ptheta.fitting import load
from ptheta.spaces import Discrete


def square(samples):
    """A sound that is easy to learn: 4 samples up, 4 down."""
    return np.where(np.arange(samples) // 4 % 2, 0.2, -0.2)


@pytest.fixture(scope="module")
def run(tmp_path_factory, exit_code):
    folder = tmp_path_factory.mktemp("sound")
    for i in range(8):
        path = folder / "recordings" / f"{i}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, square(1000), 4000)
    code = exit_code(
        *("fit", folder / "recordings", "wavenet", "--window", 64, "--steps", 40, "--quiet"),
        *("--set", "layers=4", "--set", "channels=16", "--set", "skip_channels=32"),
        *("--set", "learning_rate=0.02", "--out", folder / "run"),
    )
    assert code == 0
    return folder / "run"


def test_the_rate_is_kept_with_the_run(run):
    space = Discrete((64,), 256, layout="sequence", rate=4000)
    assert load(run).space == space
    assert json.loads((run / "run.json").read_text())["origin"]["rate"] is None


def test_the_first_look_at_sound_is_a_picture_and_a_sound(run):
    assert soundfile.info(run / "samples" / "samples.wav").samplerate == 4000
    with Image.open(run / "samples" / "samples.png") as picture:
        assert np.asarray(picture).std() > 5


def test_draws_are_sounds_of_the_length_asked_for(run, tmp_path, exit_code):
    out = tmp_path / "out.wav"
    assert exit_code("sample", run, "-n", 1, "--length", 200, "-o", out) == 0
    info = soundfile.info(out)
    assert (info.frames, info.samplerate) == (200, 4000)
    assert exit_code("sample", run, "-n", 3, "-o", tmp_path / "three") == 0
    found = sorted((tmp_path / "three").iterdir())
    assert [(path.name, soundfile.info(path).frames) for path in found] == [
        ("0.wav", 64), ("1.wav", 64), ("2.wav", 64),
    ]  # fmt: skip


def test_a_recording_is_gone_on_with(run, tmp_path, capsys, exit_code):
    prompt, out = tmp_path / "prompt.wav", tmp_path / "out.wav"
    soundfile.write(prompt, square(70), 4000)
    arguments = ("--prompt", prompt, "--length", 160, "--temperature", 0)
    assert exit_code("sample", run, "-n", 1, "-o", out, *arguments) == 0
    assert capsys.readouterr().err == ""
    levels = compressed(soundfile.read(out, dtype="float32")[0])
    # the rest is certain, and was learnt
    assert np.array_equal(levels, compressed(square(160).astype(np.float32)))


def test_a_prompt_at_another_rate_is_resampled_and_said(run, tmp_path, capsys, exit_code):
    prompt, out = tmp_path / "prompt.wav", tmp_path / "out.wav"
    time = np.arange(400) / 8000
    soundfile.write(prompt, 0.3 * np.sin(2 * math.pi * 100 * time), 8000)
    assert exit_code("sample", run, "-n", 1, "-o", out, "--prompt", prompt, "--length", 210) == 0
    said = capsys.readouterr().err
    assert said == "ptheta: Resampled to 4000 Hz: 'prompt.wav' from 8000 Hz.\n"
    begun = soundfile.read(out)[0][20:180]
    assert np.abs(begun - 0.3 * np.sin(2 * math.pi * 100 * time[40:360:2])).max() < 0.02


def test_the_channels_of_a_prompt_are_averaged_and_said(run, tmp_path, capsys, exit_code):
    prompt, out = tmp_path / "prompt.wav", tmp_path / "out.wav"
    soundfile.write(prompt, np.stack([square(70), 0 * square(70)], axis=1), 4000)
    assert exit_code("sample", run, "-n", 1, "-o", out, "--prompt", prompt, "--length", 80) == 0
    assert "ptheta: Channels averaged to one: 'prompt.wav'.\n" in capsys.readouterr().err
    assert np.abs(soundfile.read(out)[0][:70] - square(70) / 2).max() < 0.01


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("Once", "a prompt is a file such as beginning.wav, and there is no file Once"),
        ("long.wav", "the prompt has 90 samples, which leaves nothing to draw of a --length of 80"),
        ("bad.wav", "bad.wav cannot be read as sound"),
    ],
)
def test_what_is_no_prompt_is_one_sentence(
    run, tmp_path, capsys, monkeypatch, prompt, sentence, exit_code
):
    monkeypatch.chdir(tmp_path)
    soundfile.write("long.wav", square(90), 4000)
    (tmp_path / "bad.wav").write_bytes(b"junk")
    arguments = ("--prompt", prompt, "--length", 80, "-o", "out.wav")
    assert exit_code("sample", run, *arguments) == 2
    assert sentence in capsys.readouterr().err


def test_what_is_done_to_scored_sound_is_said(run, tmp_path, capsys, exit_code):
    soundfile.write(tmp_path / "a.wav", np.repeat(square(640), 2), 8000)
    assert exit_code("score", run, tmp_path / "a.wav", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["rows"] == 10
    assert "ptheta: Resampled to 4000 Hz: 'a.wav' from 8000 Hz." in err


def test_a_score_is_that_of_the_windows(run):
    model, space = load(run).model, load(run).space
    soundfile.write(run.parent / "b.wav", square(640), 4000)
    rows = load_rows(run.parent / "b.wav", space)
    assert rows.notes == ()
    # certain, up to where the wave begins
    assert model.log_prob(rows.x).mean().item() > -64 * 0.5 * math.log(2)


def test_sound_is_shown_by_its_spectrograms():
    space = Discrete((256,), 256, layout="sequence", rate=8000)
    x = torch.randint(256, (5, 256)).to(torch.uint8)
    picture = examples_picture(x, space, x, "sound")
    assert picture.light == picture.dark
    assert picture.light.startswith("data:image/png;base64,")


def test_windows_are_told_by_file_and_second(run, tmp_path, capsys, exit_code):
    folder = tmp_path / "new, and old"
    (folder / "b").mkdir(parents=True)
    soundfile.write(folder / "a, 1.wav", square(130), 4000)
    soundfile.write(folder / "b" / "c.wav", square(70), 4000)
    soundfile.write(folder / "short.wav", square(10), 4000)
    files, seconds = ["a, 1.wav", "a, 1.wav", "b/c.wav"], [0.0, 0.016, 0.0]
    assert exit_code("score", run, folder, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["file"], found["second"]) == (files, seconds)
    assert exit_code("score", run, folder) == 0
    heading, first, _, last = capsys.readouterr().out.splitlines()
    assert heading == "file,second,log_prob"
    assert first.startswith('"a, 1.wav",0.0,')
    assert last == f"b/c.wav,0.0,{found['values'][2]:.6f}"
    assert exit_code("score", run, folder, "-o", tmp_path / "scores.csv") == 0
    table = pd.read_csv(tmp_path / "scores.csv")
    assert list(table) == ["file", "second", "log_prob"]
    assert (table["file"].tolist(), table["second"].tolist()) == (files, seconds)


def test_classes_of_windows_are_told_by_file_and_second(tmp_path, monkeypatch, capsys, exit_code):
    monkeypatch.chdir(tmp_path)
    for i in range(12):
        path = tmp_path / "sounds" / ("high" if i % 2 else "low") / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, square(200) if i % 2 else square(400)[::2] * 0.5, 4000)
    fitted = ("fit", "sounds", "naive-bayes", "--context", "label", "--window", 64)
    assert exit_code(*fitted, "--out", "run", "--quiet") == 0
    capsys.readouterr()
    assert exit_code("classify", "run", "sounds/high", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"][:4] == ["1.wav", "1.wav", "1.wav", "11.wav"]
    assert found["second"][:4] == [0.0, 0.016, 0.032, 0.0]
    assert set(found["classes"]) == {"high"}
    assert exit_code("classify", "run", "sounds/high") == 0
    assert capsys.readouterr().out.splitlines()[1] == "1.wav,0.016,high"
    assert exit_code("classify", "run", "sounds", "-o", "told.csv") == 0
    assert list(pd.read_csv("told.csv")) == ["file", "second", "class", "p(high)", "p(low)"]
