"""Held-out likelihood against closed forms."""

import math

import pytest
import torch
from evaluation_fakes import (
    BRACKET,
    ENTROPY,
    Annealed,
    Bound,
    Normal,
    Sampler,
    Uniform,
    Unnormalised,
    levels,
    normal_log_prob,
    plane,
    run_of,
)

from ptheta.data.bridged import bridged
from ptheta.data.bridging import dequantising
from ptheta.data.dataset import Split
from ptheta.evaluation.likelihood import held_out
from ptheta.recipes.registry import build


def test_nats_bits_and_interval_of_a_known_gaussian() -> None:
    data = plane(2000)
    found = held_out(run_of(Normal()), data.test, truth=data.truth)
    assert found is not None
    assert found.nats is not None
    assert found.bits_per_dimension is not None
    assert (found.kind, found.verb, found.rows) == ("exact", "log_prob", 2000)
    # -log p has variance 1 in the plane (half of a chi-square with 2 degrees): sd 1 / sqrt(2000)
    assert found.nats.value == pytest.approx(ENTROPY, abs=4 / math.sqrt(2000))
    assert found.nats.high - found.nats.low == pytest.approx(2 * 1.96 / math.sqrt(2000), rel=0.1)
    assert found.bits_per_dimension.value == pytest.approx(found.nats.value / (2 * math.log(2)))
    assert found.truth_error is not None
    assert found.truth_error.value == pytest.approx(0.0, abs=1e-6)


def test_the_error_of_a_wrong_density_is_measured() -> None:
    data = plane(50)
    found = held_out(run_of(Normal(0.5)), data.test, truth=data.truth)
    assert found is not None
    assert found.truth_error is not None
    x = data.test.x[:].double()
    expected = (normal_log_prob(x) - normal_log_prob(x - 0.5)).abs().mean().item()
    assert found.truth_error.value == pytest.approx(expected, rel=1e-5)


def test_a_bound_says_what_more_particles_give() -> None:
    data = plane()
    found = held_out(run_of(Bound()), data.test, truth=data.truth, particles=4)
    assert found is not None
    assert found.nats is not None
    assert found.one_particle is not None
    assert (found.kind, found.particles, found.loose_by) == ("bound", 4, "variational")
    assert found.one_particle.value - found.nats.value == pytest.approx(0.75, abs=1e-6)
    assert found.truth_error is not None
    assert found.truth_error.value == pytest.approx(0.25, abs=1e-6)


def test_a_bound_that_particles_take_noise_off_alone_is_shown_once() -> None:
    data = plane()
    model = build("ddpm", data.space, settings={"hidden_features": 8}).model
    found = held_out(run_of(model), data.test, particles=4)
    assert found is not None
    assert (found.kind, found.particles, found.one_particle) == ("bound", 4, None)


def test_an_unnormalised_density_has_no_nats_but_an_error_up_to_a_constant() -> None:
    data = plane()
    found = held_out(run_of(Unnormalised()), data.test, truth=data.truth)
    assert found is not None
    assert found.kind == "unnormalised"
    assert found.nats is None
    assert found.bits_per_dimension is None
    assert found.truth_error is not None
    assert found.truth_error.value == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("within", [False, True], ids=["itself", "behind a bridge"])
def test_an_annealed_constant_is_shown_from_both_ends(within: bool) -> None:
    data = plane(200)
    model = Annealed()
    run = run_of(bridged(model, dequantising(data.space), data.space) if within else model)
    found = held_out(run, data.test)
    assert found is not None
    assert found.nats is not None
    assert found.nats_backwards is not None
    assert found.annealed == BRACKET
    # half a nat between the ends of the bracket
    assert found.nats_backwards.value == pytest.approx(found.nats.value + 0.5)
    assert found.nats_backwards.high - found.nats_backwards.value == pytest.approx(1.96 * 0.2)


def test_what_is_not_annealed_has_no_bracket() -> None:
    found = held_out(run_of(Normal()), plane().test)
    assert found is not None
    assert found.annealed is None
    assert found.nats_backwards is None


def test_a_sampler_has_none() -> None:
    assert held_out(run_of(Sampler()), plane().test) is None


def test_an_impossible_row_is_counted_and_makes_the_mean_infinite() -> None:
    data = levels()
    found = held_out(run_of(Uniform(), data.space), data.test)
    assert found is not None
    assert found.nats is not None
    assert found.nats.value == pytest.approx(3 * math.log(4))
    assert found.impossible.value == 0
    x = data.test.x[:].clone()
    x[:30, 1] = 4
    found = held_out(run_of(Uniform(), data.space), Split(x))
    assert found is not None
    assert found.nats is not None
    assert found.nats.value == math.inf
    assert found.impossible.value == pytest.approx(0.1)


def test_rows_are_chosen_by_seed() -> None:
    data = plane()
    a, b, c = (held_out(run_of(Normal()), data.test, rows=50, seed=seed) for seed in (1, 1, 2))
    assert a == b
    assert a is not None
    assert a.rows == 50
    assert a != c


def test_the_callers_random_state_is_left_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    held_out(run_of(Bound()), plane().test, rows=50)
    assert torch.equal(before, torch.get_rng_state())
