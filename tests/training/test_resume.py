import pytest
import torch

from ptheta.fitting import fit, load
from ptheta.training.folder import RunFolder

SMALL = {
    "realnvp": {"layers": 2, "hidden_features": 8},
    "gan": {},
    "gmm": {"components": 3},
    "ebm": {},
    "made": {},
    "vae": {},
    "ncsn": {},
    "rbm": {"halving_steps": 2, "temperatures": 5},
}


class Killed(BaseException):
    """Stands for kill -9: nothing catches it, nothing is written after it."""


def killed_at(step):
    def callback(now, metrics):
        if now == step:
            raise Killed

    return callback


def state_of(folder):
    return RunFolder(folder).read_state()


def assert_same(one, other, path=""):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            if key != "seconds":
                assert_same(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{path}/{i}")
    else:
        assert one == other, path


@pytest.mark.parametrize("recipe", SMALL)
def test_cut_off_and_resumed_is_the_same_bits(recipe, levels, tmp_path):
    options = {"settings": SMALL[recipe], "steps": 6, "checkpoint_seconds": 0.0}
    fit(levels, recipe, out=tmp_path / "whole", **options)
    with pytest.raises(Killed):
        fit(levels, recipe, out=tmp_path / "cut", callbacks=[killed_at(2)], **options)
    with pytest.raises(Killed):
        fit(levels, recipe, out=tmp_path / "cut", callbacks=[killed_at(4)], resume=True, **options)
    fit(levels, recipe, out=tmp_path / "cut", resume=True, **options)
    whole, cut = (load(tmp_path / name) for name in ("whole", "cut"))
    assert_same(whole.model.state_dict(), cut.model.state_dict())
    assert_same(state_of(tmp_path / "whole"), state_of(tmp_path / "cut"))
    assert [row["step"] for row in whole.history] == [row["step"] for row in cut.history]


def test_n_steps_twice_is_two_n_steps(blobs, tmp_path):
    fit(blobs, "realnvp", steps=10, out=tmp_path / "whole")
    fit(blobs, "realnvp", steps=5, out=tmp_path / "parts")
    fit(blobs, "realnvp", steps=10, out=tmp_path / "parts", resume=True)
    assert_same(state_of(tmp_path / "whole"), state_of(tmp_path / "parts"))


def test_the_same_seed_is_the_same_model_and_the_callers_state_is_untouched(blobs):
    before = torch.get_rng_state()
    one, other = (fit(blobs, "realnvp", steps=5, seed=3).model for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert_same(one.state_dict(), other.state_dict())
    third = fit(blobs, "realnvp", steps=5, seed=4).model
    assert not torch.equal(one.log_prob(blobs.test.x), third.log_prob(blobs.test.x))
