"""Where a fit runs: Lightning Fabric for a device, a precision and a number of processes."""

from __future__ import annotations

__all__ = [
    "PRECISIONS",
    "Precision",
    "Prepared",
    "has_compiler",
    "in_process_group",
    "interrupted_by_children",
    "make_fabric",
    "prepare",
    "resolve_device",
]

import logging
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn

from ptheta.errors import PthetaError, nearest

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["32-true", "bf16-mixed"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


def resolve_device(name: str) -> str:
    """The device that a name stands for on this machine.

    Arguments:
        name: auto, cpu, cuda or mps; auto is cuda where there is one.

    Raises:
        PthetaError: There is no such device here, or it lacks what ptheta needs.
    """
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": True,
    }
    if name == "auto":
        return "cuda" if available["cuda"] else "cpu"
    if name not in available:
        raise PthetaError(f"there is no device '{name}'. {nearest(name, ['auto', *available])}")
    if name == "mps":
        raise PthetaError(
            "Apple GPUs have no float64, in which ptheta keeps tables, sums and the scale of the "
            "data; use cpu, which suits models of this size."
        )
    if not available[name]:
        raise PthetaError(f"this machine has no {name} device that torch can use; try cpu or auto.")
    return name


@cache
def has_compiler(device: str) -> bool:
    """Whether torch can compile for a kind of device here, which needs a compiler of C++ or Triton.

    Arguments:
        device: The kind of device, such as cpu.
    """
    try:
        torch.compile(torch.sin)(torch.zeros(1, device=device))
    except Exception:  # whatever stands in its way, what is not compiled is as right
        return False
    return True


def make_fabric(device: str = "auto", precision: str = "32-true", processes: int = 1) -> Fabric:
    """Fabric for a device, a precision and a number of processes.

    Arguments:
        device: auto, cpu, cuda or mps.
        precision: The arithmetic, such as 32-true or bf16-mixed.
        processes: The number of processes, each on a device (or a share of the processor).

    Raises:
        PthetaError: There is no such device or precision here, or not room for so many processes.
    """
    if precision not in PRECISIONS:
        raise PthetaError(f"there is no precision '{precision}'. {nearest(precision, PRECISIONS)}")
    from lightning_fabric import Fabric

    # what was asked for need not be said again
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    accelerator = resolve_device(device)
    checked = cast("Precision", precision)
    if processes == 1:
        return Fabric(accelerator=accelerator, devices=1, precision=checked)
    room = torch.cuda.device_count() if accelerator == "cuda" else max(2, os.cpu_count() or 2)
    if processes > room:
        raise PthetaError(
            f"{processes} processes are more than this machine has room for "
            f"({room} {'devices' if accelerator == 'cuda' else 'processors'}). Ask for fewer."
        )
    from ptheta.training.processes import QuietDDP

    strategy = QuietDDP(start_method="spawn", broadcast_buffers=False)
    return Fabric(accelerator=accelerator, devices=processes, precision=checked, strategy=strategy)


class Prepared(NamedTuple):
    """A module and its optimiser, ready for the devices in use, and how to go backward."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    backward: Callable[[Tensor], None]


def prepare(fabric: Fabric, module: nn.Module, optimizer: torch.optim.Optimizer) -> Prepared:
    """Makes a module and its optimiser ready for the devices in use.

    One process in full precision needs nothing but the device, and Fabric's wrappers would cost
    a small network a tenth of its step; so there they are left out.

    Arguments:
        fabric: The fabric.
        module: What is trained, loss included, so that wrappers see one forward.
        optimizer: Its optimiser.
    """
    if fabric.world_size == 1 and type(fabric.strategy.precision) is _full_precision():
        return Prepared(fabric.to_device(module), optimizer, _backward)
    wrapped, wrapped_optimizer = fabric.setup(module, optimizer)
    return Prepared(wrapped, wrapped_optimizer, fabric.backward)


def _full_precision() -> type:
    from lightning_fabric.plugins.precision.precision import Precision as FullPrecision

    return FullPrecision


def _backward(loss: Tensor) -> None:
    loss.backward()


@contextmanager
def interrupted_by_children() -> Generator[None]:
    """A block in which Ctrl-C is for the processes that it waits for: they save, and then end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _left_to_children)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _left_to_children(signum: int, frame: FrameType | None) -> None:
    pass


@contextmanager
def in_process_group(fabric: Fabric) -> Generator[None]:
    """A block that runs in each of several processes; they leave it together.

    A process that ended while another still talks to it would abort.

    Arguments:
        fabric: The fabric that launched the processes.
    """
    try:
        yield
        fabric.barrier()
    finally:
        torch.distributed.destroy_process_group()
