"""What is said of denoisers alone; what is said of every recipe is tested there."""

import math

import pytest
import torch
from lightning_fabric import Fabric

from ptheta.errors import PthetaError
from ptheta.networks.diffusion_transformer import DiffusionTransformer
from ptheta.networks.residual import ResidualMLP
from ptheta.networks.unet import UNet
from ptheta.objectives.types import Batch
from ptheta.protocols import capabilities, density_kind, density_verb
from ptheta.recipes.registry import build
from ptheta.spaces import Categorical, Discrete, Real
from ptheta.testing import checks
from ptheta.testing.examples import example_rows

STEPPING = ("ancestral", "ddim", "heun", "multistep")
STOCHASTIC = ("euler-maruyama", "predictor-corrector")


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        *[("ddpm", sampler) for sampler in STEPPING + STOCHASTIC],
        *[("ncsn", sampler) for sampler in STEPPING + STOCHASTIC],
        *[("score-sde", sampler) for sampler in ("flow", *STEPPING, *STOCHASTIC)],
        *[("flow-matching", sampler) for sampler in ("flow", *STEPPING)],
    ],
)
def test_denoisers_are_drawn_from_by_any_sampler(name, sampler):
    torch.manual_seed(0)
    settings = {"sampler": sampler, "hidden_features": 8, "blocks": 1}
    draws = _of_a_standard_normal(name, settings).sample(4000)
    error = math.sqrt(2 / 8000)
    # the last prediction of a draw is a mean, and steps are finite: two in a hundred
    assert abs(draws.var() - 1) < 4 * error + 0.02


@pytest.mark.parametrize("name", ["ddpm", "ncsn", "score-sde", "flow-matching"])
def test_a_sampler_that_there_is_not_is_told_all_that_there_are(name):
    with pytest.raises(PthetaError, match="'ddim', 'heun'.*or 'm|'ddim', 'heun', 'multistep', 'eu"):
        build(name, Real((2,)), settings={"sampler": "none-such"})


def test_annealed_langevin_lags_behind_its_levels_by_less_in_more_steps():
    small = {"hidden_features": 8, "blocks": 1}
    few, many = (
        _of_a_standard_normal("ncsn", {**small, "level_steps": steps}).sample(4000).var()
        for steps in (5, 50)
    )
    assert 1.1 < few < 1.5
    assert abs(many - 1) < (few - 1) / 2


def _of_a_standard_normal(name, settings):
    torch.manual_seed(0)
    model = build(name, Real((2,)), settings=settings).model
    for parameter in next(m for m in model.modules() if isinstance(m, ResidualMLP)).parameters():
        parameter.data.zero_()  # what is left is the denoiser of standard normal data
    return model.model


def test_the_score_of_a_run_is_in_the_units_of_the_data():
    torch.manual_seed(0)
    model = build("ncsn", Real((2,)), settings={"sigma_min": 0.05}).model
    model.initialize(5 + 2 * torch.randn(1000, 2))
    for parameter in next(m for m in model.modules() if isinstance(m, ResidualMLP)).parameters():
        parameter.data.zero_()
    standardise = model.bridge.steps[0]
    x = torch.tensor([[5.0, 5.0], [9.0, 1.0], [math.nan, 0.0]])
    found = model.score(x)
    # a Gaussian as the data are, with the noise of the least level
    variance = standardise.scale.square() * (1 + 0.05**2)
    expected = -(x[:2].double() - standardise.mean) / variance
    torch.testing.assert_close(found[:2], expected.float())
    assert found[2].isnan().all()
    # however draws are taken
    for sampler in STEPPING + STOCHASTIC:
        other = build("ncsn", Real((2,)), settings={"sampler": sampler}).model
        assert capabilities(other) == ("sample", "score")
    # levels have no gradient
    assert not hasattr(build("ncsn", Discrete((2,), 4)).model, "score")
    assert not hasattr(build("ebm", Discrete((2,), 4)).model, "score")


def test_the_first_schedule_of_ncsn_is_that_of_its_paper():
    drawn = build("ncsn", Real((784,)), settings={"schedule": "original"}).model.model
    path = drawn.model.path
    sigmas = path.sigma(path.times())
    steps = drawn.sampler.keywords
    assert (len(sigmas), drawn.steps, steps["steps"]) == (10, 9, 100)
    # a geometric series from 0.01 to 1, and steps of 2e-5 (sigma / 0.01)^2, of which half is h
    torch.testing.assert_close(sigmas / 3, torch.logspace(-2, 0, 10))
    assert steps["step"] == pytest.approx(2e-5 / 2 / 0.01**2)


