"""The shipped checks over the whole registry, on every kind of space that a recipe accepts."""

from functools import cache

import pytest
import torch

from ptheta.errors import PthetaError
from ptheta.protocols import SupportsClassify, SupportsElbo, SupportsInitialize, SupportsSample
from ptheta.recipes.registry import _PROBES, build, describe, find, names
from ptheta.spaces import Binary, Categorical, Column, Discrete, Positive, Real, Table
from ptheta.testing import checks
from ptheta.testing.examples import example_context, example_rows

SPACES = {
    "plane": Real((2,)),
    "numbers-alone": Real((1,)),
    "positive-alone": Positive((1,)),
    "vectors": Real((5,)),
    "positive": Positive((2,)),
    "binary": Binary((6,)),
    "image": Discrete((1, 2, 2), 5, layout="image"),
    "numbers": Table((Column("a", Real()), Column("b", Discrete(levels=4)))),
    "mixed": Table((Column("a", Real()), Column("b", Categorical(categories=3)))),
    "categories": Categorical((3,), 4),
    "text": Categorical((4,), 3, ("a", "b", "c"), layout="sequence"),
    "gaps": Table((Column("a", Real(), missing=True), Column("b", Real()))),
}


CLASSES, NUMBERS = Categorical(categories=3), Real((2,))
SENTENCES = Categorical((5,), 4, ("a", "b", "c", ""), layout="sequence")


@cache
def accepted(name, space, context=None):
    try:
        build(name, space, context)
    except PthetaError:
        return False
    return True


# one recipe of each kind of model is tried in every way each time; of the others, which share its
# pieces, one way is, and the rest is slow
HEADS = {"independent", "naive-bayes", "gmm", "made", "pixelcnn", "realnvp", "vae", "ebm"}
# whose density on a grid takes many seconds
DEAR = {"eonade", "i-resnet", "residual-flow", "mintnet", "score-sde", "flow-matching"}

# whose density asks for hundreds of evaluations at each point of a grid, and is that of a batch to
# a hundred times the tolerance
SMALL = dict.fromkeys(
    ("score-sde", "flow-matching"), {"hidden_features": 16, "blocks": 1, "tolerance": 1e-7}
)
# where each evaluation is dear, it is that of a batch well enough
ON_IMAGES = dict.fromkeys(("score-sde", "flow-matching"), {"tolerance": 1e-5})
# so that six updates see every phase
SMALL |= dict.fromkeys(("dbn", "dbm"), {"layer_steps": 2})


def cases():
    for name in names():
        tried = False
        for label, given, space, context in combinations(name):
            on_grid = label in ("plane", "numbers-alone", "positive-alone")
            quick = name in HEADS or not (tried or (name in DEAR and on_grid))
            tried = tried or quick
            what = f"{name}-{label}" + (f"-given-{given}" if given else "")
            marks = () if quick else (pytest.mark.slow,)
            yield pytest.param(name, space, context, id=what, marks=marks)


def combinations(name):
    for label, space in SPACES.items():
        if accepted(name, space):
            yield label, None, space, None
    # what is told apart by class alone is tried everywhere
    alone = not any(accepted(name, space) for space in SPACES.values())
    given = [label for label in (SPACES if alone else ("plane", "image", "text"))
             if accepted(name, SPACES[label], CLASSES)]  # fmt: skip
    # a text is tried where it is all that there is
    for label in given if alone else [label for label in given if label != "text"] or given:
        yield label, "class", SPACES[label], CLASSES
    # one space tells how numbers are taken in
    for label in [label for label in given if accepted(name, SPACES[label], NUMBERS)][:1]:
        yield label, "numbers", SPACES[label], NUMBERS
    if not given and accepted(name, SPACES["text"], SENTENCES):
        yield "text", "sentences", SPACES["text"], SENTENCES


@pytest.mark.parametrize(("name", "space", "context"), list(cases()))
def test_contract(name, space, context):
    settings = SMALL.get(name, {})
    if getattr(space, "layout", None) == "image":
        settings = settings | ON_IMAGES.get(name, {})
    found = list(checks(lambda: build(name, space, context, settings), space, context, steps=6))
    for check in found:
        check.run()
    assert len(found) >= 3


