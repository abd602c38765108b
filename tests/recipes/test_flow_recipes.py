"""What each recipe of a flow puts together, by what its model then does."""

import math
from itertools import pairwise

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from ptheta.data.bridges import Logit
from ptheta.errors import PthetaError
from ptheta.models.flows.autoregressive import MaskedAutoregressive
from ptheta.models.flows.image_coupling import ChannelCoupling, CheckerboardCoupling
from ptheta.models.flows.linear import ActNorm
from ptheta.models.flows.univariate import Affine
from ptheta.networks.convolutional import ContextConv2d
from ptheta.networks.lipschitz import LipSwish
from ptheta.objectives.score_matching import ScoreMatching, SlicedScoreMatching
from ptheta.objectives.types import Batch
from ptheta.protocols import SupportsLogProbEstimate
from ptheta.random import seeded
from ptheta.recipes.registry import build
from ptheta.spaces import Categorical, Discrete, Real
from ptheta.testing.examples import example_rows
from ptheta.testing.fitted import fitted

VECTOR, IMAGE = Real((5,)), Real((1, 4, 4), layout="image")
OF_VECTORS = [
    *("affine", "planar", "radial", "nice", "realnvp", "nsf-coupling"),
    *("maf", "iaf", "nsf-autoregressive", "i-resnet", "residual-flow", "mintnet"),
]
OF_IMAGES = ["mintnet", "realnvp-multiscale", "glow"]
WITH_LOGIT = [
    *("realnvp", "nsf-coupling", "maf", "iaf", "nsf-autoregressive"),
    *("i-resnet", "residual-flow", "mintnet"),
]
SMALL = {"glow": {"levels": 2, "layers": 2}, "realnvp-multiscale": {"blocks": 1}}


def flow_of(name, space, **settings):
    return build(name, space, settings={**SMALL.get(name, {}), **settings}).model.model.eval()


@torch.no_grad()
def stirred(model, size=0.5):
    """The model with weights away from their start, by as much whatever a layer's width."""
    for layer in model.modules():
        mask = getattr(layer, "mask", None)
        for name, parameter in layer.named_parameters(recurse=False):
            inputs = parameter[0].numel() if parameter.dim() > 1 else 10
            free = mask if mask is not None and name == "weight" else 1.0
            parameter += size / math.sqrt(inputs) * torch.randn_like(parameter) * free
    return model


@pytest.mark.parametrize(
    ("name", "space"),
    [(name, VECTOR) for name in OF_VECTORS] + [(name, IMAGE) for name in OF_IMAGES],
)
def test_every_value_of_the_noise_takes_part_in_every_value_of_the_data(name, space):
    model = stirred(flow_of(name, space))
    x = 0.5 * torch.randn(3, *(space.shape if model.shape == space.shape else (space.features,)))
    jacobian = torch.autograd.functional.jacobian(lambda x: model.encode(x).sum(dim=0), x)
    seen = jacobian.flatten(2).abs().sum(dim=1)
    # with couplings that all move one half, or orders that are all alike, half of it is zero
    assert (seen > 0).all()


@pytest.mark.parametrize(
    ("name", "drawing", "scoring"),
    [("maf", 5, 0), ("nsf-autoregressive", 3, 0), ("iaf", 0, 5)],
)
def test_the_quick_way_of_a_flow_goes_value_by_value_in_no_layer(
    name, drawing, scoring, monkeypatch
):
    slow, original = [], MaskedAutoregressive.forward_and_log_det

    def watched(self, z, context=None):
        slow.append(self)
        return original(self, z, context)

    monkeypatch.setattr(MaskedAutoregressive, "forward_and_log_det", watched)
    model = flow_of(name, VECTOR)
    with torch.no_grad():
        x = model.sample(4)
        assert len(slow) == drawing
        model.log_prob(x)
    assert len(slow) == drawing + scoring


