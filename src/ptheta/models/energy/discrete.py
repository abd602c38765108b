r"""A neural energy of codes: units that follow the data one by one, tilted by a network.

With the units' own density :math:`p_0`, which knows their biases, and their statistics T,

.. math:: \log \tilde p(x) = \log p_0(x) + f(T(x)) .
"""

__all__ = ["DiscreteEnergy", "TemperedDiscreteEnergy"]

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ptheta.models.energy.units import BinaryUnits, CategoricalUnits
from ptheta.networks.context import ContextFeatures
from ptheta.spaces import Categorical, Real


class DiscreteEnergy(nn.Module):
    """A mass of codes known up to a constant: independent units, tilted by a network.

    Given a context the constant depends on it, so values under different contexts cannot be
    compared.

    References:
        Oops I Took A Gradient: Scalable Sampling for Discrete Distributions (Grathwohl, Swersky,
        Hashemi, Duvenaud & Maddison, 2021), https://arxiv.org/abs/2102.04509, section 6

    Arguments:
        visible: The units.
        network: The tilt, from (batch, features) to (batch, 1).
        context_space: What examples are conditioned on; its features follow the statistics in what
            the network is given.

    Example:
        >>> energy = DiscreteEnergy(BinaryUnits((4,)), nn.Linear(4, 1))
        >>> energy.unnormalized_log_prob(torch.zeros(5, 4)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        visible: BinaryUnits | CategoricalUnits,
        network: nn.Module,
        context_space: Categorical | Real | None = None,
    ) -> None:
        super().__init__()
        self.visible = visible
        self.network = network
        self.context = ContextFeatures(context_space)

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts from units that follow the data one by one.

        Arguments:
            x: The training examples, with shape (rows, *shape).
            context: Not looked at.
        """
        self.visible.fit(x)

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""
        return self.visible.log_base(x) + self.tilt(self.visible.statistics(x), context)

    def first_order(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The negative energy, and to first order by how much changes of one value move it.

        Returns:
            The first with shape (batch,), the second with shape (batch, values, codes), zero at
            the codes that values have; both without graph.
        """
        return self.tempered(1.0).first_order(x, context)

    def tilt(self, statistics: Tensor, context: Tensor | None = None) -> Tensor:
        """What the network adds, with shape (batch,)."""
        return self.network(self.context.join(statistics, context)).squeeze(-1)

    def start(self, n: int) -> Tensor:
        """Draws of the units as they follow the data one by one, with shape (n, *shape)."""
        return self.visible.start(n)

    def tempered(self, beta: float) -> "TemperedDiscreteEnergy":
        """The energy at beta, from 0, where its values are independent, to 1."""
        return TemperedDiscreteEnergy(self, beta)


@dataclass(frozen=True)
class TemperedDiscreteEnergy:
    r"""An energy between units that follow the data one by one and the energy itself.

    .. math:: \log \tilde p_\beta(x) = \log p_0(x) + (1 - \beta) f_0^T T(x) + \beta f(T(x))

    with :math:`f_0` the field that takes the units to where they were fitted.

    Arguments:
        energy: The energy.
        beta: How much of its network there is, from 0 to 1.

    Example:
        >>> energy, x = DiscreteEnergy(BinaryUnits((4,)), nn.Linear(4, 1)), torch.ones(2, 4)
        >>> whole = TemperedDiscreteEnergy(energy, 1.0).unnormalized_log_prob(x)
        >>> bool((whole == energy.unnormalized_log_prob(x)).all())
        True
    """

    energy: DiscreteEnergy
    beta: float

    def start(self, n: int) -> Tensor:
        """Draws at beta = 0, with shape (n, *shape)."""
        return self.energy.start(n)

    def log_partition_at_start(self) -> Tensor:
        """log Z at beta = 0, a scalar."""
        visible = self.energy.visible
        return visible.log_partition(visible.fitted_field())

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""
        visible = self.energy.visible
        statistics = visible.statistics(x)
        of_start = (1 - self.beta) * (statistics @ visible.fitted_field())
        return visible.log_base(x) + of_start + self.beta * self.energy.tilt(statistics, context)

    def first_order(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `DiscreteEnergy.first_order`."""
        visible = self.energy.visible
        statistics = visible.statistics(x)
        # but for the network all is linear in the statistics
        field = visible.bias + (1 - self.beta) * visible.fitted_field()
        with torch.enable_grad():
            at = statistics.detach().requires_grad_()
            tilt = self.energy.tilt(at, context)
            (slope,) = torch.autograd.grad(tilt.sum(), at)
        value = statistics @ field + self.beta * tilt
        return value.detach(), visible.changes(x, (self.beta * slope + field).detach())
