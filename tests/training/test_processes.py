"""Two processes give the gradient of the doubled batch."""

from functools import partial

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from safetensors.torch import load_file, save_file

from ptheta.fitting import fit
from ptheta.objectives.types import Batch
from ptheta.recipes.registry import build
from ptheta.spaces import Real
from ptheta.training.devices import in_process_group
from ptheta.training.state import split_state

ROWS = 16


def _batch():
    return torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(0))


def _gradients(fabric, recipe, noise):
    """The gradients of one update on this process's share, with noise that belongs to the rows.

    They are read from Adam's first moments, which after one step are the gradients times a
    constant: the step itself is a sign, and tells noise from zero.
    """
    torch.manual_seed(0)
    algorithm = build(recipe, Real((2,)), settings=_small(recipe))
    algorithm.model.initialize(_batch())
    algorithm.learner.setup(fabric)
    share = slice(fabric.global_rank, None, fabric.world_size)
    rows = _batch()[share]
    original = torch.randn
    torch.randn = lambda *shape, **_: noise[share][: shape[0], : shape[-1]]
    try:
        algorithm.learner.step(Batch(rows))
    finally:
        torch.randn = original
    _, tensors = split_state(algorithm.learner.state_dict())
    return {name: value for name, value in tensors.items() if name.endswith("exp_avg")}


def _small(recipe):
    return {"layers": 2, "hidden_features": 8} if recipe == "realnvp" else {}


def _in_process(fabric, recipe, noise, path):
    with in_process_group(fabric):
        gradients = _gradients(fabric, recipe, noise)
        if fabric.is_global_zero:
            save_file(gradients, path)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["realnvp", "gan"])
def test_two_processes_are_one_with_the_doubled_batch(recipe, tmp_path):
    noise = torch.randn(ROWS, 512, generator=torch.Generator().manual_seed(1))
    one = _gradients(Fabric(accelerator="cpu", devices=1), recipe, noise)
    strategy = DDPStrategy(start_method="spawn", broadcast_buffers=False)
    two = Fabric(accelerator="cpu", devices=2, strategy=strategy)
    path = tmp_path / "state.safetensors"
    two.launch(partial(_in_process, recipe=recipe, noise=noise, path=path))
    found = load_file(path)
    assert found.keys() == one.keys()
    assert sum(value.abs().sum() for value in one.values()) > 0
    for name, value in found.items():
        torch.testing.assert_close(value, one[name], rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_fit_with_two_processes(blobs, tmp_path):
    run = fit(blobs, "realnvp", steps=20, processes=2, device="cpu", out=tmp_path / "run")
    assert run.steps == 20
    assert run.model.log_prob(blobs.test.x).isfinite().all()
