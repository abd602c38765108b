r"""The restricted Boltzmann machine: visible and binary hidden units, and weights between them.

With the visible units' own density :math:`p_0`, which knows their biases,

.. math:: \log \tilde p(v, h) = \log p_0(v) + T(v)^T W h + c^T h, \qquad
    \log \tilde p(v) = \log p_0(v) + \sum_j \operatorname{softplus}\left(c_j + T(v)^T W_j\right) .
"""

__all__ = ["RBM", "TemperedRBM"]

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.models.energy.units import Units, coins
from ptheta.networks.context import check_context

_MOST = 24  # hidden units over whose states sums are taken one by one


class RBM(nn.Module):
    """A restricted Boltzmann machine, whose hidden units are summed out.

    References:
        Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002),
        https://doi.org/10.1162/089976602760128018
        A Practical Guide to Training Restricted Boltzmann Machines (Hinton, 2012),
        https://doi.org/10.1007/978-3-642-35289-8_32, section 8, for where weights start

    Arguments:
        visible: The visible units.
        hidden_features: The number of hidden units.

    Example:
        >>> from ptheta.models.energy.units import BinaryUnits
        >>> _ = torch.manual_seed(0)
        >>> rbm = RBM(BinaryUnits((4,)), hidden_features=3)
        >>> every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
        >>> total = rbm.unnormalized_log_prob(every).logsumexp(dim=0)
        >>> torch.allclose(total, rbm.log_partition())
        True
    """

    def __init__(self, visible: Units, hidden_features: int) -> None:
        super().__init__()
        self.visible = visible
        # rows of hidden units, as the weight of a layer from visible to hidden has them
        self.weight = nn.Parameter(0.01 * torch.randn(hidden_features, visible.statistics_features))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden_features))

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts from units that follow the data one by one.

        Arguments:
            x: The training examples, with shape (rows, *shape).
            context: Not looked at.
        """
        self.visible.fit(x)

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative free energy, with shape (batch,)."""
        check_context(None, context, len(x), codes=False)
        field = self.hidden_field(x)
        return self.visible.log_base(x) + F.softplus(field).sum(dim=1)

    def hidden_field(self, x: Tensor) -> Tensor:
        """The log-odds of each hidden unit given x, with shape (batch, hidden_features)."""
        return F.linear(self.visible.statistics(x), self.weight, self.hidden_bias)

    def start(self, n: int) -> Tensor:
        """Draws of the visible units as they follow the data one by one, with shape (n, *shape)."""
        return self.visible.start(n)

    @torch.no_grad()
    def gibbs(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The hidden units given x, and then the visible ones given these, shaped as x."""
        check_context(None, context, len(x), codes=False)
        hidden = coins(torch.sigmoid(self.hidden_field(x)))
        return self.visible.draw(hidden @ self.weight)

    def tempered(self, beta: float) -> "TemperedRBM":
        """The machine at beta, from 0, where its units are independent, to 1."""
        return TemperedRBM(self, beta)

    def log_partition(self) -> Tensor:
        """log Z, a scalar, by the sum over all states of the hidden units.

        Raises:
            ValueError: There are too many hidden units.
        """
        hidden_features = len(self.hidden_bias)
        if hidden_features > _MOST:
            raise ValueError(
                f"the sum over all states of {hidden_features} hidden units is too long; it is "
                f"taken for up to {_MOST}. Estimate it by annealed importance sampling."
            )
        total = self.weight.new_tensor(-torch.inf)
        for states in torch.arange(2**hidden_features, device=self.weight.device).split(2**12):
            places = torch.arange(hidden_features, device=states.device)
            hidden = ((states[:, None] >> places) & 1).to(self.weight.dtype)
            each = hidden @ self.hidden_bias + self.visible.log_partition(hidden @ self.weight)
            total = torch.logaddexp(total, each.logsumexp(dim=0))
        return total


@dataclass(frozen=True)
class TemperedRBM:
    r"""A machine between units that follow the data one by one and the machine itself.

    .. math:: \log \tilde p_\beta(v) = \log p_0(v) + (1 - \beta) f_0^T T(v)
        + \sum_j \operatorname{softplus}\left(\beta (c_j + T(v)^T W_j)\right)

    with :math:`f_0` the field that takes the units to where they were fitted.

    References:
        On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov & Murray, 2008),
        https://doi.org/10.1145/1390156.1390266, equations 15 to 18

    Arguments:
        rbm: The machine.
        beta: How much of it there is, from 0 to 1.

    Example:
        >>> from ptheta.models.energy.units import BinaryUnits
        >>> _ = torch.manual_seed(0)
        >>> rbm = RBM(BinaryUnits((4,)), hidden_features=3)
        >>> x = torch.ones(2, 4)
        >>> bool((TemperedRBM(rbm, 1.0).unnormalized_log_prob(x) ==
        ...       rbm.unnormalized_log_prob(x)).all())
        True
    """

    rbm: RBM
    beta: float

    def start(self, n: int) -> Tensor:
        """Draws at beta = 0, with shape (n, *shape)."""
        return self.rbm.start(n)

    def log_partition_at_start(self) -> Tensor:
        """log Z at beta = 0, a scalar: there the hidden units are fair coins."""
        coins = len(self.rbm.hidden_bias) * math.log(2)
        return self.rbm.visible.log_partition(self.rbm.visible.fitted_field()) + coins

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative free energy, with shape (batch,)."""
        visible = self.rbm.visible
        start = (1 - self.beta) * (visible.statistics(x) @ visible.fitted_field())
        field = self.beta * self.rbm.hidden_field(x)
        return visible.log_base(x) + start + F.softplus(field).sum(dim=1)

    @torch.no_grad()
    def gibbs(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The hidden units given x, and then the visible ones given these, shaped as x."""
        hidden = coins(torch.sigmoid(self.beta * self.rbm.hidden_field(x)))
        field = self.beta * (hidden @ self.rbm.weight)
        return self.rbm.visible.draw(field + (1 - self.beta) * self.rbm.visible.fitted_field())
