"""Standard sets by name: from the folder ``PTHETA_DATA`` where it has them, else fetched.

The folder's ``manifest.json`` gives the SHA-256 of each file. A file that is not what the manifest
says counts as absent.
"""

from __future__ import annotations

__all__ = ["STANDARD", "Standard", "Whole", "read_standard"]

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ptheta.data.contents import Contents
from ptheta.data.homes import FETCHERS
from ptheta.data.standard_files import (
    adult,
    binarized_mnist,
    cifar_subset,
    eng_fra,
    freyfaces,
    miniboone,
    mnist,
    msnbc,
    omniglot,
    packed,
    shakespeare,
    spoken_digits,
    uci,
)
from ptheta.errors import PthetaError


@dataclass(frozen=True)
class Standard:
    """A standard set.

    Arguments:
        title: What it is, in a line.
        files: Its files in the folder.
        read: Reads them.
        note: What to beware of when it comes from the folder.
    """

    title: str
    files: tuple[str, ...]
    read: Callable[[Sequence[Path]], Contents]
    note: str = ""


@dataclass(frozen=True)
class Whole:
    """A standard set of which the folder holds a subset only.

    Arguments:
        title: What it is, in a line.
        subset: The name of the subset, which stands in where the whole cannot be fetched.
    """

    title: str
    subset: str


def read_standard(name: str) -> Contents:
    """A standard set.

    Arguments:
        name: Its name in `STANDARD`.

    Raises:
        PthetaError: It is not in the folder, and cannot be fetched.
    """
    match STANDARD[name]:
        case Whole(subset=subset):
            return _whole_or_subset(name, subset)
        case set_:
            return _from_folder_or_home(name, set_)


def _whole_or_subset(name: str, subset: str) -> Contents:
    """The whole set where it can be fetched; the subset, by its own name, where only that is."""
    part = STANDARD[subset]
    assert isinstance(part, Standard)
    try:
        return replace(FETCHERS[name](), where=name)
    except PthetaError as error:
        folder, _ = _folder()
        if folder is None or _missing(folder, part):
            raise PthetaError(
                f"'{name}' is not at hand, and {str(error).rstrip('.')}. Connect to the network, "
                f"or set PTHETA_DATA to a folder of benchmark data that holds '{subset}'."
            ) from None
        return _from_folder_or_home(subset, part)


def _from_folder_or_home(name: str, set_: Standard) -> Contents:
    folder, amiss = _folder()
    if folder is not None:
        amiss = _missing(folder, set_)
        if not amiss:
            found = set_.read([folder / file for file in set_.files])
            notes = (*found.notes, set_.note) if set_.note else found.notes
            return replace(found, where=name, notes=notes)
    fetcher = FETCHERS.get(name)
    if fetcher is None:
        raise PthetaError(
            f"'{name}' is not at hand ({amiss}) and cannot be fetched. Set PTHETA_DATA to a "
            "folder of benchmark data that holds it."
        )
    try:
        return replace(fetcher(), where=name)
    except PthetaError as error:
        raise PthetaError(
            f"'{name}' is not at hand ({amiss}), and {str(error).rstrip('.')}. Connect to the "
            "network, or set PTHETA_DATA to a folder of benchmark data that holds it."
        ) from None


def _folder() -> tuple[Path | None, str]:
    given = os.environ.get("PTHETA_DATA")
    if not given:
        return None, "PTHETA_DATA is not set"
    if not (Path(given) / "manifest.json").is_file():
        return None, f"PTHETA_DATA, {given}, holds no manifest.json"
    return Path(given), ""


def _missing(folder: Path, set_: Standard) -> str:
    return next((why for file in set_.files if (why := _amiss(folder, file))), "")


def _amiss(folder: Path, file: str) -> str:
    entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["entries"]
    digest = {entry["file"]: entry["sha256"] for entry in entries}.get(file)
    path = folder / file
    if digest is None or not path.is_file():
        return f"{path} is not there"
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    return "" if found == digest else f"{path} is not the file that the manifest describes"


_MNIST = tuple(
    f"images/mnist/{part}-{what}-ubyte.gz"
    for part in ("train", "t10k")
    for what in ("images-idx3", "labels-idx1")
)
_SUBSET = "A subset of CIFAR-10: 5,000 of its 60,000 images; not comparable with published figures."


def _binary(title: str, file: str, note: str = "") -> Standard:
    return Standard(f"binary density set: {title}", (f"binary/{file}.npz",), packed, note)


def _table(title: str, file: str, read: Callable[..., Contents], note: str = "") -> Standard:
    return Standard(f"UCI table: {title}", (f"tabular/uci/{file}.npz",), read, note)


