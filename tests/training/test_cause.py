"""What is said of the cause of a divergence."""

import pytest

import ptheta
from ptheta.training.cause import likely_cause
from ptheta.training.guard import Diverged

MOONS = ptheta.load_data("moons")


def test_chains_that_ran_away_are_named_before_the_learning_rate():
    assert "run away" in likely_cause(MOONS, 0.1, 0.001, {"loss": float("nan"), "reach": 150.0})
    assert "run away" in likely_cause(MOONS, 0.1, 0.001, {"reach": float("nan")})
    assert "learning rate of 0.1 that is too high" in likely_cause(MOONS, 0.1, 0.001, {"reach": 2})
    assert "learning rate of 0.1" in likely_cause(MOONS, 0.1, 0.001, {"loss": float("inf")})


def test_an_energy_that_runs_away_is_seen_and_stopped_with_its_cause():
    settings = {"kernel": "ula", "noise": 0.0, "penalty": 0.0, "learning_rate": 0.5}
    with pytest.raises(Diverged, match=r"reach .*chains have run away.*lower learning_rate"):
        ptheta.fit(MOONS, "ebm", settings=settings, steps=600)