@pytest.mark.parametrize("name", ["ddpm", "ncsn", "score-sde", "flow-matching"])
def test_the_rate_of_a_denoiser_falls_where_it_is_to(name):
    algorithm = build(name, Real((2,)), settings={"halving_steps": 3, "learning_rate": 0.01})
    x = torch.randn(8, 2)
    algorithm.model.initialize(x)
    learner = algorithm.learner
    learner.setup(Fabric(accelerator="cpu", devices=1))
    for _ in range(4):
        learner.step(Batch(x))
    # the fourth update, after three others
    assert learner.optimizer.param_groups[0]["lr"] == pytest.approx(0.005)


def test_densities_of_probability_flows_are_exact_or_estimates_by_the_size_of_examples():
    for name in ("score-sde", "flow-matching"):
        found = [build(name, Real((size,))).model for size in (16, 17)]
        assert [density_kind(model) for model in found] == ["exact", "estimate"]
        whole = build(name, Real((17,)), settings={"divergence": "exact"}).model
        assert density_kind(whole) == "exact"


def test_an_estimated_density_is_that_of_the_data_and_right_in_the_mean():
    torch.manual_seed(0)
    x = 100 + 5 * torch.randn(200, 3)
    exact = build("flow-matching", Real((3,))).model
    exact.initialize(x)
    guess = build("flow-matching", Real((3,)), settings={"divergence": "estimate"}).model
    guess.load_state_dict(exact.state_dict())
    for model in (exact, guess):
        model.eval()
    draws = torch.stack([guess.log_prob_estimate(x[:5]) for _ in range(200)])
    error = draws.std(dim=0) / 200**0.5
    assert ((draws.mean(dim=0) - exact.log_prob(x[:5])).abs() < 4.5 * error + 1e-3).all()


def test_pairs_by_optimal_transport_are_refused_with_a_context():
    with pytest.raises(PthetaError, match="has no place with a context"):
        build("flow-matching", Real((2,)), Categorical(categories=3), {"optimal_transport": True})


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ddpm", {}),
        ("score-sde", {}),
        ("flow-matching", {"divergence": "estimate"}),
        ("ebm", {}),
        ("ebm", {"objective": "nce"}),
    ],
)
def test_rows_outside_have_no_density_and_cost_the_others_nothing(name, settings):
    torch.manual_seed(0)
    model = build(name, Discrete((2,), 4), settings=settings).model
    model.initialize(torch.randint(4, (50, 2)))
    model.eval()
    rows = torch.tensor([[9, 0], [1, 2]])
    found = getattr(model, density_verb(model))(rows)
    assert found[0] == -math.inf
    assert found[1].isfinite()


@pytest.mark.parametrize("name", ["ddpm", "score-sde", "flow-matching", "ebm"])
def test_rows_that_are_not_finite_and_no_rows_at_all_are_no_failure(name):
    torch.manual_seed(0)
    model = build(name, Real((2,))).model
    model.initialize(torch.randn(50, 2))
    model.eval()
    ask = getattr(model, density_verb(model))
    found = ask(torch.tensor([[math.nan, 0.0], [0.5, 0.5], [1e30, 0.0]]))
    assert found[0].isnan()
    assert found[1].isfinite()
    # the square of its distance is beyond what numbers hold
    assert found[2] == -math.inf
    assert ask(torch.zeros(0, 2)).shape == (0,)
    assert model.sample(0).shape == (0, 2)


IMAGES = Discrete((1, 6, 6), 5, layout="image")
CLASSES = Categorical(categories=3)


@pytest.mark.parametrize("name", ["ncsn", "ddpm", "score-sde", "flow-matching"])
def test_a_denoiser_of_images_is_a_unet_and_of_other_data_a_perceptron(name):
    def networks(space, **settings):
        model = build(name, space, settings={"hidden_features": 16, **settings}).model
        kinds = (UNet, DiffusionTransformer, ResidualMLP)
        return [type(module) for module in model.modules() if isinstance(module, kinds)]

    assert networks(IMAGES) == networks(IMAGES, network="unet") == [UNet]
    assert networks(IMAGES, network="transformer") == [DiffusionTransformer]
    assert networks(IMAGES, network="mlp") == networks(Real((3,))) == [ResidualMLP]
    with pytest.raises(PthetaError, match="network=unet is for images, and this is"):
        networks(Real((3,)), network="unet")
    with pytest.raises(PthetaError, match="hidden_features cannot be 12: .* a multiple of 8"):
        networks(IMAGES, hidden_features=12)


