"""What models meant in earlier formats of saved runs."""

__all__ = ["as_written"]

from torch import nn

from ptheta.models.flows.autoregressive import MaskedAutoregressive
from ptheta.models.flows.coupling import Coupling
from ptheta.models.flows.image_coupling import ImageCoupling
from ptheta.models.flows.univariate import Affine, LocationScale


def as_written(model: nn.Module, format: int) -> None:
    """Changes a model in place to what it was in the format of a run.

    Format 1 had the affine maps of flows the other way round: of noise, and not of data.

    Arguments:
        model: The model, as recipes build it now.
        format: The format of the run.
    """
    if format > 1:
        return
    for module in model.modules():
        match module:
            case MaskedAutoregressive(univariate=Affine()):
                module.univariate = LocationScale(5.0)
            case Coupling(univariate=Affine()) | ImageCoupling(univariate=Affine()):
                module.univariate = LocationScale(2.0)
            case _:
                pass
