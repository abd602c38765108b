"""What a run leaves on disk: plain JSON and safetensors, written whole or not at all.

``run.json`` says what was run. ``model.safetensors`` holds the model, and ``state.json`` with the
``state-<step>.safetensors`` that it names holds what resuming needs: ``state.json`` is replaced
last, so that a run cut off at any moment finds a whole state. ``metrics.jsonl`` is the history.
Nothing is pickled, and nothing is executed on load.
"""

__all__ = ["FORMAT", "RunFolder", "RunRecord"]

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from ptheta.errors import PthetaError
from ptheta.files import CannotWrite, replacing
from ptheta.spaces import Categorical, Discrete, Positive, Real, Table
from ptheta.training.state import join_state, split_state

FORMAT = 3
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib")

# what the weights mean; a change of these after a fit would go unseen
_MEANING = ("recipe", "settings", "space", "context_space", "columns")
_MOST = 2**63 - 1

AnySpace = Annotated[Real | Positive | Discrete | Categorical | Table, Field(discriminator="kind")]


class Origin(BaseModel):
    """What `ptheta.load_data` was asked for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str
    context: str | None = None
    kinds: dict[str, str] = {}
    drop: list[str] = []
    splits: Annotated[list[float], Field(min_length=3, max_length=3)] | None = None
    image_size: Annotated[int, Field(ge=1)] | None = None
    window: Annotated[int, Field(ge=1)] | None = None
    rate: Annotated[int, Field(ge=1)] | None = None
    strict: bool = False
    stream: bool | None = None
    seed: Annotated[int, Field(ge=0, le=_MOST)] = 0


def _loadable(origin: dict[str, Any]) -> dict[str, Any]:
    if origin:
        Origin.model_validate(origin)
    return origin


class RunRecord(BaseModel):
    """What ``run.json`` holds: enough to build the model again, and to repeat the run."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    format: Annotated[int, Field(strict=True, ge=1)] = FORMAT
    recipe: str
    settings: dict[str, Any]
    space: AnySpace
    context_space: Annotated[Real | Categorical, Field(discriminator="kind")] | None = None
    class_counts: tuple[Annotated[int, Field(ge=0, le=_MOST)], ...] = ()
    columns: tuple[str, ...] = ()
    data: str = ""
    origin: Annotated[dict[str, Any], AfterValidator(_loadable)] = {}
    fingerprint: str = ""
    seed: int = 0
    precision: str = "32-true"
    processes: int = 1
    batch_size: Annotated[int, Field(ge=1, le=_MOST)] | None = None
    versions: dict[str, str] = {}
    steps: Annotated[int, Field(ge=0, le=_MOST)] = 0
    seconds: float = 0.0
    stopped: str = ""
    finished: bool = False
    error: str = ""