def test_pixels_of_images_share_one_scale_so_that_still_ones_stay_still():
    # a border that never changes is not blown up to the noise of its own levels
    x = torch.zeros(500, 1, 6, 6, dtype=torch.uint8)
    x[:, :, 2:4, 2:4] = torch.randint(5, (500, 1, 2, 2)).byte()
    bridge = build("ddpm", IMAGES).model.bridge
    bridge.initialize(x)
    reals = bridge.to_reals(x)[0]
    assert reals.shape == (500, 1, 6, 6)
    assert reals.mean().item() == pytest.approx(0.0, abs=0.02)
    assert reals.std().item() == pytest.approx(1.0, abs=0.02)
    # uniform noise of a level's width beside a spread of 0 to 5 in 4 pixels of 36
    assert reals[:, 0, 0, 0].std() < 0.4


@pytest.mark.parametrize("name", ["ddpm", "score-sde", "flow-matching"])
def test_guidance_moves_draws_towards_what_they_are_conditioned_on(name):
    torch.manual_seed(0)
    settings = {"hidden_features": 16, "blocks": 1}
    plain = build(name, Real((2,)), CLASSES, {**settings, "guidance": 0.0}).model
    leaning = build(name, Real((2,)), CLASSES, {**settings, "guidance": 2.0}).model
    for parameter in plain.parameters():
        parameter.data.normal_(std=0.3)
    leaning.load_state_dict(plain.state_dict())
    x, t, context = torch.randn(4, 2), 0.5, torch.tensor([0, 1, 2, 0])
    of_class, of_all = (plain.model.model.predict(x, c, t=t).data for c in (context, None))
    found = leaning.model.model.predict(x, context, t=t).data
    torch.testing.assert_close(found, 3 * of_class - 2 * of_all)


@pytest.mark.parametrize("name", ["ddpm", "score-sde", "flow-matching"])
def test_guidance_without_anything_to_lean_towards_is_refused(name):
    with pytest.raises(PthetaError, match="guidance leans towards what examples are conditioned"):
        build(name, Real((2,)), settings={"guidance": 1.0})


def test_guidance_by_a_classifier_asks_for_classes():
    settings = {"guided_by": "classifier", "guidance": 1.0, "hidden_features": 16}
    for context in (None, Real((2,)), Categorical((2,), 3)):
        with pytest.raises(PthetaError, match="guides towards classes, and examples are"):
            build("ddpm", Real((2,)), context, settings)
    for space in (Real((2,)), IMAGES):
        model = build("ddpm", space, CLASSES, settings).model
        model.initialize(example_rows(space, 50))
        drawn = model.sample(3, torch.tensor([0, 1, 2]))
        assert space.contains(drawn).all()


@pytest.mark.parametrize("path", ["vp", "sub-vp", "ve"])
def test_score_sdes_begin_at_noise_that_hides_the_data(path):
    route = build("score-sde", Real((2,)), settings={"path": path}).model.model.model.path
    one = torch.ones(())
    assert route.alpha(one) / route.sigma(one) < 0.3
    least = route.times()[0]
    assert 0.01 < route.sigma(least) / route.alpha(least) < 0.03


def test_draws_of_ncsn_cost_about_the_same_at_every_size():
    for shape in ((2,), (64,), (784,)):
        sampler = build("ncsn", Real(shape)).model.model
        evaluations = sampler.sampler.keywords["steps"] * sampler.model.path.levels
        assert 100 <= evaluations <= 350


def test_levels_in_the_wrong_order_are_one_sentence():
    with pytest.raises(PthetaError, match="sigma_min < sigma_max"):
        build("ncsn", Real((2,)), settings={"sigma_min": 3.0, "sigma_max": 1.0})


LEARNED = [
    (Real((2,)), None, {}),
    (Real((2,)), Categorical(categories=3), {"guidance": 1.0}),
    (Discrete((1, 4, 4), 5, layout="image"), None, {"network": "unet", "hidden_features": 8}),
    (
        Discrete((1, 4, 4), 5, layout="image"),
        None,
        {"network": "transformer", "hidden_features": 8, "blocks": 1},
    ),
]


@pytest.mark.parametrize(
    ("space", "context", "settings"), LEARNED, ids=["plane", "guided", "unet", "transformer"]
)
def test_learned_variances_keep_the_contract(space, context, settings):
    settings = {"variance": "learned", "levels": 50, "sample_steps": 20, **settings}
    found = list(checks(lambda: build("ddpm", space, context, settings), space, context, steps=6))
    for check in found:
        check.run()


def test_learned_variances_and_a_classifier_are_refused_together():
    with pytest.raises(PthetaError, match="guided by a classifier has variance=least"):
        build(
            "ddpm",
            Real((2,)),
            Categorical(categories=3),
            {"variance": "learned", "guided_by": "classifier"},
        )
