"""Recordings of sound, as windows of mu-law levels."""

__all__ = [
    "AUDIO_ENDINGS",
    "Windows",
    "conform_audio",
    "prompt_levels",
    "read_audio",
    "refuse_rate",
    "save_audio",
    "sound_windows",
]

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptheta.data.contents import Arrays, Recording, Sounds, few, quoted
from ptheta.data.folders import files_of, labels_and_parts
from ptheta.data.mu_law import LEVELS, compressed, expanded
from ptheta.errors import PthetaError
from ptheta.spaces import Discrete, Space, rate_of

AUDIO_ENDINGS = (".wav", ".flac", ".ogg")

_WINDOW = 1024
_PAUSE = 0.1  # seconds between examples in one file
_MOST_RATE = 1_000_000


def read_audio(path: Path, *, strict: bool = False) -> Sounds:
    """The recordings of a folder and its sub-folders, in the order of their names, or of one file.

    Channels are averaged. The first level of sub-folders gives the label; if these are train, val
    and test, they give the splits, and the second level the label.

    Arguments:
        path: The folder, or the file.
        strict: Whether a recording that cannot be used is an error rather than left out and
            named in a note.

    Raises:
        PthetaError: None can be used, or one cannot and that is to be an error.
    """
    folder = path if path.is_dir() else path.parent
    paths = files_of(path, AUDIO_ENDINGS) if path.is_dir() else [path]
    found = [_read(each, str(each.relative_to(folder))) for each in paths]
    broken = [each for each in found if isinstance(each, str)]
    if broken and (strict or len(broken) == len(found)):
        more = f" None of the {len(found)} recordings of {path} can be used." * (len(found) > 1)
        raise PthetaError(f"{broken[0]}. Remove it or mend it.{'' if strict else more}")
    kept = [i for i, each in enumerate(found) if isinstance(each, Recording)]
    labels, parts = (
        labels_and_parts(folder, [paths[i] for i in kept]) if path.is_dir() else ({}, {})
    )
    return Sounds(
        where=str(path),
        recordings=[each for each in found if isinstance(each, Recording)],
        labels=labels,
        parts=parts,
        notes=(f"Left out: {few(broken, 3)}.",) if broken else (),
    )


class Windows(NamedTuple):
    """Windows of recordings, and the recording that each is of.

    There is no such number where fewer than three recordings without splits of their own are to
    be cut into splits. The changes are what was done to make the recordings alike.
    """

    arrays: Arrays
    owners: NDArray[np.int64] | None
    changes: tuple[str, ...]


