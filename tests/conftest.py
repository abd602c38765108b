import os

# one thread: tests are small, and barriers that spin are slow beside another busy process
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from ptheta.cli import main
from ptheta.data.dataset import Data, Split
from ptheta.spaces import Discrete, Real


def split(x, context=None, sizes=(0.7, 0.1, 0.2)):
    ends = [round(len(x) * sum(sizes[:i])) for i in range(1, 4)]
    parts = [slice(0, ends[0]), slice(ends[0], ends[1]), slice(ends[1], ends[2])]
    return [Split(x[p], None if context is None else context[p]) for p in parts]


@pytest.fixture(scope="session")
def exit_code():
    """Runs a command; gives its exit code."""

    def run(*arguments):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            return stop.code or 0
        return 0

    return run


@pytest.fixture
def blobs():
    """Two Gaussians in the plane, at (-2, 0) and (2, 0), with deviation 0.5."""
    g = torch.Generator().manual_seed(0)
    centre = torch.where(torch.rand(600, 1, generator=g) < 0.5, -2.0, 2.0)
    x = torch.cat([centre, torch.zeros(600, 1)], 1) + 0.5 * torch.randn(600, 2, generator=g)
    return Data("blobs", Real((2,)), *split(x), fingerprint="blobs")


@pytest.fixture
def levels():
    """Images of 1 x 3 x 3 with five levels, brighter in one half."""
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 5, (300, 1, 3, 3), generator=g)
    x[:, :, 0] = 0
    return Data(
        "levels",
        Discrete((1, 3, 3), 5, layout="image"),
        *split(x.to(torch.uint8)),
        fingerprint="levels",
    )


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
