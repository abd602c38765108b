import numpy as np
import pytest
import torch

from ptheta.data.dataset import Data, MappedRows, Split
from ptheta.fitting import fit
from ptheta.spaces import Real


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
