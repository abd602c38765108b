"""Examples of any space as vectors whose distances make sense, for metrics of sample quality."""

__all__ = ["MetricFeatures"]

import torch
from torch import Tensor

from ptheta.spaces import Categorical, Group, Positive, Space, Table, groups


class MetricFeatures:
    """Maps examples to vectors in which every value of an example counts alike.

    Numbers are centred and scaled by the real data (positive ones in their logarithm), categories
    are one-hot, and a missing value is the mean, with one more feature that says that it is
    missing. The features of one value are scaled together, so that the expected squared distance
    between two real examples is 2 for each value. The values of an image, a sequence or a video
    share one unit, and so share one scale.

    Arguments:
        space: The space of the examples.
        real: The real examples that fix the scale, with shape (n, *space.shape).

    Example:
        >>> from ptheta.spaces import Real
        >>> features = MetricFeatures(Real((1,)), torch.tensor([[0.0], [2.0]]))
        >>> features(torch.tensor([[3.0]]))
        tensor([[2.]])
    """

    def __init__(self, space: Space, real: Tensor) -> None:
        self.space = space
        raw, owner = _raw(space, real)
        known = ~raw.isnan()
        count = known.sum(dim=0).clamp(min=1)
        self.mean = raw.nan_to_num(nan=0.0).sum(dim=0) / count
        variance = (raw - self.mean).nan_to_num(nan=0.0).square().sum(dim=0) / count
        total = torch.zeros(int(owner.max()) + 1, dtype=raw.dtype, device=raw.device)
        total = total.index_add(0, owner, variance)
        if space.layout != "vector":
            total = total.mean().expand_as(total)
        scale = total.sqrt()[owner]
        # a constant value has no scale of its own
        self.scale = torch.where(scale > 1e-12, scale, torch.ones_like(scale))

    def __call__(self, x: Tensor) -> Tensor:
        """The features of examples.

        Arguments:
            x: The examples, with shape (n, *space.shape).

        Returns:
            The features, with shape (n, features), in float32; they are finite where x is.
        """
        raw, _ = _raw(self.space, x)
        scaled = (raw - self.mean) / self.scale
        if isinstance(self.space, Table) and self.space.missing:
            scaled = scaled.masked_fill(scaled.isnan(), 0.0)
        return scaled.float()


def _raw(space: Space, x: Tensor) -> tuple[Tensor, Tensor]:
    """Features before scaling, and which scale each shares: one a value, one a missing value."""
    flat = x.reshape(len(x), -1).double()
    parts: list[Tensor] = []
    owners: list[Tensor] = []
    for group in groups(space):
        positions = torch.tensor(group.positions, device=x.device)
        encoded = _encoded(group, flat[:, positions])
        parts.append(encoded.flatten(1))
        owners.append(positions.repeat_interleave(encoded.shape[2]))
    if isinstance(space, Table) and space.missing:
        gaps = torch.tensor([i for i, c in enumerate(space.columns) if c.missing], device=x.device)
        parts.append(flat[:, gaps].isnan().double())
        owners.append(gaps + space.features)
    return torch.cat(parts, dim=1), torch.cat(owners)


def _encoded(group: Group, values: Tensor) -> Tensor:
    """From (n, values) to (n, values, size)."""
    match group.space:
        case Categorical(categories=categories):
            codes = torch.arange(categories, device=values.device, dtype=values.dtype)
            hot = (values.unsqueeze(-1) == codes).double()
            return hot.masked_fill(values.isnan().unsqueeze(-1), torch.nan)
        case Positive():
            return values.clamp(min=torch.finfo(torch.float32).tiny).log().unsqueeze(-1)
        case _:
            return values.unsqueeze(-1)
