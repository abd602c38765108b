"""The score of a density that is a function of x."""

__all__ = ["score_of"]

from collections.abc import Callable

import torch
from torch import Tensor


def score_of(log_prob: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of log p by x, shaped as x, itself with gradient unless under `no_grad`.

    Arguments:
        log_prob: log p of each row, up to a constant.
        x: The points.

    Example:
        >>> score_of(lambda x: -x.square().sum(dim=1) / 2, torch.tensor([[1.0, -2.0]])).tolist()
        [[-1.0, 2.0]]
    """
    graph = torch.is_grad_enabled()
    with torch.enable_grad():
        at = x if x.requires_grad else x.detach().requires_grad_()
        return torch.autograd.grad(log_prob(at).sum(), at, create_graph=graph)[0]
