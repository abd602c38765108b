"""Energies on the reals."""

__all__ = ["Energy"]

from torch import Tensor, nn

from ptheta.models.gradient import score_of
from ptheta.networks.context import ContextFeatures
from ptheta.spaces import Categorical, Real


class Energy(nn.Module):
    r"""A density known up to a constant: a standard normal, tilted by a network.

    .. math:: \log p(x) = g f(g x) - \frac{1}{2} \|x\|^2 - \log Z

    The normal makes it a density for every network that grows at most linearly, as a multilayer
    perceptron does; without it chains can run away to infinity. The gain g makes up for smooth
    units being nearly linear over data of unit variance, where a density has to bend. Given a
    context the constant depends on it, so values under different contexts cannot be compared.

    References:
        A Theory of Generative ConvNet (Xie, Lu, Zhu & Wu, 2016), https://arxiv.org/abs/1602.03264,
        equation 2

    Arguments:
        network: The tilt, from (batch, features) to (batch, 1), for data of unit variance.
        context_space: What examples are conditioned on; its features follow those of x in what
            the network is given.
        gain: The factor g on what the network is given and gives.

    Example:
        >>> import torch
        >>> energy = Energy(nn.Linear(2, 1))
        >>> energy.unnormalized_log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        network: nn.Module,
        context_space: Categorical | Real | None = None,
        *,
        gain: float = 3.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.context = ContextFeatures(context_space)
        self.gain = gain

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""
        tilt = self.network(self.context.join(self.gain * x, context)).squeeze(-1)
        return self.gain * tilt - x.square().sum(dim=1) / 2

    def score(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The gradient of log p by x, shaped as x; it carries gradient to the parameters."""
        return score_of(lambda x: self.unnormalized_log_prob(x, context), x)
