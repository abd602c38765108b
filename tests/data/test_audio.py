import math

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from ptheta.data.audio import save_audio
from ptheta.data.export import save_samples
from ptheta.data.folders import files_of
from ptheta.data.load import load_data, load_rows
from ptheta.data.mu_law import compressed, expanded
from ptheta.errors import PthetaError
from ptheta.spaces import Categorical, Discrete, Real

SOUND = Discrete((64,), 256, layout="sequence", rate=8000)


def tone(seconds=0.1, rate=8000, hertz=440.0, loudness=0.5):
    time = np.arange(round(seconds * rate)) / rate
    return (loudness * np.sin(2 * math.pi * hertz * time)).astype(np.float32)


def save(path, samples=None, rate=8000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(rate=rate) if samples is None else samples, rate, **options)
    return path


def folder_of(tmp_path, count=10, **options):
    for i in range(count):
        save(tmp_path / f"{i}.wav", tone(hertz=200 + 100 * i, **options))
    return tmp_path


def notes(data):
    return " ".join(data.notes)


def splits(data):
    return data.train, data.validation, data.test


def test_levels_are_those_of_the_formula():
    x = np.linspace(-1, 1, 101).astype(np.float32)
    f = np.sign(x) * np.log(1 + 255 * np.abs(x)) / math.log(256)
    assert np.abs(compressed(x) - (f + 1) / 2 * 255).max() <= 0.5 + 1e-4
    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(compressed(expanded(every)), every)
    # quiet sound is kept finer: an error of half a level is in proportion to how loud it is
    error = np.abs(expanded(compressed(x)) - x)
    assert (error <= 0.025 * np.abs(x) + 1e-4).all()


def test_recordings_are_cut_into_windows_in_order(tmp_path):
    samples = tone(0.2)
    data = load_data(save(tmp_path / "a.wav", samples), window=100)
    assert data.space == Discrete((100,), 256, layout="sequence", rate=8000)
    assert data.space.describe() == "256 levels of sound at 8000 Hz, sequence 100"
    rows = torch.cat([split.x for split in splits(data)])
    # sixteen bits are far finer than the levels, but round where these meet
    off = rows.flatten().int() - torch.from_numpy(compressed(samples[:1600]).astype(np.int32))
    assert off.abs().max() <= 1
    assert (len(data.train), len(data.validation), len(data.test)) == (11, 2, 3)
    assert "stretches of the sound" in notes(data)
    assert "bits per sample" in notes(data)


def test_no_recording_stands_in_two_splits(tmp_path):
    for i in range(10):  # each recording has levels of its own
        save(tmp_path / f"{i}.wav", np.where(np.arange(900) % 2, 0.01, 0.05 * (i + 1)))
    data = load_data(tmp_path, window=100)
    owners = [set(split.x.amax(dim=1).tolist()) for split in splits(data)]
    assert [len(each) for each in owners] == [7, 1, 2]
    assert len(set.union(*owners)) == 10
    assert [len(split) for split in splits(data)] == [63, 9, 18]
    other = load_data(tmp_path, window=100, seed=1)
    assert other.fingerprint != data.fingerprint
    assert load_data(**data.origin).fingerprint == data.fingerprint


@pytest.mark.parametrize("ending", ["flac", "ogg"])
def test_other_formats_are_read(tmp_path, ending):
    data = load_data(save(tmp_path / f"a.{ending}", tone(0.5)), window=256)
    # as loud as half the full scale, give or take what is lost in an ogg
    assert expanded(data.train.x.numpy()).max() == pytest.approx(0.5, abs=0.05)


def test_class_folders_are_the_label_and_split_folders_the_splits(tmp_path):
    for part, count in (("train", 4), ("valid", 1), ("test", 2)):
        for label, hertz in (("low", 100), ("high", 2000)):
            for i in range(count):
                save(tmp_path / part / label / f"{i}.wav", tone(hertz=hertz))
    data = load_data(tmp_path, context="label", window=200)
    assert data.context_space == Categorical(categories=2, labels=("high", "low"))
    assert [len(split) for split in splits(data)] == [8 * 4, 2 * 4, 4 * 4]
    for split in splits(data):
        crossings = ((split.x[:, 1:] >= 128) != (split.x[:, :-1] >= 128)).sum(dim=1)
        assert torch.equal(split.context == 0, crossings > 50)
    rows = load_rows(tmp_path / "test", data.space, (), data.context_space, "label")
    assert torch.equal(rows.x, data.test.x)
    assert torch.equal(rows.context, data.test.context)


