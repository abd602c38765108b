import math

import pytest
import torch
from torch import nn

from ptheta.data.dataset import Split
from ptheta.errors import PthetaError
from ptheta.fitting import fit
from ptheta.heldout import DrawsFigure, StandInFigure, figure_name, heldout_figure
from ptheta.models.diffusion.denoiser import Denoiser
from ptheta.recipes.registry import build
from ptheta.spaces import Discrete, Real
from ptheta.testing.examples import example_rows
from ptheta.training.guard import Diverged
from ptheta.training.validation import Validation


class Shifted(nn.Module):
    """Draws from a standard Gaussian, moved."""

    def __init__(self, shift):
        super().__init__()
        self.shift = shift

    def sample(self, n, context=None):
        return torch.randn(n, 2) + self.shift


@pytest.fixture
def figure():
    return DrawsFigure(Split(torch.randn(256, 2)), Real((2,)))


def test_the_same_weights_have_the_same_figure(figure):
    assert figure(Shifted(0.0)) == figure(Shifted(0.0))


def test_draws_of_the_data_differ_from_it_by_noise_and_moved_ones_by_more(figure):
    assert abs(figure(Shifted(0.0))) < 3 * figure.slack
    assert figure(Shifted(0.5)) < -3 * figure.slack


def test_draws_far_away_are_worse_than_draws_nearby(figure):
    near, far, farther = (figure(Shifted(shift)) for shift in (1.0, 3.0, 30.0))
    assert near > far > farther


def test_draws_that_are_not_finite_are_worst(figure):
    assert figure(Shifted(math.nan)) == -math.inf


def test_levels_that_hardly_vary_do_not_decide():
    x = torch.zeros(256, 2, dtype=torch.uint8)
    x[:, 1] = torch.randint(0, 17, (256,))
    x[0, 0] = 1
    scale = DrawsFigure(Split(x), Discrete((2,), 17)).scale
    assert scale[0] == 0.3
    assert scale[1] > 4


def test_too_few_rows_are_a_sentence():
    with pytest.raises(PthetaError, match="fewer than four"):
        DrawsFigure(Split(torch.randn(3, 2)), Real((2,)))


def test_a_model_with_a_likelihood_is_watched_by_it(blobs):
    model = build("gmm", blobs.space).model
    figure = heldout_figure(model, blobs.validation, blobs.space)
    assert figure.name == "log_prob"
    assert figure.slack == 0


@pytest.mark.parametrize("space", [Real((6,)), Discrete((6,), 3)], ids=["reals", "levels"])
def test_a_model_with_a_dear_density_is_watched_by_its_estimate(space):
    model = build("residual-flow", space).model
    figure = heldout_figure(model, Split(example_rows(space, 40)), space)
    assert figure.name == "log_prob_estimate"
    assert math.isfinite(figure(model))
    assert figure(model) == figure(model)


def test_a_model_whose_stand_in_finds_no_row_possible_has_diverged(blobs, tmp_path):
    settings = {"learning_rate": 1e6}
    with pytest.raises(Diverged, match="not finite"):
        fit(blobs, "ncsn", settings=settings, steps=20, out=tmp_path / "run")


@pytest.mark.parametrize("recipe", ["score-sde", "flow-matching", "ncsn"])
def test_what_is_dear_is_watched_by_the_bound_of_a_chain(recipe):
    rows = Split(3 * torch.randn(5000, 2) + 1)
    algorithm = build(recipe, Real((2,)))
    algorithm.model.initialize(rows.x[:])
    denoiser = next(m for m in algorithm.model.modules() if isinstance(m, Denoiser))
    for parameter in denoiser.network.parameters():
        nn.init.zeros_(parameter)
    stand_in = algorithm.watched(algorithm.model)
    figure = StandInFigure(algorithm.watched, heldout_figure(stand_in, rows, Real((2,))))
    assert figure.name == "elbo"
    assert figure.slack == 0
    found = figure(algorithm.model)
    assert found == figure(algorithm.model)
    # a network of zeros knows a standard normal alone, whose bound is tight: minus the entropy
    entropy = 2 * (0.5 * math.log(2 * math.pi * math.e) + math.log(3))
    assert found == pytest.approx(-entropy, abs=0.2)


@pytest.mark.parametrize("recipe", ["gmm", "gan", "residual-flow", "vae"])
def test_the_name_of_a_figure_is_known_without_data(recipe, blobs):
    model = build(recipe, blobs.space).model
    figure = heldout_figure(model, blobs.validation, blobs.space)
    assert figure_name(model) == figure.name


def test_a_run_says_what_it_was_watched_by(blobs):
    assert fit(blobs, "ncsn", steps=2).watched == "elbo"
    assert fit(blobs, "gan", steps=2).watched == "-mmd"


def test_a_figure_that_cannot_be_taken_is_a_divergence_so_that_what_was_good_is_kept():
    class RunAway:
        name, slack = "-mmd", 0.0

        def __call__(self, model):
            raise PthetaError("3 of 5 chains have run away.")

    validation = Validation(nn.Linear(1, 1), RunAway(), every=1, patience=None)
    with pytest.raises(Diverged, match="held-out data at step 4: 3 of 5 chains have run away$"):
        validation.measure(4)
