"""What a run leaves on disk: plain JSON and safetensors, written whole or not at all.

``run.json`` says what was run. ``model.safetensors`` holds the model, and ``state.json`` with the
``state-<step>.safetensors`` that it names holds what resuming needs: ``state.json`` is replaced
last, so that a run cut off at any moment finds a whole state. ``metrics.jsonl`` is the history.
Nothing is pickled, and nothing is executed on load.
"""

__all__ = ["FORMAT", "RunFolder", "RunRecord"]

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from ptheta.errors import PthetaError
from ptheta.spaces import Categorical, Discrete, Positive, Real, Table
from ptheta.training.state import join_state, split_state

FORMAT = 1
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib")

AnySpace = Annotated[Real | Positive | Discrete | Categorical | Table, Field(discriminator="kind")]


class RunRecord(BaseModel):
    """What ``run.json`` holds: enough to build the model again, and to repeat the run."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    format: int = FORMAT
    recipe: str
    settings: dict[str, Any]
    space: AnySpace
    context_space: Annotated[Real | Categorical, Field(discriminator="kind")] | None = None
    columns: tuple[str, ...] = ()
    data: str = ""
    origin: dict[str, Any] = {}
    fingerprint: str = ""
    seed: int = 0
    precision: str = "32-true"
    processes: int = 1
    batch_size: int | None = None
    versions: dict[str, str] = {}
    steps: int = 0
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
            raise PthetaError(
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
            PthetaError: It is missing, not readable, or from a newer version.
        """
        text = self._read("run.json")
        try:
            found = json.loads(text)
        except ValueError:
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
            place = ".".join(str(part) for part in first["loc"])
            raise PthetaError(
                f"{self.path / 'run.json'} is damaged at '{place}': {first['msg'].lower()}. "
                "Restore it, or fit again."
            ) from None

    def write_model(self, tensors: Mapping[str, Tensor]) -> None:
        """Writes ``model.safetensors``, with a digest of its contents."""
        self._write("model.safetensors", _pack(tensors))

    def read_model(self) -> dict[str, Tensor]:
        """Reads ``model.safetensors``.

        Raises:
            PthetaError: It is missing, cut off, edited, or something else.
        """
        if not (self.path / "model.safetensors").is_file():
            self._refuse_pickles()
        return self._unpack("model.safetensors")

    def write_state(self, step: int, state: Mapping[str, Any]) -> None:
        """Writes what resuming needs; until it is whole, the former state stands."""
        skeleton, tensors = split_state(state)
        name = f"state-{step}.safetensors"
        self._write(name, _pack(tensors))
        self._write("state.json", json.dumps({"tensors": name, "state": skeleton}).encode())
        for old in self.path.glob("state-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def read_state(self) -> Any | None:
        """Reads what resuming needs, or None where nothing was written.

        Raises:
            PthetaError: It is damaged.
        """
        if not (self.path / "state.json").is_file():
            return None
        try:
            found = json.loads(self._read("state.json"))
            name = Path(found["tensors"]).name
            return join_state(found["state"], self._unpack(name))
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, PthetaError):
                raise
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
        """Reads ``metrics.jsonl``; a last line that was cut off is left out."""
        path = self.path / "metrics.jsonl"
        rows: list[dict[str, float]] = []
        for line in path.read_text().splitlines() if path.is_file() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def rewrite_metrics(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Replaces ``metrics.jsonl``."""
        self._write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())

    def _read(self, name: str) -> bytes:
        if not self.path.is_dir():
            raise PthetaError(f"there is no run folder {self.path}.")
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            self._refuse_pickles()
            raise PthetaError(f"{self.path} is not a run of ptheta's: it has no {name}.") from None
        except OSError as error:
            raise PthetaError(f"cannot read {self.path / name}: {error.strerror}.") from None

    def _unpack(self, name: str) -> dict[str, Tensor]:
        import safetensors.torch

        content = self._read(name)
        try:
            tensors = safetensors.torch.load(content)
            size = int.from_bytes(content[:8], "little")
            stated = json.loads(content[8 : 8 + size]).get("__metadata__", {}).get("sha256")
        except (SafetensorError, ValueError):
            raise PthetaError(
                f"{self.path / name} is not a whole safetensors file: {_CUT_OFF} "
                "Nothing in it was executed."
            ) from None
        if stated != _digest(tensors):
            raise PthetaError(
                f"{self.path / name} does not match its own digest: it was edited or damaged. "
                "Restore it, or fit again."
            )
        return tensors

    def _refuse_pickles(self) -> None:
        pickles = sorted(p.name for p in self.path.glob("*") if p.suffix in _PICKLES)
        if pickles:
            raise PthetaError(
                f"{self.path} holds {pickles[0]}, which is a pickle or may be one; ptheta never "
                "unpickles, since that can run anything. Weights are read from "
                "model.safetensors alone."
            )

    def _write(self, name: str, content: bytes) -> None:
        temporary = None
        try:
            with tempfile.NamedTemporaryFile(
                dir=self.path, prefix=f".{name}.", delete=False
            ) as file:
                temporary = Path(file.name)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(self.path / name)
        except OSError as error:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            raise self._cannot_write(name, error) from None

    def _cannot_write(self, name: str, error: OSError) -> PthetaError:
        kept = "what was written before is whole" if self.exists else "nothing was written"
        free = shutil.disk_usage(self.path).free if self.path.is_dir() else 0
        return PthetaError(
            f"cannot write {self.path / name}: {error.strerror or error} "
            f"({free / 1e6:.0f} MB free); {kept}. Make room, then go on with --resume."
        )


_CUT_OFF = "it was cut off, edited, or is not ptheta's. Restore it, or fit again."


def _pack(tensors: Mapping[str, Tensor]) -> bytes:
    import safetensors.torch

    # safetensors refuses tensors that share memory; a clone of each is sure not to
    apart = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return safetensors.torch.save(apart, metadata={"sha256": _digest(apart)})


def _digest(tensors: Mapping[str, Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
