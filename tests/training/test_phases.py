"""Training in phases: what is trained when, and going on from a checkpoint in each phase."""

import numpy as np
import pytest
import torch

import ptheta
from ptheta.objectives.types import Batch, Loss
from ptheta.training.devices import make_fabric
from ptheta.training.gradient import GradientLearner
from ptheta.training.phases import InPhases, Phase


class Pull:
    """Draws a weight to the mean of the data."""

    def loss(self, model, batch):
        return Loss((model.weight - batch.x.mean()).square().sum())


def test_each_phase_trains_its_own_for_its_steps_and_the_last_for_the_rest():
    models = [torch.nn.Linear(1, 1, bias=False) for _ in range(3)]
    begun = []
    learner = InPhases(
        [
            Phase(
                GradientLearner(model, Pull(), learning_rate=0.1),
                steps=2,
                begin=lambda batch, k=k: begun.append((k, batch.x.item())),
            )
            for k, model in enumerate(models)
        ]
    )
    learner.setup(make_fabric("cpu"))
    trained = []
    for step in range(8):
        before = [model.weight.item() for model in models]
        learner.step(Batch(torch.full((1, 1), 10.0 + step)))
        after = [model.weight.item() for model in models]
        trained.append([k for k in range(3) if before[k] != after[k]])
    assert trained == [[0], [0], [1], [1], [2], [2], [2], [2]]
    assert begun == [(0, 10.0), (1, 12.0), (2, 14.0)]


@pytest.fixture
def bits(tmp_path):
    rows = np.random.default_rng(0).integers(0, 2, (300, 6))
    rows[:, 3:] = rows[:, :3]
    np.save(tmp_path / "bits.npy", rows.astype(np.uint8))
    return tmp_path / "bits.npy"


@pytest.mark.parametrize("recipe", ["dbn", "dbm"])
@pytest.mark.parametrize("cut", [3, 5, 10, 12, 18])
def test_training_cut_in_any_phase_goes_on_as_if_it_had_not_been(bits, tmp_path, recipe, cut):
    settings = {"hidden_features": 5, "layers": 3, "layer_steps": 5, "temperatures": 10}
    data = ptheta.load_data(bits)

    def fit(folder, steps, **options):
        run = ptheta.fit(data, recipe, settings=settings, steps=steps, out=folder, **options)
        return run.model.state_dict()

    whole = fit(tmp_path / "whole", 20)
    fit(tmp_path / "cut", cut)
    resumed = fit(tmp_path / "cut", 20, resume=True)
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


def test_a_deep_machine_whose_budget_ends_in_its_first_layer_is_that_layer(bits):
    data = ptheta.load_data(bits)
    settings = {"hidden_features": 8, "learning_rate": 0.01}
    run = ptheta.fit(data, "dbm", settings=settings, steps=400)
    found = ptheta.densities(run.model, data.test.x, space=data.space).values.mean()
    # units one by one have 6 log 2 of nats, and the second half repeats the first: 3 log 2
    assert found > -5.2 * np.log(2)
