"""The reverse Kullback-Leibler divergence, to a density that is known up to a constant."""

__all__ = ["ReverseKL"]

from collections.abc import Callable

from torch import Tensor

from ptheta.objectives.types import Batch, Loss
from ptheta.protocols import SupportsRsampleAndLogProb


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
        """The loss in nats, over as many draws as the batch has rows; its data are not used.

        Raises:
            ValueError: The batch has no row, or the target does not give one number for each draw.
        """
        if not len(batch.x):
            raise ValueError("there is a draw for each row of the batch, and it has none")
        x, log_prob = model.rsample_and_log_prob(len(batch.x), batch.context)
        log_target = self.target(x)
        if log_target.shape != log_prob.shape:
            raise ValueError(
                f"expected a target that maps draws of shape {tuple(x.shape)} to log-densities of "
                f"shape {tuple(log_prob.shape)}, got {tuple(log_target.shape)}"
            )
        own, other = log_prob.mean(), log_target.mean()
        return Loss(own - other, {"log p": own.detach(), "log target": other.detach()})
