"""The shipped checks over the whole registry, on every kind of space that a recipe accepts."""

import pytest

from ptheta.errors import PthetaError
from ptheta.recipes.registry import build, describe, find, names
from ptheta.spaces import Binary, Categorical, Column, Discrete, Positive, Real, Table
from ptheta.testing import checks

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


def cases():
    for name in names():
        served = {label: space for label, space in SPACES.items() if serves(name, space)}
        for label, space in served.items():
            yield pytest.param(name, space, None, id=f"{name}-{label}")
        if describe(name).conditional:
            context = Categorical(categories=3)
            for label in ("plane", "image") if "plane" in served else ("text",):
                yield pytest.param(name, served[label], context, id=f"{name}-{label}-given-class")
            if name != "independent":  # which counts, and so takes categories alone
                space = served.get("plane") or served["text"]
                yield pytest.param(name, space, Real((2,)), id=f"{name}-given-numbers")


def serves(name, space):
    try:
        build(name, space)
    except PthetaError:
        return False
    return True


@pytest.mark.parametrize(("name", "space", "context"), list(cases()))
def test_contract(name, space, context):
    found = list(checks(lambda: build(name, space, context), space, context, steps=6))
    for check in found:
        check.run()
    assert len(found) >= 3


# settings under which a recipe takes another model
OTHERS = [("made", {"masks": 3}, label) for label in ("plane", "image", "mixed")]


@pytest.mark.parametrize(("name", "settings", "label"), OTHERS)
def test_contract_of_other_settings(name, settings, label):
    space = SPACES[label]
    for check in checks(lambda: build(name, space, None, settings), space, steps=6):
        check.run()


@pytest.mark.parametrize(
    "name", ["independent", "gmm", "made", "realnvp", "vae", "gan", "ebm", "ncsn", "fvsbn"]
)
def test_each_accepts_what_the_spine_promises(name):
    for label in ("plane", "vectors", "binary", "image", "numbers"):
        build(name, SPACES[label])


@pytest.mark.parametrize("name", list(names()))
def test_every_setting_and_argument_is_described(name):
    description = describe(name)
    assert description.title
    assert "http" in description.source or name == "independent"
    assert [s.name for s in description.settings if not s.meaning] == []
    assert (find(name).__doc__ or "").count("Arguments:") == 1