class RunFolder:
    """The folder of a run.

    Arguments:
        path: Where it is.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def exists(self) -> bool:
        """Whether a run has been written here."""
        return (self.path / "run.json").is_file()

    def create(self) -> None:
        """Makes the folder.

        Raises:
            PthetaError: It cannot be made, or it holds something else.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWrite(
                f"cannot make the run folder {self.path}: {error.strerror}."
            ) from None
        if not self.exists and any(self.path.iterdir()):
            raise PthetaError(
                f"{self.path} is not empty and is not a run of ptheta's; name another folder."
            )

    def write_record(self, record: RunRecord) -> None:
        """Writes ``run.json``."""
        self._write("run.json", record.model_dump_json(indent=2).encode())

    def read_record(self) -> RunRecord:
        """Reads ``run.json``.

        Raises:
            PthetaError: It is missing, not readable, or from a newer version, or a pickle lies
                beside it.
        """
        self._refuse_pickles()
        text = self._read("run.json")
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise PthetaError(f"{self.path / 'run.json'} is not JSON: {_CUT_OFF}") from None
        version = found.get("format") if isinstance(found, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise PthetaError(
                f"{self.path} was written by a newer ptheta (format {version}, this one reads "
                f"{FORMAT}); upgrade with `pip install -U ptheta`."
            )
        try:
            return RunRecord.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "its top"
            reason = first["msg"].removeprefix("Value error, ").lower()
            raise PthetaError(
                f"{self.path / 'run.json'} is damaged at '{place}': {reason}. "
                "Restore it, or fit again."
            ) from None

    def write_model(self, tensors: Mapping[str, Tensor]) -> None:
        """Writes ``model.safetensors``, with digests of its contents and of what they mean."""
        self._write("model.safetensors", _pack(tensors, self._meaning()))

    def read_model(self) -> dict[str, Tensor]:
        """Reads ``model.safetensors``.

        Raises:
            PthetaError: It is missing, cut off, edited, or something else, or ``run.json`` was
                changed after the fit.
        """
        tensors, metadata = self._unpack("model.safetensors")
        # runs of older versions have no digest of their record
        stated = metadata.get("record")
        if stated is not None and stated != self._meaning().get("record"):
            raise PthetaError(
                f"{self.path / 'run.json'} was changed after the fit: its {', '.join(_MEANING)} "
                "are not all those that model.safetensors was written with. Restore it, or fit "
                "again."
            )
        return tensors

    def write_state(self, step: int, state: Mapping[str, Any]) -> None:
        """Writes what resuming needs; until it is whole, the former state stands."""
        skeleton, tensors = split_state(state)
        name = f"state-{step}.safetensors"
        self._write(name, _pack(tensors))
        content = {"tensors": name, "state": skeleton}
        content["sha256"] = _digest_of_json(content)
        self._write("state.json", json.dumps(content).encode())
        for old in self.path.glob("state-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)

    @property
    def has_state(self) -> bool:
        """Whether there is something to resume from."""
        return (self.path / "state.json").is_file()

    def read_state(self) -> Any | None:
        """Reads what resuming needs, or None where nothing was written.

        Raises:
            PthetaError: It is damaged.
        """
        if not self.has_state:
            return None
        try:
            found = json.loads(self._read("state.json"))
            # states of older versions have no digest
            stated = "sha256" in found
            if stated and found.pop("sha256") != _digest_of_json(found):
                raise PthetaError(
                    f"{self.path / 'state.json'} does not match its own digest: {_CUT_OFF}"
                )
            tensors, _ = self._unpack(Path(found["tensors"]).name)
            return join_state(found["state"], tensors)
        except PthetaError:
            raise
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
            raise PthetaError(f"{self.path / 'state.json'} is damaged: {_CUT_OFF}") from None

    def append_metrics(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Appends to ``metrics.jsonl``."""
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        try:
            with (self.path / "metrics.jsonl").open("a") as file:
                file.write(lines)
        except OSError as error:
            raise self._cannot_write("metrics.jsonl", error) from None

    def read_metrics(self) -> list[dict[str, float]]:
        """Reads ``metrics.jsonl``; a last line that was cut off is left out.

        Raises:
            PthetaError: Another line is damaged; the message says which.
        """
        if not (self.path / "metrics.jsonl").is_file():
            return []
        lines = self._read("metrics.jsonl").split(b"\n")
        rows = [_figures(line) for line in lines[:-1]]
        if None in rows:
            raise PthetaError(
                f"{self.path / 'metrics.jsonl'} is damaged in line {rows.index(None) + 1}. Restore "
                "it, or remove it: the run is then without a history."
            )
        last = _figures(lines[-1])
        return cast("list[dict[str, float]]", rows if last is None else [*rows, last])

    def rewrite_metrics(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Replaces ``metrics.jsonl``."""
        self._write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())

    def _read(self, name: str) -> bytes:
        if not self.path.is_dir():
            raise PthetaError(f"there is no run folder {self.path}.")
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            raise PthetaError(self._absent(name)) from None
        except OSError as error:
            raise PthetaError(f"cannot read {self.path / name}: {error.strerror}.") from None

    def _absent(self, name: str) -> str:
        if not self.exists:
            return f"{self.path} is not a run of ptheta's: it has no {name}."
        again = f"`ptheta fit ... --out {self.path} --resume`"
        if name != "model.safetensors":
            return (
                f"{self.path} is damaged: {name}, which state.json names, is not there. Restore "
                "it, or fit again into another folder."
            )
        return (
            f"the fit in {self.path} was cut off, or is still going on: there is no {name} yet. "
            f"Wait for it, or go on with the same command: {again}."
        )

    def _meaning(self) -> dict[str, str]:
        """A digest of what ``run.json`` says that the weights mean; nothing without such a file.

        It is taken of the file and not of the record read from it, so that a version of ptheta
        which knows more fields finds the same.
        """
        if not self.exists:
            return {}
        found = json.loads(self._read("run.json"))
        return {"record": _digest_of_json({name: found.get(name) for name in _MEANING})}

    def _unpack(self, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        import safetensors.torch

        content = self._read(name)
        try:
            tensors = safetensors.torch.load(content)
            size = int.from_bytes(content[:8], "little")
            metadata = json.loads(content[8 : 8 + size]).get("__metadata__", {})
        except (SafetensorError, ValueError, KeyError, RecursionError):
            raise PthetaError(
                f"{self.path / name} is not a whole safetensors file: {_CUT_OFF} "
                "Nothing in it was executed."
            ) from None
        if metadata.get("sha256") != _digest(tensors):
            raise PthetaError(
                f"{self.path / name} does not match its own digest: it was edited or damaged. "
                "Restore it, or fit again."
            )
        return tensors, metadata

    def _refuse_pickles(self) -> None:
        pickles = sorted(p.name for p in self.path.glob("*") if p.suffix.lower() in _PICKLES)
        if pickles:
            raise PthetaError(
                f"{self.path} holds {pickles[0]}, which is a pickle or may be one; ptheta never "
                "unpickles, since that can run anything. Weights are read from "
                "model.safetensors alone: move the other file out of the folder."
            )

    def _write(self, name: str, content: bytes) -> None:
        try:
            with replacing(self.path / name) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise self._cannot_write(name, error) from None

    def _cannot_write(self, name: str, error: OSError) -> CannotWrite:
        kept = "what was written before is whole" if self.exists else "nothing was written"
        free = shutil.disk_usage(self.path).free if self.path.is_dir() else 0
        return CannotWrite(
            f"cannot write {self.path / name}: {error.strerror or error} "
            f"({free / 1e6:.0f} MB free); {kept}.",
            "Make room, then go on with --resume.",
        )


_CUT_OFF = "it was cut off, edited, or is not ptheta's. Restore it, or fit again."


def _figures(line: bytes) -> dict[str, float] | None:
    """A row of the history, or None where a line is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    row = cast("dict[str, Any]", found)
    return row if all(isinstance(value, int | float) for value in row.values()) else None


def _pack(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    import safetensors.torch

    # safetensors refuses tensors that share memory; a clone of each is sure not to
    apart = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return safetensors.torch.save(apart, metadata={"sha256": _digest(apart), **metadata})


def _digest_of_json(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _digest(tensors: Mapping[str, Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
