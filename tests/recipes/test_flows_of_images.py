"""Recipes of flows of images: their levels by size, their bridge, and what they refuse."""

import math

import pytest
import torch

from ptheta.data.bridges import Logit
from ptheta.errors import PthetaError
from ptheta.models.flows.linear import LULinear
from ptheta.random import seeded
from ptheta.recipes.registry import build, find
from ptheta.spaces import Categorical, Discrete, Positive, Real

TINY = {"hidden_channels": 4, "blocks": 1}
BOTH = ("realnvp-multiscale", "glow")


def images(*shape, levels=17):
    return Discrete(shape, levels, layout="image")


def bijection_of(name, space, **settings):
    return build(name, space, settings={**TINY, **settings}).model.model.bijection


@pytest.mark.parametrize(
    ("name", "shape", "leaving"),
    [
        ("realnvp-multiscale", (1, 8, 8), [(2, 4, 4), (2, 4, 4)]),
        ("realnvp-multiscale", (1, 28, 28), [(2, 14, 14), (4, 7, 7), (4, 7, 7)]),
        ("realnvp-multiscale", (3, 32, 32), [(6, 16, 16), (12, 8, 8), (24, 4, 4), (24, 4, 4)]),
        ("realnvp-multiscale", (1, 7, 9), [(1, 7, 9)]),
        ("realnvp-multiscale", (1, 2, 2), [(1, 2, 2)]),
        ("glow", (1, 8, 8), [(2, 4, 4), (8, 2, 2)]),
        ("glow", (1, 28, 28), [(2, 14, 14), (8, 7, 7)]),
        ("glow", (3, 32, 32), [(6, 16, 16), (12, 8, 8), (48, 4, 4)]),
        ("glow", (1, 2, 6), [(4, 1, 3)]),
    ],
)
def test_levels_go_by_the_size_of_images(name, shape, leaving):
    assert bijection_of(name, images(*shape)).leaving == leaving


def test_levels_that_are_asked_for_are_taken():
    assert len(bijection_of("glow", images(1, 8, 8), levels=3).steps) == 3
    for levels in (1, 3):
        made = bijection_of("realnvp-multiscale", images(1, 8, 8), levels=levels)
        assert len(made.steps) == levels


@pytest.mark.parametrize(("name", "most"), [("glow", 3), ("realnvp-multiscale", 3)])
def test_more_levels_than_there_is_room_for_are_refused(name, most):
    with pytest.raises(PthetaError, match=f"8 x 8 have room for at most {most} levels, got 5"):
        bijection_of(name, images(1, 8, 8), levels=5)


@pytest.mark.parametrize("shape", [(1, 7, 8), (1, 8, 7), (1, 1, 4)])
def test_glow_refuses_odd_sides_and_says_who_takes_them(shape):
    with pytest.raises(PthetaError, match="must be even.*'realnvp-multiscale'"):
        build("glow", images(*shape))
    build("realnvp-multiscale", images(*shape), settings=TINY)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("space", "why"),
    [
        (Real((4,)), "width, and this is: real numbers"),
        (Categorical((1, 2, 2), 3, layout="image"), "width, and this is: 3 categories"),
        (Discrete((2, 2), 4, layout="image"), "width, and this is: 4 levels, image 2 x 2"),
        (images(3, 1, 1), "one pixel has none beside it.*'maf' take it"),
    ],
    ids=["vector", "categories", "no-channels", "one-pixel"],
)
def test_what_is_no_image_is_refused(name, space, why):
    with pytest.raises(PthetaError, match=why):
        find(name)(space)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("logit", "margin"), [("none", [0.05]), (0.1, [0.1]), (0, [])])
def test_levels_pass_through_a_logit_whose_margin_is_a_setting(name, logit, margin):
    bridge = build(name, images(1, 2, 2), settings={**TINY, "logit": logit}).model.bridge
    assert [step.alpha for step in bridge.steps if isinstance(step, Logit)] == margin


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("kind", [Real, Positive])
def test_images_of_numbers_have_an_exact_density_and_no_logit(name, kind):
    space = kind((3, 2, 2), layout="image")
    model = build(name, space, settings=TINY).model
    with seeded(0):
        x = torch.rand(50, 3, 2, 2) + 0.5
    model.initialize(x)
    assert model.log_prob(x).isfinite().all()
    torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=1e-3, atol=1e-3)
    with pytest.raises(PthetaError, match="a logit is for levels"):
        build(name, space, settings={"logit": 0.05})


@pytest.mark.parametrize("name", BOTH)
def test_noise_that_is_learned_is_for_levels_and_starts_at_the_uniform_bound(name):
    settings = {**TINY, "dequantisation": "variational"}
    model = build(name, images(1, 2, 2), settings=settings).model
    x = torch.randint(17, (20, 1, 2, 2)).byte()
    assert model.bridge.steps[0].noise(x)[1].tolist() == [0.0] * 20
    with pytest.raises(PthetaError, match="for levels"):
        build(name, Real((1, 2, 2), layout="image"), settings=settings)


def test_glow_mixes_channels_by_rotations_at_the_start():
    mixing = [m for m in bijection_of("glow", images(1, 4, 4)).modules() if isinstance(m, LULinear)]
    assert len(mixing) == 8
    for layer in mixing:
        (x, _) = layer.forward_and_log_det(torch.eye(4), None)
        torch.testing.assert_close(x @ x.t(), torch.eye(4), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", BOTH)
def test_an_untrained_flow_scores_levels_as_its_bridge_says(name):
    space = images(1, 4, 4)
    model = build(name, space, settings={**TINY, "logit": 0}).model.eval()
    with seeded(0), torch.no_grad():
        x = torch.randint(17, (400, 1, 4, 4)).byte()
        model.initialize(x)
        bound = model.elbo(x)
    # a Gaussian with the moments of U[0, 17) scores it at minus log(17 sqrt(2 pi e / 12)) a value
    expected = -math.log(17 * math.sqrt(2 * math.pi * math.e / 12))
    assert float(bound.mean()) / 16 == pytest.approx(expected, abs=0.02)
