"""Arguments that cannot be end in a sentence that names them, before anything is done."""

import math

import pytest
import torch

import ptheta
from ptheta.border import Count, checked
from ptheta.errors import PthetaError
from ptheta.recipes.registry import build
from ptheta.spaces import Discrete, Real

MOONS = ptheta.load_data("moons")
MODEL = build("realnvp", Real((2,))).model
X = MOONS.test.x[:3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ptheta.fit(MOONS, None), "recipe cannot be None: .*valid string"),
        (lambda: ptheta.fit(X, "gmm"), "data cannot be a Tensor: .*ptheta.load_data takes"),
        (lambda: ptheta.fit(MOONS, "gmm", settings=[1]), r"settings cannot be \[1\]"),
        (lambda: ptheta.fit(MOONS, "gmm", settings={1: 2}), r"settings cannot be \{1: 2\}"),
        (lambda: ptheta.fit(MOONS, "gmm", device=torch.device("cpu")), "device cannot be device"),
        (lambda: ptheta.fit(MOONS, "gmm", seed=1.5), "seed cannot be 1.5: .*integer"),
        (lambda: ptheta.fit(MOONS, "gmm", seed=-1), "seed cannot be -1"),
        (lambda: ptheta.fit(MOONS, "gmm", seed=2**64), "seed cannot be 18446744073709551616"),
        (lambda: ptheta.fit(MOONS, "gmm", epochs=math.inf), "epochs cannot be inf: .*finite"),
        (lambda: ptheta.fit(MOONS, "gmm", precision=16), "precision cannot be 16"),
        (lambda: ptheta.fit(MOONS, "gmm", callbacks=[3]), r"callbacks cannot be \[3\]"),
        (lambda: ptheta.fit(MOONS, "gmm", out=5), "out cannot be 5"),
        (lambda: ptheta.load(None), "folder cannot be None"),
        (lambda: ptheta.load_data(""), "name of the data is empty"),
        (lambda: ptheta.load_data("moons", splits="abc"), "splits cannot be 'abc'"),
        (lambda: ptheta.load_data("moons", splits=(math.nan,) * 3), "splits cannot be .*finite"),
        (lambda: ptheta.load_data("moons", kinds=["a"]), "kinds cannot be"),
        (lambda: ptheta.load_data("moons", image_size=4), "size is for folders of images"),
        (lambda: ptheta.densities(MODEL, X, space=None), "space cannot be None"),
        (
            lambda: ptheta.densities(MODEL, X, space=MOONS.space, batch_size=-1),
            "batch_size cannot be -1: .*greater than or equal to 1",
        ),
        (lambda: ptheta.draw(MODEL, 3, batch_size=0), "batch_size cannot be 0"),
        (lambda: ptheta.draw(None, 3), "model cannot be None: .*instance of Module"),
        (lambda: ptheta.evaluate(None, MOONS), "run cannot be None: .*instance of Run"),
        (lambda: ptheta.compare(MOONS, "gmm", out="runs"), "recipes cannot be 'gmm'"),
        (lambda: ptheta.compare(MOONS, [], out="runs"), "no recipe to compare"),
        (lambda: ptheta.compare(MOONS, ["gmm"], out="runs", seeds=0), "seeds cannot be 0"),
    ],
)
def test_what_cannot_be_is_named(call, message):
    with pytest.raises(PthetaError, match=message):
        call()


@pytest.mark.parametrize(
    ("x", "columns", "message"),
    [
        (torch.full((2, 1, 2, 2), 99.0), (), "sample 1 does not lie in 17 levels"),
        (torch.full((2, 1, 2, 2), math.nan), (), "sample 1 does not lie in"),
        (torch.zeros(3, 4), (), r"have the shape \(n, 1, 2, 2\), got \(3, 4\)"),
        (torch.zeros(0, 1, 2, 2), (), r"got \(0, 1, 2, 2\)"),
        (torch.zeros(2, 1, 2, 2), ("a",), "has 4 values, and 1 names are given"),
        ([[0.0]], (), "x cannot be"),
    ],
)
@pytest.mark.parametrize("ending", ["png", "csv", "npy"])
def test_samples_that_are_not_of_the_space_are_refused_and_nothing_is_written(
    tmp_path, x, columns, message, ending
):
    space = Discrete((1, 2, 2), 17, layout="image")
    with pytest.raises(PthetaError, match=message):
        ptheta.save_samples(x, space, tmp_path / f"x.{ending}", columns=columns)
    assert list(tmp_path.iterdir()) == []


def test_objects_go_through_as_they_are():
    @checked
    def given(x: torch.Tensor, space: Real, count: Count = 3) -> tuple[object, ...]:
        return x, space, count

    x, space = torch.zeros(2), Real((2,))
    found = given(x, space=space, count="4")
    assert found[0] is x
    assert found[1] is space
    assert found[2] == 4


@pytest.mark.parametrize("recipe", ["gmm", "realnvp", "ebm", "made", "eonade", "independent"])
def test_no_rows_have_no_figures_and_none_are_drawn(recipe):
    run = ptheta.fit(MOONS, recipe, steps=1)
    assert len(ptheta.densities(run.model, X[:0], space=MOONS.space).values) == 0
    verb = ptheta.densities(run.model, X, space=MOONS.space).verb
    assert getattr(run.model, verb)(X[:0]).shape == (0,)
    assert run.model.sample(0).shape == (0, 2)
