"""Pseudolikelihood of models that give all conditionals at once."""

__all__ = ["ConditionalPseudolikelihood"]

from torch.nn import functional as F

from ptheta.inference.conditionals import SupportsConditionals
from ptheta.objectives.types import Batch, Loss


class ConditionalPseudolikelihood:
    r"""The log-probability of each value given all others, by the model's own conditionals.

    .. math:: \mathcal{L} = - \mathbb{E}_{x \sim p_\text{data}}
        \sum_i \log p_\theta(x_i \mid x_{-i})

    It is the loss of `neighbours.Pseudolikelihood` in one pass over an example, where that one
    takes a pass for each of its neighbours. Couplings that the data never speak against have no
    best value and grow for ever, as those of a field do where images are enlarged by copies of
    their sites.

    References:
        Statistical Analysis of Non-Lattice Data (Besag, 1975), https://doi.org/10.2307/2987782

    Example:
        >>> import torch
        >>> from ptheta.models.energy.pairwise import PairwiseField
        >>> batch = Batch(torch.zeros(3, 2, 2))
        >>> round(ConditionalPseudolikelihood().loss(PairwiseField((2, 2)), batch).value.item(), 4)
        2.7726
    """

    def loss(self, model: SupportsConditionals, batch: Batch) -> Loss:
        """The loss: nats of an example by the conditionals of its values."""
        log_probs = model.conditional_log_probs(batch.x, batch.context)
        surprise = F.nll_loss(log_probs.flatten(0, -2), batch.x.long().flatten(), reduction="sum")
        return Loss(surprise / len(batch.x))
