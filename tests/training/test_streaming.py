import numpy as np
import pytest
import torch

from ptheta.data.dataset import Data, MappedRows, Split
from ptheta.fitting import fit, load
from ptheta.spaces import Real
from ptheta.training import batches


@pytest.fixture
def streamed(tmp_path):
    rows = np.random.default_rng(0).normal(3.0, 2.0, (1000, 2)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    splits = [Split(MappedRows(mapped[part], torch.float32))
              for part in (slice(0, 700), slice(700, 800), slice(800, 1000))]  # fmt: skip
    return Data("rows", Real((2,)), *splits, fingerprint="rows")


@pytest.mark.parametrize("recipe", ["realnvp", "gmm", "independent"])
def test_rows_on_disk_are_fitted_as_rows_in_memory(streamed, recipe):
    held = Data(
        "rows",
        streamed.space,
        *(Split(split.x[:]) for split in (streamed.train, streamed.validation, streamed.test)),
        fingerprint="rows",
    )
    one, other = (fit(data, recipe, steps=5).model for data in (streamed, held))
    x = held.test.x
    torch.testing.assert_close(one.log_prob(x), other.log_prob(x))


@pytest.mark.parametrize("recipe", ["gmm", "independent"])
def test_pieces_of_a_file_count_as_the_whole(streamed, monkeypatch, tmp_path, recipe):
    whole = fit(streamed, recipe)
    monkeypatch.setattr(batches, "PIECE", 300)  # of 700 rows: the last piece is shorter
    parts = fit(streamed, recipe, out=tmp_path / "run")
    assert parts.steps == 3 * whole.steps
    x = streamed.test.x[:]
    torch.testing.assert_close(
        parts.model.log_prob(x), whole.model.log_prob(x), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(
        load(tmp_path / "run").model.log_prob(x), parts.model.log_prob(x), rtol=0, atol=0
    )


def test_a_pass_in_pieces_resumes_to_the_same_bits(streamed, monkeypatch, tmp_path):
    monkeypatch.setattr(batches, "PIECE", 300)
    once = fit(streamed, "gmm", steps=8, out=tmp_path / "once")
    fit(streamed, "gmm", steps=4, out=tmp_path / "twice")  # in the middle of the second pass
    twice = fit(streamed, "gmm", steps=8, out=tmp_path / "twice", resume=True)
    for one, other in zip(
        once.model.state_dict().values(), twice.model.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
