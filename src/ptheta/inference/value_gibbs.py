"""Gibbs updates of codes one value at a time, of any density that can be evaluated."""

__all__ = ["ValueGibbs"]

from dataclasses import dataclass

import torch
from torch.distributions import Categorical

from ptheta.inference.gibbs import GibbsState, Sweeps
from ptheta.inference.kernels import Target
from ptheta.protocols import SupportsUnnormalizedLogProb


@dataclass(frozen=True)
class ValueGibbs(Sweeps[Target[SupportsUnnormalizedLogProb]]):
    """A value chosen by chance and drawn given the others, by the density of each of its codes.

    References:
        Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of Images (Geman &
        Geman, 1984), https://doi.org/10.1109/TPAMI.1984.4767596

    Arguments:
        codes: The number of codes of a value.
        updates: The number of values that a transition draws.

    Raises:
        ValueError: There are fewer than two codes, or no update.

    Example:
        >>> from ptheta.models.energy.rbm import RBM
        >>> from ptheta.models.energy.units import BinaryUnits
        >>> _ = torch.manual_seed(0)
        >>> target, kernel = Target(RBM(BinaryUnits((4,)), hidden_features=3)), ValueGibbs(2)
        >>> kernel.step(target, kernel.init(target, torch.zeros(5, 4))).x.shape
        torch.Size([5, 4])
    """

    codes: int
    updates: int = 1

    def __post_init__(self) -> None:
        if self.codes < 2 or self.updates < 1:
            raise ValueError(
                "values have two codes or more, and a transition draws a value or more, got "
                f"codes={self.codes} and updates={self.updates}"
            )

    @torch.no_grad()
    def step(self, target: Target[SupportsUnnormalizedLogProb], state: GibbsState) -> GibbsState:
        """One transition of every chain."""
        x, context = state.x.flatten(1), target.context
        given = None if context is None else context.repeat_interleave(self.codes, dim=0)
        of_all = Target(target.model, given)
        codes = torch.arange(self.codes, device=x.device).to(x.dtype).expand(len(x), -1)
        for _ in range(self.updates):
            value = torch.randint(x.shape[1], (len(x), 1), device=x.device)
            each = x.repeat_interleave(self.codes, dim=0)
            each.scatter_(1, value.repeat_interleave(self.codes, dim=0), codes.reshape(-1, 1))
            logits = of_all(each.view(-1, *state.x.shape[1:])).view(len(x), self.codes)
            drawn = Categorical(logits=logits, validate_args=False).sample()
            x = x.scatter(1, value, drawn[:, None].to(x.dtype))
        return state._replace(x=x.view_as(state.x))