def given_something():
    return [case for case in cases() if case.values[2] is not None]


@torch.no_grad()
@pytest.mark.parametrize(("name", "space", "context"), given_something())
def test_models_brought_to_double_precision_stay_what_they_are(name, space, context):
    torch.manual_seed(0)
    model = build(name, space, context).model.eval()
    x, given = example_rows(space, 50), example_context(context, 50)
    if isinstance(model, SupportsInitialize):
        model.initialize(x, given)
    verbs = [v for v in ("log_prob", "unnormalized_log_prob", "encode") if hasattr(model, v)]
    # the noise of dequantisation is drawn anew
    verbs = verbs if space.continuous or not hasattr(model, "elbo") else []
    single = {verb: getattr(model, verb)(x, given) for verb in verbs}
    model.double()
    for verb, expected in single.items():
        found = getattr(model, verb)(x, given)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found.to(expected), expected, rtol=1e-3, atol=1e-3)
    if isinstance(model, SupportsElbo):
        assert model.elbo(x, given).dtype == torch.float64
    if isinstance(model, SupportsClassify):
        assert model.class_log_prob(x).isfinite().all()
    if isinstance(model, SupportsSample):
        drawn = model.sample(50, given)
        assert drawn.dtype == space.dtype
        assert space.contains(drawn).all()


# settings under which a recipe takes another model
OTHERS = [
    *[("made", {"masks": 3}, label) for label in ("plane", "image", "mixed")],
    ("nade", {"positive": "exponential"}, "positive"),
    ("realnvp", {"objective": "score-matching", "layers": 2}, "plane"),
    ("realnvp", {"objective": "adversarial", "layers": 2}, "plane"),
    ("realnvp-multiscale", {"dequantisation": "variational", "blocks": 1}, "image"),
    *[("discrete-ebm", {"constant": "annealed"}, label) for label in ("binary", "categories")],
    *[
        pytest.param(name, {"convolutional": True, "exact_features": 1}, "image",
                     marks=pytest.mark.slow)
        for name in ("i-resnet", "residual-flow")
    ],
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "label"), OTHERS)
def test_contract_of_other_settings(name, settings, label):
    space = SPACES[label]
    for check in checks(lambda: build(name, space, None, settings), space, steps=6):
        check.run()


@pytest.mark.parametrize("name", [name for name in names() if describe(name).conditional])
def test_a_conditional_recipe_takes_classes_or_sentences(name):
    assert any(accepted(name, SPACES[kind], given) for kind in SPACES
               for given in (CLASSES, SENTENCES))  # fmt: skip


@pytest.mark.parametrize(
    "name", ["independent", "gmm", "made", "realnvp", "vae", "gan", "ebm", "ncsn", "fvsbn"]
)
def test_each_accepts_what_the_spine_promises(name):
    for label in ("plane", "vectors", "binary", "image", "numbers"):
        build(name, SPACES[label])


@pytest.mark.parametrize("name", list(names()))
def test_what_a_recipe_is_said_to_serve_it_serves(name):
    for label in describe(name).densities:
        space, context = _PROBES[label]
        given = accepted(name, space, context)
        assert given or (context is None and accepted(name, space, CLASSES)), label


@pytest.mark.parametrize("name", list(names()))
def test_every_setting_and_argument_is_described(name):
    description = describe(name)
    assert description.title
    assert any("http" in source for source in description.sources)
    assert [s.name for s in description.settings if not s.meaning] == []
    assert (find(name).__doc__ or "").count("Arguments:") == 1


def test_papers_are_told_one_by_one():
    assert [source.partition(" (")[0] for source in describe("realnvp").sources] == [
        "Density estimation using Real NVP",
        "Estimation of Non-Normalized Statistical Models by Score Matching",
        "Flow-GAN: Combining Maximum Likelihood and Adversarial Learning in Generative Models",
    ]
