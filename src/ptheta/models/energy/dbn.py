r"""The deep belief network: a restricted Boltzmann machine on top of directed layers.

With layers :math:`h_0 = v, h_1, \dots, h_L`, of which the last two form the machine,

.. math:: p(v, h_1, \dots, h_L) = p(h_{L-1}, h_L) \prod_{i=1}^{L-1} p(h_{i-1} \mid h_i) .
"""

__all__ = ["DBN"]

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.models.energy.rbm import RBM
from ptheta.models.energy.units import BinaryUnits, Units, bias_of, coins


class DBN(nn.Module):
    """A deep belief network, which grows from one machine to several.

    Each machine below the top is two things: upwards its weights and hidden biases recognise, and
    downwards weights of their own, which start as a copy, and the visible units generate.

    References:
        A Fast Learning Algorithm for Deep Belief Nets (Hinton, Osindero & Teh, 2006),
        https://doi.org/10.1162/neco.2006.18.7.1527

    Arguments:
        visible: The visible units.
        hidden_features: The number of units of each hidden layer, from the lowest.

    Example:
        >>> from ptheta.models.energy.units import BinaryUnits
        >>> _ = torch.manual_seed(0)
        >>> dbn = DBN(BinaryUnits((4,)), hidden_features=(3, 2))
        >>> x = torch.ones(5, 4)
        >>> torch.equal(dbn.unnormalized_elbo(x), dbn.machine.unnormalized_log_prob(x))
        True
        >>> dbn.grow(x)
        >>> dbn.machine is dbn.machines[1]
        True
    """

    depth: Tensor

    def __init__(self, visible: Units, hidden_features: Sequence[int]) -> None:
        super().__init__()
        layers = [visible, *(BinaryUnits((n,)) for n in hidden_features[:-1])]
        machines = [RBM(units, n) for units, n in zip(layers, hidden_features, strict=True)]
        self.machines: Sequence[RBM] = nn.ModuleList(machines)  # pyright: ignore
        self.generative = nn.ParameterList(machine.weight.clone() for machine in machines[:-1])
        self.register_buffer("depth", torch.tensor(1))

    @property
    def machine(self) -> RBM:
        """The machine that is the top so far."""
        return self.machines[int(self.depth) - 1]

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts from units that follow the data one by one.

        Arguments:
            x: The training examples, with shape (rows, *shape).
            context: Not looked at.
        """
        self.machines[0].initialize(x)

    @torch.no_grad()
    def grow(self, x: Tensor) -> None:
        """Makes the top a directed layer, and puts the next machine on it.

        Where the new machine has as many hidden units as the old one had binary visible ones, it
        starts as the old one upside down, which leaves the density as it was. Else its visible
        units start where they follow the hidden ones of the old, one by one.

        Arguments:
            x: Some examples, with shape (rows, *shape).
        """
        below = int(self.depth) - 1
        old, new = self.machines[below], self.machines[below + 1]
        self.generative[below].copy_(old.weight)
        new.initialize(self.recognise(x, below + 1)[-1])
        if isinstance(old.visible, BinaryUnits) and new.weight.shape == old.weight.t().shape:
            new.weight.copy_(old.weight.t())
            new.hidden_bias.copy_(old.visible.bias)
            bias_of(new.visible).copy_(old.hidden_bias)
        self.depth += 1

    @torch.no_grad()
    def recognise(self, x: Tensor, layers: int | None = None) -> list[Tensor]:
        """Examples, and draws of hidden layers given them, each layer given the one below it.

        Arguments:
            x: The examples, with shape (batch, *shape).
            layers: The number of hidden layers; None takes all below the top.

        Returns:
            The examples and the draws of each layer, with shape (batch, its units).
        """
        found = [x]
        for machine in self.machines[: int(self.depth) - 1 if layers is None else layers]:
            found.append(coins(torch.sigmoid(machine.hidden_field(found[-1]))))
        return found

    @torch.no_grad()
    def generate(self, top: Tensor) -> list[Tensor]:
        """Draws of all layers below the top, each given the one above it.

        Arguments:
            top: The visible units of the top machine, with shape (n, *their shape).

        Returns:
            The draws of each layer, from those of the data's with shape (n, *shape) up to `top`.
        """
        found = [top]
        for layer in reversed(range(int(self.depth) - 1)):
            found.insert(0, self.machines[layer].visible.draw(found[0] @ self.generative[layer]))
        return found

    def log_generative(self, layers: Sequence[Tensor]) -> Tensor:
        r"""The sum of :math:`\log p(h_{i-1} \mid h_i)` in nats, with shape (batch,)."""
        found = self.machine.weight.new_zeros(len(layers[0]))
        for k, (below, above) in enumerate(pairwise(layers)):
            found = found + self.machines[k].visible.log_prob(below, above @ self.generative[k])
        return found

    def log_recognition(self, layers: Sequence[Tensor]) -> Tensor:
        r"""The sum of :math:`\log q(h_i \mid h_{i-1})` in nats, with shape (batch,)."""
        found = self.machine.weight.new_zeros(len(layers[0]))
        for machine, (below, above) in zip(self.machines, pairwise(layers), strict=False):
            field = machine.hidden_field(below)
            found = found + (above * field - F.softplus(field)).sum(dim=1)
        return found

    def unnormalized_elbo(self, x: Tensor) -> Tensor:
        r"""A bound on log p(x) plus the log of the top machine's constant, with shape (batch,).

        .. math:: \sum_{i=1}^{L-1} \log \frac{p(h_{i-1} \mid h_i)}{q(h_i \mid h_{i-1})}
            + \log \tilde p(h_{L-1}), \qquad h_i \sim q(\cdot \mid h_{i-1})

        It holds in expectation, and is exact while there is one machine.
        """
        layers = self.recognise(x)
        between = self.log_generative(layers) - self.log_recognition(layers)
        return between + self.machine.unnormalized_log_prob(layers[-1])

    def visible_of(self, top: Tensor) -> Tensor:
        """Draws of data given the visible units of the top machine, with shape (n, *shape)."""
        return self.generate(top)[0]
