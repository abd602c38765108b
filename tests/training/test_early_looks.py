"""Small data are learnt by heart at once: the best model is one of the first."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_wine
from torch import nn

from ptheta.data.load import load_data
from ptheta.density import densities
from ptheta.errors import PthetaError
from ptheta.fitting import fit
from ptheta.training.validation import Validation


class Listed:
    """A figure that goes through a list."""

    name, slack = "figure", 0.0

    def __init__(self, values):
        self.values = iter(values)

    def __call__(self, model):
        return next(self.values)


def test_early_looks_come_at_the_start_and_cost_no_patience():
    validation = Validation(nn.Linear(1, 1), Listed([0.0, *range(-1, -8, -1)]), 100, 2, early=True)
    looked = [step for step in range(101) if validation.due(step)]
    assert looked == [0, 1, 2, 5, 10, 20, 50, 100]
    for step in looked:
        assert validation(step, {}) is None
    assert validation.best_step == 0
    assert validation.misses == 1


@pytest.mark.parametrize("recipe", ["realnvp", "made"])
def test_a_table_of_few_rows_is_not_learnt_by_heart(recipe):
    data = load_data(pd.DataFrame(load_wine().data, columns=load_wine().feature_names))
    run = fit(data, recipe, steps=200)
    alone = fit(data, "independent")
    # medians, since of the 27 rows one far out decides what the mean is
    nats = [
        -densities(fitted.model, data.test.x, space=data.space).values.median().item()
        for fitted in (run, alone)
    ]
    # of 124 training rows; a flow of 200 steps is beyond 500 nats
    assert nats[0] < nats[1] + 5


def test_held_out_rows_beyond_all_reason_are_named_as_the_cause():
    g = np.random.default_rng(0)
    x = g.normal(size=(300, 2)).astype(np.float32)
    x[250] = 3e38
    data = load_data(x, splits=(0.4, 0.3, 0.3))
    assert data.validation.x[:].max() > 1e38
    with pytest.raises(PthetaError, match="extreme values in the data"):
        fit(data, "realnvp", steps=20)


def test_what_was_refused_leaves_its_folder_free(tmp_path):
    x = torch.randn(60, 2)
    with pytest.raises(PthetaError, match="5000 components are more than"):
        fit(load_data(x), "gmm", settings={"components": 5000}, out=tmp_path / "run")
    run = fit(load_data(x), "gmm", settings={"components": 2}, out=tmp_path / "run")
    assert run.folder == tmp_path / "run"


@pytest.mark.parametrize(("batch_size", "looked"), [(512, True), (64, False)])
def test_what_is_not_seen_twice_in_fifty_steps_is_not_looked_at_early(batch_size, looked):
    # 7000 rows: 14 steps an epoch, or 110
    run = fit("moons", "realnvp", settings={"batch_size": batch_size}, steps=30)
    early = [row for row in run.history if row["step"] == 20 and "validation" in row]
    assert bool(early) == looked
