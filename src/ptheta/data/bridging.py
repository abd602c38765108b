"""Which bridge takes data of a space to what a model lives on."""

__all__ = ["dequantising", "refuse_missing", "scaling", "standardising"]

import torch
from torch import Tensor, nn

from ptheta.data.bridges import (
    Bridge,
    Chain,
    Dequantise,
    Flatten,
    Log,
    Logit,
    Scale,
    Standardise,
)
from ptheta.errors import PthetaError
from ptheta.spaces import Categorical, Discrete, Positive, Real, Space, Table, groups


def _mask(space: Space, kinds: type | tuple[type, ...]) -> Tensor:
    mask = torch.zeros(space.features, dtype=torch.bool)
    for group in groups(space):
        if isinstance(group.space, kinds):
            mask[list(group.positions)] = True
    return mask.reshape(space.shape)


def standardising(
    space: Space, reals: torch.dtype = torch.float32, *, most_levels: int | None = None
) -> Bridge:
    """The bridge for models with a head of their own for levels and categories.

    Real and positive values are standardised (positive ones in their logarithm); levels and
    categories are left as they are.

    Arguments:
        space: The space of the data.
        reals: The dtype of the reals.
        most_levels: Values of more levels than that are made real by uniform noise, and then
            standardised; None leaves all as they are, which makes the bridge exact.
    """
    levels = _levels(space)
    noised = torch.where(levels > (most_levels or levels.amax()), levels, 0).reshape(space.shape)
    continuous = _mask(space, (Real, Positive)) | (noised > 0)
    steps: list[Bridge] = []
    if _mask(space, Positive).any():
        steps.append(Log(_mask(space, Positive)))
    if noised.any():
        steps.append(Dequantise(noised, space.dtype))
    if continuous.any():
        steps.append(Standardise(space.shape, continuous, space.dtype, reals))
    return Chain(steps)


def scaling(space: Space) -> Bridge:
    """The exact bridge for models with heads for positive values as they are.

    As `standardising`, but positive values are scaled to a mean of one and stay positive.

    Arguments:
        space: The space of the data.
    """
    real, positive = _mask(space, Real), _mask(space, Positive)
    steps: list[Bridge] = [Scale(positive, space.dtype)]
    if real.any():
        steps.append(Standardise(space.shape, real, space.dtype))
    return Chain(steps)


def dequantising(
    space: Space,
    logit: float | None = None,
    *,
    flat: bool = True,
    together: bool = False,
    noise: nn.Module | None = None,
) -> Bridge:
    """The bridge for models that live on the reals: everything becomes a standardised vector.

    Arguments:
        space: The space of the data.
        logit: The margin of the logit that dequantised levels pass through; 0 or None leaves it
            out.
        flat: Whether examples become vectors, and do not keep their shape.
        together: Whether all values share one mean and one scale, as the pixels of an image may.
        noise: What draws the noise of levels given the data; None means uniform noise.

    Returns:
        A bridge to vectors of `space.features` reals; it is stochastic where there are levels.

    Raises:
        PthetaError: There are unordered categories, or values that may be missing, or a logit is
            asked for where there are no levels, or with a margin that it cannot have.
    """
    categorical = _mask(space, Categorical)
    if categorical.any():
        raise PthetaError(
            f"unordered categories have no place on the reals{_named(space, categorical)}."
        )
    if logit and not isinstance(space, Discrete):
        raise PthetaError(f"a logit is for levels, and this is {space.describe()}: leave it out.")
    refuse_missing(space)
    steps: list[Bridge] = []
    if _mask(space, Positive).any():
        steps.append(Log(_mask(space, Positive)))
    levels = _levels(space)
    if (levels > 0).any():
        steps.append(Dequantise(levels.reshape(space.shape), space.dtype, noise))
    if logit and isinstance(space, Discrete):
        steps.append(_logit(space.levels, logit))
    dtype = torch.float64 if isinstance(space, Table) else torch.float32
    steps.append(Standardise(space.shape, dtype=dtype, together=together))
    if flat:
        steps.append(Flatten(space.shape))
    return Chain(steps)


def refuse_missing(space: Space) -> None:
    """Refuses data with values that may be missing.

    Raises:
        PthetaError: There are some; the columns are named.
    """
    if isinstance(space, Table) and space.missing:
        gaps = torch.tensor([column.missing for column in space.columns])
        raise PthetaError(
            f"missing values cannot be mapped to the reals{_named(space, gaps)}; drop those rows "
            "or columns, or take another recipe."
        )


def _levels(space: Space) -> Tensor:
    """The number of levels of each value of a flattened example, 0 where it has none."""
    levels = torch.zeros(space.features, dtype=torch.int64)
    for group in groups(space):
        if isinstance(group.space, Discrete):
            levels[list(group.positions)] = group.space.levels
    return levels


def _logit(levels: int, margin: float) -> Logit:
    try:
        return Logit(levels, margin)
    except ValueError as error:
        raise PthetaError(f"{error}; 0 leaves the logit out.") from None


def _named(space: Space, mask: Tensor) -> str:
    if not isinstance(space, Table):
        return ""
    names = [column.name for column, hit in zip(space.columns, mask.tolist(), strict=True) if hit]
    shown = ", ".join(f"'{name}'" for name in names[:4])
    return f" (columns {shown}{', ...' if len(names) > 4 else ''})"