def test_nice_starts_as_independent_logistic_noise():
    # a logistic density is a quarter at its centre, and falls as e^(-|x|)
    model = flow_of("nice", VECTOR)
    assert model.log_prob(torch.zeros(1, 5)).item() == pytest.approx(5 * math.log(1 / 4))
    far = model.log_prob(torch.tensor([[50.0] * 5, [51.0] * 5]))
    assert (far[0] - far[1]).item() == pytest.approx(5.0, abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "space"),
    [*[(name, VECTOR) for name in ("i-resnet", "residual-flow", "mintnet")], ("glow", IMAGE)],
)
def test_every_norm_sees_mean_0_and_variance_1_at_the_start(name, space, monkeypatch):
    seen, original = [], ActNorm.inverse_and_log_det

    def watched(self, x, context=None):
        found = original(self, x, context)
        seen.append(found[0])
        return found

    algorithm = build(name, space, settings=SMALL.get(name, {}))
    x = example_rows(space, 500)
    algorithm.model.initialize(x)
    monkeypatch.setattr(ActNorm, "inverse_and_log_det", watched)
    algorithm.model.eval().log_prob(x)
    assert len(seen) == sum(isinstance(each, ActNorm) for each in algorithm.model.modules()) > 3
    for z in seen:
        values = z.transpose(0, 1).flatten(1)
        mean, variance = values.mean(dim=1), values.var(dim=1, correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-3)
        torch.testing.assert_close(variance, torch.ones_like(variance), rtol=1e-3, atol=0)


def test_couplings_of_levels_move_both_halves_in_turn():
    first, last = flow_of("realnvp-multiscale", IMAGE, levels=2).bijection.steps
    boards, channels = CheckerboardCoupling, ChannelCoupling
    for level, kind in ((first, boards), (first, channels), (last, boards)):
        flips = [step.flip for step in level.steps if isinstance(step, kind)]
        assert len(flips) >= 3
        assert all(one != other for one, other in pairwise(flips))


def test_what_leaves_glow_has_a_law_that_is_learned_from_what_stays():
    *leaving, last = flow_of("glow", IMAGE).bijection.steps
    assert len(leaving) == 1
    for level in leaving:
        prior = level.steps[0]
        assert isinstance(prior, ChannelCoupling)
        assert isinstance(prior.network, ContextConv2d)
    couplings = [step for step in last.steps if isinstance(step, ChannelCoupling)]
    assert not any(isinstance(step.network, ContextConv2d) for step in couplings)


@torch.no_grad()
@pytest.mark.parametrize("name", ["i-resnet", "residual-flow"])
@pytest.mark.parametrize(
    ("features", "settings", "exact"),
    [
        (4, {}, True),
        (5, {}, False),
        (4, {"exact_features": 3}, False),
        (5, {"exact_features": 5}, True),
    ],
)
def test_the_log_determinant_is_estimated_in_training_beyond_few_values(
    name, features, settings, exact
):
    model = flow_of(name, Real((features,)), **settings)
    x = torch.randn(10, features)
    assert isinstance(model, SupportsLogProbEstimate) != exact
    if not exact:
        assert (model.log_prob_estimate(x) - model.log_prob(x)).abs().max() > 1e-4


def test_what_score_matching_trains_has_a_score_without_jumps():
    smooth = flow_of("realnvp", VECTOR, objective="score-matching")
    assert not any(isinstance(each, nn.ReLU) for each in smooth.modules())
    assert sum(isinstance(each, nn.SiLU) for each in smooth.modules()) == 16


@pytest.mark.parametrize("name", ["maf", "iaf"])
def test_affine_maps_in_few_layers_may_be_as_narrow_as_in_many(name):
    for layers, bound in ((1, 5.0), (2, 2.5), (5, 1.0), (8, 1.0)):
        modules = flow_of(name, VECTOR, layers=layers).bijection.modules()
        maps = [m for m in modules if isinstance(m, MaskedAutoregressive)]
        assert [m.univariate for m in maps] == [Affine(bound)] * layers


@torch.no_grad()
@pytest.mark.parametrize("name", ["maf", "iaf"])
def test_affine_flows_start_at_the_identity(name):
    flow = flow_of(name, VECTOR)
    z = torch.randn(10, 5)
    x, log_det = flow.bijection.forward_and_log_det(z, None)
    torch.testing.assert_close(x, z)
    torch.testing.assert_close(log_det, torch.zeros(10))


@torch.no_grad()
@pytest.mark.parametrize("name", ["nsf-coupling", "nsf-autoregressive"])
def test_a_spline_flow_is_undone_to_five_digits_in_single_precision(name):
    model = stirred(flow_of(name, VECTOR), 0.4)
    z = model.latent(1000)
    x = model.decode(z)
    assert (x - z).abs().mean() > 0.1
    torch.testing.assert_close(model.encode(x), z, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["nsf-coupling", "nsf-autoregressive"])
