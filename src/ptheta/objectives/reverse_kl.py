"""The reverse Kullback-Leibler divergence, to a density that is known up to a constant."""

__all__ = ["ReverseKL", "SupportsRsampleAndLogProb"]

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor

from ptheta.objectives.types import Batch, Loss


@runtime_checkable
class SupportsRsampleAndLogProb(Protocol):
    """Draws with gradient, and their exact density."""

    def rsample_and_log_prob(self, n: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draws with shape (n, *space.shape), and log p of each with shape (n,)."""
        ...


class ReverseKL:
    r"""KL(model, target) up to the target's log-normaliser, by the model's own draws.

    .. math:: \mathcal{L} = \mathbb{E}_{x \sim p_\theta}
        \left[ \log p_\theta(x) - \log \tilde p(x) \right] \ge -\log Z

    It asks that draws be likely under the target, not that the target be covered: of modes that
    lie far apart, a model may keep to one.

    References:
        Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015),
        https://arxiv.org/abs/1505.05770, equation 15

    Arguments:
        target: The log-density of the target up to a constant, from (n, *shape) to (n,).
    """

    def __init__(self, target: Callable[[Tensor], Tensor]) -> None:
        self.target = target

    def loss(self, model: SupportsRsampleAndLogProb, batch: Batch) -> Loss:
        """The loss in nats, over as many draws as the batch has rows; its data are not used."""
        x, log_prob = model.rsample_and_log_prob(len(batch.x), batch.context)
        own, other = log_prob.mean(), self.target(x).mean()
        return Loss(own - other, {"log p": own.detach(), "log target": other.detach()})