STANDARD: Mapping[str, Standard | Whole] = {
    "mnist": Standard("handwritten digits, 28 x 28 grey", _MNIST, mnist),
    "binarized-mnist": Standard(
        "handwritten digits, 28 x 28, binarised once and for all",
        ("images/binarized_mnist.npz",),
        binarized_mnist,
    ),
    "omniglot": Standard(
        "handwritten characters of 50 alphabets, 28 x 28 grey",
        ("images/omniglot28.npz",),
        omniglot,
        "Reduced from the original images; not comparable with figures on Burda's 28 x 28 file. "
        "Drawers 16 to 20 are the test rows.",
    ),
    "freyfaces": Standard(
        "one face in a video, 28 x 20 grey",
        ("images/freyfaces.npz",),
        freyfaces,
        "Frames of one video: neighbours fall on both sides of the split, so held-out figures "
        "flatter.",
    ),
    "cifar10": Whole("small colour photographs of 10 classes, 32 x 32", "cifar10-subset"),
    "cifar10-subset": Standard(
        "5,000 images of CIFAR-10", ("images/cifar10_subset.npz",), cifar_subset, _SUBSET
    ),
    "nltcs": _binary("disability survey, 16 variables", "nltcs"),
    "plants": _binary("where plants grow, 69 variables", "plants"),
    "baudio": _binary("music listened to, 100 variables", "baudio"),
    "jester": _binary("jokes liked, 100 variables", "jester"),
    "bnetflix": _binary("films liked, 100 variables", "bnetflix"),
    "msnbc": Standard(
        "binary density set: pages visited, 17 variables",
        ("binary/msnbc.npz",),
        msnbc,
        "Incomplete: the official training rows are missing, and the validation rows stand in for "
        "them; not comparable with published figures.",
    ),
    "accidents": _binary("traffic accidents, 111 variables", "accidents"),
    "pumsb_star": _binary("census, 163 variables", "pumsb_star"),
    "dna": _binary("splice junctions, 180 variables", "dna"),
    "bbc": _binary("words of news, 1058 variables", "bbc"),
    "mushrooms": _binary("mushrooms, 112 variables", "mushrooms"),
    "connect4": _binary("positions of a game, 126 variables", "connect4"),
    "nips": _binary("words of papers, 500 variables", "nips"),
    "adult-binary": _binary(
        "census, 123 variables",
        "adult",
        "The test rows are rebuilt from another copy; their number is the official one.",
    ),
    "concrete": _table(
        "strength of concrete, 9 columns",
        "concrete",
        uci(
            "cement slag fly_ash water superplasticizer coarse_aggregate fine_aggregate age "
            "strength"
        ),
    ),
    "energy": _table(
        "heating of buildings, 9 columns",
        "energy",
        uci(
            "compactness surface_area wall_area roof_area height orientation glazing_area "
            "glazing_distribution heating_load"
        ),
    ),
    "kin8nm": _table(
        "a robot's arm, 9 columns",
        "kin8nm",
        uci("theta1 theta2 theta3 theta4 theta5 theta6 theta7 theta8 distance"),
    ),
    "naval": _table(
        "a ship's turbine, 14 columns",
        "naval",
        uci(
            "lever speed turbine_torque turbine_rpm generator_rpm starboard_torque port_torque t48 "
            "t1 t2 p48 p1 p2 exhaust_pressure injection fuel_flow compressor_decay "
            "turbine_decay",
            leave_out=(6, 8, 11, 17),
        ),
        "Without its two constant columns, the copy of another column, and the second target.",
    ),
    "power-plant": _table(
        "output of a power plant, 5 columns",
        "power_plant",
        uci("temperature vacuum pressure humidity output"),
    ),
    "protein": _table(
        "structure of proteins, 10 columns",
        "protein",
        uci("f1 f2 f3 f4 f5 f6 f7 f8 f9 rmsd"),
    ),
    "wine-red": _table(
        "red wines, 12 columns",
        "wine_red",
        uci(
            "fixed_acidity volatile_acidity citric_acid residual_sugar chlorides free_sulfur "
            "total_sulfur density ph sulphates alcohol quality"
        ),
    ),
    "yacht": _table(
        "resistance of yachts, 7 columns",
        "yacht",
        uci("buoyancy prismatic length_displacement beam_draught length_beam froude resistance"),
    ),
    "miniboone-head": Standard(
        "the first 1,523 rows of MiniBooNE, 43 columns",
        ("tabular/miniboone_head.npz",),
        miniboone,
        "A fragment of the head of MiniBooNE; not comparable with published figures.",
    ),
    "adult": Standard(
        "census of incomes: mixed columns, missing values",
        ("tabular/adult_train.csv.gz", "tabular/adult_test.csv.gz"),
        adult,
    ),
    "shakespeare": Standard(
        "plays in one text, as windows of characters",
        ("text/tinyshakespeare.txt.gz",),
        shakespeare,
        "The last tenth of the text, usually called validation, is the test split.",
    ),
    "eng-fra": Whole("English sentences and their French translations", "eng-fra-subset"),
    "eng-fra-subset": Standard(
        "40,000 short English sentences and their French translations",
        ("text/eng_fra_subset.tsv.gz",),
        eng_fra,
        "A subset of the pairs of Tatoeba: short sentences, each once; not comparable with "
        "published figures. Its French sentences are the examples, 'english' is the context.",
    ),
    "spoken-digits": Standard(
        "recordings of digits by six speakers, 8 kHz, as windows of samples",
        ("audio/fsdd_subset.npz",),
        spoken_digits,
        "900 of the 3,000 recordings of the Free Spoken Digit Dataset: all of its test recordings "
        "(takes 0 to 4), and takes 5 to 14. 'digit' and 'speaker' can be the context.",
    ),
}