def test_a_spline_flow_that_learnt_a_ring_is_undone_in_single_precision(name):
    width = 0.02
    with seeded(0):
        angle = 2 * math.pi * torch.rand(1024)
        x = torch.stack([angle.cos(), angle.sin()], dim=1) * (1 + width * torch.randn(1024, 1))
        algorithm = build(name, Real((2,)), settings={"hidden_features": 32})
        algorithm.model.initialize(x)
        algorithm.learner.setup(Fabric(accelerator="cpu", devices=1))
        for _ in range(200):
            algorithm.learner.step(Batch(x, None))
        model = algorithm.model.eval()
        z = torch.randn(2000, 2)
    with torch.no_grad():
        # a Gaussian has -2.1 of a ring, and the ring itself log(1 / (2 pi width)) - 1.4 = 0.66
        assert model.log_prob(x).mean() > 0
        torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=0, atol=1e-5)
        # noise is wider than the ring by one over its width, and so is what is rounded
        torch.testing.assert_close(model.encode(model.decode(z)), z, rtol=0, atol=1e-5 / width)


@pytest.mark.parametrize("name", WITH_LOGIT)
def test_levels_through_a_logit_have_a_bound_that_is_a_bound(name):
    space = Discrete((2,), levels=4)
    every = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    model = build(name, space, settings={"logit": 0.1}).model
    assert [step.alpha for step in model.bridge.steps if isinstance(step, Logit)] == [0.1]
    model.initialize(every)
    with torch.no_grad(), seeded(0):
        bounds = torch.stack([model.eval().elbo(every) for _ in range(64)]).mean(dim=0)
    # the mean of draws is below log p(x), and p sums to one at most; no more than noise above
    assert 0.1 < bounds.exp().sum() < 1.02


@torch.no_grad()
@pytest.mark.parametrize("name", [n for n in OF_VECTORS if n not in ("nice", "realnvp")])
@pytest.mark.parametrize("features", [1, 3])
def test_a_flow_starts_near_the_gaussian_that_standardised_data_are(name, features):
    if name == "nsf-coupling" and features == 1:
        pytest.skip("a coupling needs two values")
    x = torch.randn(2000, features)
    for seed in range(3):
        with seeded(seed):
            model = build(name, Real((features,))).model.model.eval()
        model.initialize(x)
        excess = -model.log_prob(x).mean() - features * (0.5 + 0.5 * math.log(2 * math.pi))
        assert excess.abs() < 0.5 * features


def test_values_are_dealt_out_anew_after_both_halves_have_moved():
    steps = flow_of("realnvp", VECTOR, layers=6).bijection.steps
    kinds = [type(step).__name__ for step in steps]
    pair = ["Coupling", "Coupling"]
    assert kinds == [*pair, "Permutation", *pair, "Permutation", *pair]


def shares(model):
    found = {module.p for module in model.modules() if isinstance(module, nn.Dropout)}
    return found or {0.0}


@pytest.mark.parametrize("name", ["nice", "realnvp", "nsf-coupling", "maf", "nsf-autoregressive"])
def test_units_are_dropped_where_values_are_many(name):
    assert shares(flow_of(name, Real((16,)))) == {0.0}
    assert shares(flow_of(name, Real((17,)))) == {0.2}
    assert shares(flow_of(name, Real((17,)), dropout=0.1)) == {0.1}


def test_no_units_are_dropped_where_scores_are_iterated():
    assert shares(flow_of("iaf", Real((17,)))) == {0.0}


@pytest.mark.parametrize("name", ["glow", "realnvp-multiscale"])
def test_units_are_dropped_where_images_are_small(name):
    small, large = (Real((1, side, side), layout="image") for side in (16, 20))
    assert shares(flow_of(name, small)) == {0.2}
    assert shares(flow_of(name, large)) == {0.0}
    assert shares(flow_of(name, large, dropout=0.3)) == {0.3}


def test_what_leaves_glow_depends_on_the_context():
    algorithm = build("glow", IMAGE, Categorical(categories=3), settings=SMALL["glow"])
    prior = algorithm.model.model.bijection.steps[0].steps[0]
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.normal_()
    image, classes = torch.randn(1, 4, 2, 2).expand(2, -1, -1, -1), torch.eye(3)[:2]
    one, other = prior(image, classes)
    assert (one != other).any()