def test_other_rates_are_resampled_to_the_most_common_and_said(tmp_path):
    folder_of(tmp_path, 3)
    save(tmp_path / "z.wav", tone(0.1, 16_000, hertz=500), 16_000)
    data = load_data(tmp_path, window=100, seed=4)
    assert data.space.rate == 8000
    assert "Resampled to 8000 Hz: 'z.wav' from 16000 Hz." in notes(data)
    rows = load_rows(tmp_path / "z.wav", data.space)
    assert len(rows) == 8
    assert rows.notes == ("Resampled to 8000 Hz: 'z.wav' from 16000 Hz.",)
    # the tone keeps its pitch: five times in a window of 1/80 of a second, up and down, 6.25 times
    found = expanded(rows.x[2:6].numpy().reshape(-1))
    expected = tone(0.1, 8000, hertz=500)[200:600]
    assert np.abs(found - expected).max() < 0.03


def test_the_rate_can_be_chosen(tmp_path):
    data = load_data(folder_of(tmp_path, 3), window=50, rate=4000)
    assert data.space.rate == 4000
    assert sum(map(len, splits(data))) == 3 * 8
    assert data.origin["rate"] == 4000


def test_channels_are_averaged_and_said(tmp_path):
    left, right = tone(hertz=300), tone(hertz=700)
    save(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    data = load_data(tmp_path / "a.wav", window=100)
    rows = torch.cat([split.x for split in splits(data)]).flatten().numpy()
    assert np.array_equal(rows, compressed((left + right) / 2))
    assert "Channels averaged to one: 'a.wav'." in notes(data)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (b"RIFFjunk", "cannot be read as sound"),
        (b"", "cannot be read as sound"),
        (np.zeros(0), "is empty"),
        (np.zeros(900), "is silent"),
        (np.array([0.1, np.nan] * 400), "holds samples that are not finite"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_named(tmp_path, samples, reason):
    folder_of(tmp_path, 3)
    if isinstance(samples, bytes):
        (tmp_path / "bad.wav").write_bytes(samples)
    else:
        save(tmp_path / "bad.wav", samples, subtype="FLOAT")
    data = load_data(tmp_path, window=100)
    assert f"Left out: bad.wav {reason}." in notes(data)
    assert sum(map(len, splits(data))) == 24
    with pytest.raises(PthetaError, match=rf"^bad\.wav {reason}\. Remove it or mend it\.$"):
        load_data(tmp_path, window=100, strict=True)
    with pytest.raises(PthetaError, match=rf"^bad\.wav {reason}\. Remove it or mend it\.$"):
        load_data(tmp_path / "bad.wav")


def test_what_is_shorter_than_a_window_is_left_out_and_named(tmp_path):
    folder_of(tmp_path, 3)
    save(tmp_path / "short.wav", tone(0.01))
    assert "Shorter than a window, so left out: 'short.wav'." in notes(
        load_data(tmp_path, window=99)
    )
    with pytest.raises(
        PthetaError, match=r"no recording of 1024 samples: the longest has 800 at 80"
    ):
        load_data(tmp_path)
    with pytest.raises(PthetaError, match="window cannot be 0"):
        load_data(tmp_path, window=0)


def test_what_goes_beyond_full_scale_is_cut_off_and_said(tmp_path):
    save(tmp_path / "loud.wav", 3 * tone(), subtype="FLOAT")
    data = load_data(tmp_path / "loud.wav", window=100)
    assert "Cut off beyond full scale: 'loud.wav'." in notes(data)
    assert data.train.x.max() == 255


def test_hidden_files_are_those_within_the_folder(tmp_path):
    folder = tmp_path / ".data"
    for name in ("a.wav", "b/c.wav", ".d.wav", ".cache/e.wav", ".cache/deep/f.wav"):
        save(folder / name)
    found = [path.relative_to(folder).as_posix() for path in files_of(folder, (".wav",))]
    assert found == ["a.wav", "b/c.wav"]


def test_a_folder_of_two_kinds_or_none_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(PthetaError, match="holds no images and no recordings"):
        load_data(tmp_path)
    folder_of(tmp_path, 2)
    with pytest.raises(PthetaError, match="a size is for folders of images"):
        load_data(tmp_path, image_size=8)
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(PthetaError, match=r"holds 1 image \(a\.png\) and 2 recordings"):
        load_data(tmp_path)


def test_too_few_recordings_for_asked_splits_are_refused(tmp_path):
    for part in ("train", "test"):
        save(tmp_path / part / "a.wav", tone(1.0))
    with pytest.raises(PthetaError, match="has no train rows"):
        load_data(tmp_path, window=100)
    with pytest.raises(PthetaError, match="three splits need at least 3"):
        load_data(tmp_path, window=100, splits=(0.4, 0.3, 0.3))


def test_a_rate_is_for_sound(tmp_path):
    for source in ("moons", "digits"):
        with pytest.raises(PthetaError, match=f"{source} is no sound, so it has no rate of 8000"):
            load_data(source, rate=8000)
    with pytest.raises(PthetaError, match="rate cannot be 0"):
        load_data(folder_of(tmp_path, 1), rate=0)
    with pytest.raises(ValueError, match="at least 1 sample a second, got 0"):
        Discrete((4,), 256, layout="sequence", rate=0)


def test_sound_does_not_fit_another_space(tmp_path):
    path = save(tmp_path / "a.wav")
    for space in (Real((64,)), Discrete((64,), 256, layout="sequence")):
        with pytest.raises(PthetaError, match=r"a\.wav is sound, but .* is expected"):
            load_rows(path, space)


def levels(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, *SOUND.shape), generator=generator).to(torch.uint8)


def test_a_sound_that_was_written_is_read_again_as_it_was(tmp_path):
    x = levels(1)
    path = save_samples(x, SOUND, tmp_path / "out.wav")
    assert soundfile.info(path).samplerate == 8000
    assert torch.equal(load_rows(path, SOUND).x, x)


def test_several_sounds_are_one_file_with_pauses_or_a_folder(tmp_path):
    x = levels(3)
    joined, rate = soundfile.read(save_samples(x, SOUND, tmp_path / "out.wav"), dtype="float32")
    assert (len(joined), rate) == (3 * 64 + 2 * 800, 8000)
    assert np.abs(joined[64:864]).max() == 0
    assert np.array_equal(compressed(joined[864 : 864 + 64]), x[1].numpy())
    folder = save_samples(x, SOUND, tmp_path / "sounds")
    assert sorted(path.name for path in folder.iterdir()) == ["0.wav", "1.wav", "2.wav"]
    assert torch.equal(load_rows(folder, SOUND).x, x)


def test_only_sound_is_written_as_wav(tmp_path):
    space = Discrete((64,), 256, layout="sequence")
    with pytest.raises(PthetaError, match="256 levels, sequence 64 is no sound"):
        save_samples(levels(1), space, tmp_path / "out.wav")


def test_a_spectrogram_is_bright_where_the_tone_is(tmp_path):
    space = Discrete((1024,), 256, layout="sequence", rate=8000)
    tones = [compressed(tone(0.128, hertz=hertz)) for hertz in (1000, 3000)]
    path = save_samples(torch.from_numpy(np.stack(tones)), space, tmp_path / "a.png")
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("L")).astype(int)
    inside = pixels[2:-2]
    half = pixels.shape[1] // 2
    # from 4000 Hz at the top to 0 at the bottom
    rows = [inside[:, 4 : half - 4].mean(axis=1), inside[:, half + 4 : -4].mean(axis=1)]
    for row, hertz in zip(rows, (1000, 3000), strict=True):
        assert row.argmax() / (len(row) - 1) == pytest.approx(1 - hertz / 4000, abs=0.03)


def test_a_pause_is_of_the_rate(tmp_path):
    save_audio(levels(2), 1000, tmp_path / "a.wav")
    assert soundfile.info(tmp_path / "a.wav").frames == 2 * 64 + 100


def test_a_rate_beyond_any_recording_is_refused(tmp_path):
    with pytest.raises(PthetaError, match="1,000,000,000 samples a second is more than sound"):
        load_data(folder_of(tmp_path), rate=1_000_000_000)
