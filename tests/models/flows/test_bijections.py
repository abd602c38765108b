import math

import pytest
import torch
from torch import nn

from ptheta.models.flows.autoregressive import MaskedAutoregressive
from ptheta.models.flows.bijections import Composition, Inverse, Permutation, Reshaped
from ptheta.models.flows.coupling import Coupling
from ptheta.models.flows.linear import ActNorm, LULinear, Scaling
from ptheta.models.flows.planar import Planar
from ptheta.models.flows.radial import Radial
from ptheta.models.flows.splines import RationalQuadratic
from ptheta.models.flows.univariate import Affine, Reversed, Shift
from ptheta.testing.bijections import bijection_checks

HIDDEN = {"hidden_features": (6, 5)}
# few units that are off over half of the line might all be off for a row
SMOOTH = {**HIDDEN, "activation": nn.Tanh}
SPLINE = RationalQuadratic(bins=4, bound=2.0)
UNIVARIATES = {
    "shift": Shift(),
    "affine": Affine(),
    "affine-reversed": Reversed(Affine()),
    "spline": SPLINE,
    "spline-of-one-bin": RationalQuadratic(bins=1, bound=2.0),
}
# how each is made, the number of values, and of features of the context
BIJECTIONS = {
    **{
        f"coupling-{name}": (lambda u=u: Coupling(u, 5, **HIDDEN), 5, 0)
        for name, u in UNIVARIATES.items()
    },
    "coupling-flipped": (lambda: Coupling(Affine(), 5, flip=True, **HIDDEN), 5, 0),
    "coupling-of-two": (lambda: Coupling(RationalQuadratic(), 2, **HIDDEN), 2, 0),
    **{
        f"coupling-conditional-{name}": (lambda u=u: Coupling(u, 4, 3, **SMOOTH), 4, 3)
        for name, u in UNIVARIATES.items()
        if name != "spline-of-one-bin"
    },
    "planar": (lambda: Planar(4), 4, 0),
    "planar-conditional": (lambda: Planar(3, 2), 3, 2),
    "radial": (lambda: Radial(4), 4, 0),
    "radial-of-one": (lambda: Radial(1), 1, 0),
    "radial-conditional": (lambda: Radial(3, 2), 3, 2),
    "scaling": (lambda: Scaling(4), 4, 0),
    "actnorm": (lambda: ActNorm(4), 4, 0),
    "lu": (lambda: LULinear(torch.randn(4, 4)), 4, 0),
    "lu-conditional": (lambda: LULinear(torch.randn(3, 3), 2), 3, 2),
    "permutation": (lambda: Permutation(torch.tensor([2, 0, 3, 1])), 4, 0),
    "composition": (
        lambda: Composition([Coupling(Affine(), 4, **HIDDEN), ActNorm(4), Planar(4)]),
        4,
        0,
    ),
    "composition-conditional": (
        lambda: Composition([Coupling(Affine(), 3, 2, **SMOOTH), Radial(3, 2), Planar(3, 2)]),
        3,
        2,
    ),
    "inverse-coupling-spline": (lambda: Inverse(Coupling(SPLINE, 4, **HIDDEN)), 4, 0),
    "reshaped-conditional": (
        lambda: Reshaped(LULinear(torch.randn(2, 2), 3), (2, 1, 2)),
        4,
        3,
    ),
}
# data of autoregressive maps are found in two ways, and both keep the contract
AUTOREGRESSIVE = {
    **{
        f"autoregressive-{name}": (lambda u=u: MaskedAutoregressive(u, 5, **HIDDEN), 5, 0)
        for name, u in UNIVARIATES.items()
    },
    "autoregressive-in-an-order": (
        lambda: MaskedAutoregressive(Affine(), 4, order=(2, 0, 3, 1), **HIDDEN),
        4,
        0,
    ),
    **{
        f"autoregressive-conditional-{name}": (
            lambda u=u: MaskedAutoregressive(u, 4, 3, **SMOOTH),
            4,
            3,
        )
        for name, u in UNIVARIATES.items()
        if name != "spline-of-one-bin"
    },
    "autoregressive-of-one-conditional": (
        lambda: MaskedAutoregressive(RationalQuadratic(), 1, 2, **HIDDEN),
        1,
        2,
    ),
    "inverse-autoregressive": (lambda: Inverse(MaskedAutoregressive(Affine(), 4, **HIDDEN)), 4, 0),
    "inverse-autoregressive-conditional": (
        lambda: Inverse(MaskedAutoregressive(Affine(), 4, 3, **SMOOTH)),
        4,
        3,
    ),
    "inverse-autoregressive-spline": (
        lambda: Inverse(MaskedAutoregressive(SPLINE, 4, **HIDDEN)),
        4,
        0,
    ),
}


def cases(bijections):
    return [
        pytest.param(check, id=f"{name}: {check.name}")
        for name, (make, features, context_features) in bijections.items()
        for check in bijection_checks(make, (features,), context_features=context_features)
    ]


@pytest.mark.parametrize("check", cases(BIJECTIONS))
def test_the_contract_of_bijections(check):
    check.run()


@pytest.mark.parametrize("few", [0, math.inf], ids=["by values", "whole"])
@pytest.mark.parametrize("check", cases(AUTOREGRESSIVE))
def test_the_contract_of_autoregressive_maps(check, few, monkeypatch):
    monkeypatch.setattr("ptheta.models.flows.autoregressive._FEW", few)
    check.run()