@pytest.mark.parametrize(("name", "kind"), [("i-resnet", nn.ELU), ("residual-flow", LipSwish)])
def test_residual_recipes_have_the_activation_of_their_paper(name, kind):
    kinds = {type(module) for module in flow_of(name, VECTOR).modules()}
    assert kinds & {nn.ELU, LipSwish} == {kind}


@pytest.mark.parametrize(("features", "kind"), [(16, ScoreMatching), (17, SlicedScoreMatching)])
def test_score_matching_takes_the_divergence_whole_where_values_are_few(features, kind):
    learner = build("realnvp", Real((features,)), settings={"objective": "score-matching"}).learner
    assert type(learner.objective) is kind


@pytest.mark.parametrize("name", [*WITH_LOGIT, "glow", "realnvp-multiscale"])
def test_a_margin_of_0_leaves_the_logit_out_and_one_too_small_is_a_sentence(name):
    space = Discrete((1, 4, 4), levels=4, layout="image")
    bridge = build(name, space, settings={"logit": 0}).model.bridge
    assert not any(isinstance(step, Logit) for step in bridge.steps)
    with pytest.raises(PthetaError, match="the margin of a logit is from 1e-6"):
        build(name, space, settings={"logit": 1e-9})


@pytest.mark.parametrize("settings", [{}, {"logit": 0.05}])
def test_levels_that_are_none_have_no_probability(settings):
    model = build("realnvp", Discrete((3,), levels=17), settings=settings).model
    model.initialize(torch.randint(0, 17, (50, 3)))
    bound = model.eval().elbo(torch.tensor([[0, 16, 3], [0, 17, 3], [200, 200, 200]]))
    assert bound[0].isfinite()
    assert bound[1:].tolist() == [-math.inf, -math.inf]


@pytest.mark.parametrize("name", OF_VECTORS)
@torch.no_grad()
def test_a_flow_in_the_plane_integrates_to_one_before_it_is_trained(name):
    with seeded(0):
        flow = build(name, Real((2,))).model.model.eval()
    # the tails of the logistic noise of NICE reach furthest: e^-12 is left out
    line = torch.linspace(-12, 12, 361)
    points = torch.cartesian_prod(line, line)
    total = torch.cat([flow.log_prob(part) for part in points.split(20_000)]).exp().sum()
    assert math.isclose(total.item() * (24 / 360) ** 2, 1.0, abs_tol=2e-3)


# flows of images of two values, which a grid can go through
OF_TWO_PIXELS = {
    "realnvp-multiscale": {"hidden_channels": 8, "blocks": 1},
    "mintnet": {"hidden_features": 8, "layers": 4},
    "i-resnet": {"hidden_features": 8, "layers": 4, "convolutional": True},
    "residual-flow": {"hidden_features": 8, "layers": 4, "convolutional": True},
}
TWO_VALUES = [
    (name, shape)
    for name in OF_TWO_PIXELS
    for shape in ((1, 1, 2), (2, 1, 1))
    # a checkerboard of one pixel has none beside it
    if (name, shape) != ("realnvp-multiscale", (2, 1, 1))
]


def assert_integrates_to_one(model, shape):
    line = torch.linspace(-9, 9, 181)
    points = torch.cartesian_prod(line, line).reshape(-1, *shape)
    with torch.no_grad():
        total = model.log_prob(points).double().exp().sum() * (18 / 180) ** 2
    # rows have deviation 1: a density as smooth is summed to far more digits than it is cut off by
    assert total.item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("name", "shape"), TWO_VALUES)
def test_a_flow_of_images_integrates_to_one_before_it_is_trained(name, shape):
    space = Real(shape, layout="image")
    model = fitted(lambda: build(name, space, settings=OF_TWO_PIXELS[name]), space, None, 0).model
    assert_integrates_to_one(stirred(model, 0.2), shape)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape"), TWO_VALUES)
def test_a_flow_of_images_integrates_to_one_once_it_is_trained(name, shape):
    space = Real(shape, layout="image")
    found = fitted(lambda: build(name, space, settings=OF_TWO_PIXELS[name]), space, None, 300)
    # independent values have -2.84 of these rows, whose correlation of 0.64 is worth 0.26
    assert found.model.log_prob(found.x).mean() > -2.65
    assert_integrates_to_one(found.model, shape)
