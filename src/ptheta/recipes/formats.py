"""What models meant in earlier formats of saved runs."""

__all__ = ["as_written", "settings_as_written"]

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from ptheta.models.flows.autoregressive import MaskedAutoregressive
from ptheta.models.flows.coupling import Coupling
from ptheta.models.flows.image_coupling import ImageCoupling
from ptheta.models.flows.splines import RationalQuadratic
from ptheta.models.flows.univariate import Affine, Reversed

_OF_VECTORS = ("ncsn", "ddpm", "score-sde", "flow-matching")


def settings_as_written(recipe: str, format: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run, with what an earlier format took for granted.

    Before format 3, all denoisers were perceptrons, of images as well.

    Arguments:
        recipe: The name of the recipe.
        format: The format of the run.
        settings: The settings of the run.
    """
    if format < 3 and recipe in _OF_VECTORS:
        return {"network": "mlp", **settings}
    return dict(settings)


def as_written(model: nn.Module, format: int, settings: Mapping[str, Any]) -> None:
    """Changes a model in place to what it was in the format of a run.

    Format 1 had the affine maps of flows the other way round, of noise and not of data, and logits
    of splines were divided by the square root of the width of their network.

    Arguments:
        model: The model, as recipes build it now.
        format: The format of the run.
        settings: The settings of the run.
    """
    if format > 1:
        return
    for module in model.modules():
        match module:
            case MaskedAutoregressive(univariate=Affine()):
                module.univariate = Reversed(Affine(5.0))
            case Coupling(univariate=Affine()) | ImageCoupling(univariate=Affine()):
                module.univariate = Reversed(Affine(2.0))
            case (
                MaskedAutoregressive(univariate=RationalQuadratic() as spline)
                | Coupling(univariate=RationalQuadratic() as spline)
            ):
                module.univariate = replace(spline, temper=settings["hidden_features"] ** 0.5)
            case _:
                pass