def sound_windows(contents: Sounds, window: int | None = None, rate: int | None = None) -> Windows:
    """Consecutive windows of recordings.

    Arguments:
        contents: The recordings.
        window: The samples in a window; None takes 1,024. What is left over at the end of a
            recording is left out.
        rate: The samples a second to which all recordings are brought; None takes the most common
            rate.

    Raises:
        PthetaError: No recording is as long as a window.
    """
    window = _WINDOW if window is None else window
    found = contents.recordings
    if rate is not None and rate > _MOST_RATE:
        raise PthetaError(
            f"a rate of {rate:,} samples a second is more than sound is kept at; ask for "
            f"{_MOST_RATE:,} at most."
        )
    rate = rate or Counter(each.rate for each in found).most_common(1)[0][0]
    levels = [compressed(_at_rate(each, rate)) for each in found]
    lengths = [len(each) for each in levels]
    counts = [length // window for length in lengths]
    if not any(counts):
        raise PthetaError(
            f"{contents.where} holds no recording of {window} samples: the longest has "
            f"{max(lengths)} at {rate} Hz. Give longer ones, or a smaller window (--window "
            f"{max(lengths)})."
        )
    apart = bool(contents.parts) or np.count_nonzero(counts) >= 3
    owners = np.repeat(np.arange(len(counts)), counts)
    rows = [each[: n * window].reshape(n, window) for each, n in zip(levels, counts, strict=True)]
    changes = tuple(_changes(found, lengths, window, rate))
    arrays = Arrays(
        where=contents.where,
        x=np.concatenate(rows),
        labels={name: values[owners] for name, values in contents.labels.items()},
        space=Discrete((window,), LEVELS, layout="sequence", rate=rate),
        parts=contents.parts,
        splits=contents.splits,
        notes=(
            *contents.notes,
            *_about(lengths, window, rate),
            "No recording stands in two splits."
            if apart
            else "The splits are stretches of the sound, in order.",
            *changes,
        ),
        names={
            "file": [each.name for each, n in zip(found, counts, strict=True) for _ in range(n)],
            "second": [start * window / rate for n in counts for start in range(n)],
        },
    )
    return Windows(arrays, owners if apart else None, changes)


def conform_audio(contents: Sounds, space: Space) -> Arrays:
    """The windows of recordings in a space that is known; the notes say what was changed.

    Arguments:
        contents: The recordings, which are brought to the rate of the space.
        space: The space.

    Raises:
        PthetaError: The space is not one of sound, or no recording is as long as a window.
    """
    rate = rate_of(space)
    if rate is None:
        raise PthetaError(f"{contents.where} is sound, but {space.describe()} is expected.")
    arrays, _, changes = sound_windows(contents, space.shape[0], rate)
    return replace(arrays, notes=changes)


def prompt_levels(path: Path, rate: int) -> tuple[Tensor, list[str]]:
    """The levels of a recording, as a run is to go on with it.

    Arguments:
        path: The file.
        rate: The samples a second of the sound that the run was fitted to.

    Returns:
        The levels, with shape (samples,), and what was done to the recording, a sentence each.

    Raises:
        PthetaError: There is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise PthetaError(
            f"the run was fitted to sound, so a prompt is a file such as beginning.wav, and there "
            f"is no file {path}."
        )
    found = read_audio(path).recordings
    levels = compressed(_at_rate(found[0], rate)).astype(np.int64)
    return torch.from_numpy(levels), _changes(found, [len(levels)], 0, rate)


def save_audio(x: Tensor, rate: int, path: Path) -> None:
    """Writes examples of sound as one WAV file of 16 bits, with short pauses between them.

    Arguments:
        x: The levels, with shape (n, samples).
        rate: The samples a second.
        path: The file.
    """
    import soundfile

    sounds = expanded(x.detach().cpu().numpy())
    pause = np.zeros((len(sounds), math.ceil(_PAUSE * rate)), dtype=np.float32)
    joined = np.concatenate([sounds, pause], axis=1).flatten()[: -pause.shape[1]]
    soundfile.write(path, joined, rate, subtype="PCM_16", format="WAV")


def refuse_rate(rate: int | None, where: str) -> None:
    """Refuses a rate where there is no sound.

    Arguments:
        rate: The rate that is asked for, or None.
        where: What the message calls the source.

    Raises:
        PthetaError: A rate is asked for.
    """
    if rate is not None:
        raise PthetaError(f"{where} is no sound, so it has no rate of {rate} samples a second.")


def _read(path: Path, name: str) -> Recording | str:
    """A recording, or why it cannot be used."""
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError:
        return f"{name} cannot be read as sound"
    if not len(samples):
        return f"{name} is empty"
    if not np.isfinite(samples).all():
        return f"{name} holds samples that are not finite"
    mono = samples.mean(axis=1)
    if not np.ptp(mono):
        return f"{name} is silent"
    return Recording(name, mono, int(rate), samples.shape[1])


def _at_rate(recording: Recording, rate: int) -> NDArray[np.float32]:
    from scipy.signal import resample_poly

    if recording.rate == rate:
        return recording.samples
    common = math.gcd(rate, recording.rate)
    return resample_poly(recording.samples, rate // common, recording.rate // common)


def _about(lengths: Sequence[int], window: int, rate: int) -> list[str]:
    left = sum(length % window for length in lengths) / sum(lengths)
    return [
        f"{len(lengths)} recording{'s'[: len(lengths) != 1]}, {sum(lengths) / rate:.1f} seconds "
        f"of sound at {rate} Hz, in windows of {window} samples; what is left over at their ends, "
        f"{left:.0%} of all, is left out.",
        f"Samples are {LEVELS} levels of the mu-law, so bits per dimension are bits per sample of "
        "these levels.",
    ]


def _changes(
    found: Sequence[Recording], lengths: Sequence[int], window: int, rate: int
) -> list[str]:
    """What was done to recordings so that they are alike."""
    short = [each.name for each, n in zip(found, lengths, strict=True) if n < window]
    resampled = [f"'{each.name}' from {each.rate} Hz" for each in found if each.rate != rate]
    averaged = [each.name for each in found if each.channels > 1]
    loud = [each.name for each in found if np.abs(each.samples).max() > 1]
    made = {
        f"Resampled to {rate} Hz: {few(resampled, 3)}.": resampled,
        f"Channels averaged to one: {quoted(averaged, 3)}.": averaged,
        f"Cut off beyond full scale: {quoted(loud, 3)}.": loud,
        f"Shorter than a window, so left out: {quoted(short, 3)}.": short,
    }
    return [note for note, names in made.items() if names]
