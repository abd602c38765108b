r"""The deep Boltzmann machine: layers of binary units, each tied to those above and below it.

.. math:: \log \tilde p(v, h_1, \dots, h_L) = \log p_0(v) + T(v)^T W_1 h_1
    + \sum_{i=2}^{L} h_{i-1}^T W_i h_i + \sum_{i=1}^{L} b_i^T h_i

No unit of an even layer is tied to another (the visible one being layer 0), nor is one of an odd
layer. So the even layers are the visible units of a restricted Boltzmann machine whose hidden units
are the odd layers: its sums, sweeps and constants are those of that machine.
"""

__all__ = ["DBM", "layer_input", "layer_machines"]

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from ptheta.models.energy.joined_units import JoinedUnits
from ptheta.models.energy.rbm import RBM
from ptheta.models.energy.units import BinaryUnits, Units, bias_of, coins


class DBM(nn.Module):
    """A deep Boltzmann machine, as a machine between its even and its odd layers.

    References:
        Deep Boltzmann Machines (Salakhutdinov & Hinton, 2009),
        https://proceedings.mlr.press/v5/salakhutdinov09a.html

    Arguments:
        visible: The visible units.
        hidden_features: The number of units of each hidden layer, from the lowest.
        mean_field_steps: The number of rounds in which the layers' means are set.

    Example:
        >>> from ptheta.models.energy.units import BinaryUnits
        >>> _ = torch.manual_seed(0)
        >>> dbm = DBM(BinaryUnits((4,)), hidden_features=(3, 2))
        >>> every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
        >>> total = dbm.unnormalized_elbo(every).logsumexp(dim=0)
        >>> bool(total < dbm.machine.log_partition())
        True
    """

    def __init__(
        self, visible: Units, hidden_features: Sequence[int], *, mean_field_steps: int = 10
    ) -> None:
        super().__init__()
        self.hidden_features = tuple(hidden_features)
        self.mean_field_steps = mean_field_steps
        hidden = [BinaryUnits((n,)) for n in hidden_features]
        self.even = JoinedUnits([visible, *hidden[1::2]])
        self.machine = RBM(self.even, sum(hidden_features[::2]))
        sizes = [visible.statistics_features, *hidden_features]
        self.blocks = _blocks(sizes)
        mask = torch.zeros_like(self.machine.weight)
        for block in self.blocks:
            mask[block] = 1
        if not mask.all():
            parametrize.register_parametrization(self.machine, "weight", _Masked(mask))

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts from visible units that follow the data one by one.

        Arguments:
            x: The training examples, with shape (rows, *shape).
            context: Not looked at.
        """
        self.even.parts[0].fit(x)

    @torch.no_grad()
    def mean_field(self, x: Tensor) -> Tensor:
        """Examples, and the means of the even hidden layers given them, all layers independent.

        Each round sets the means of the odd layers and then of the even ones, given the others,
        which never lowers the bound.

        Arguments:
            x: The examples, with shape (batch, *shape).

        Returns:
            Rows as the machine's visible units have them, with shape (batch, values).
        """
        weight, visible = self.machine.weight, self.even.parts[0]
        cut = visible.statistics_features
        upwards = F.linear(visible.statistics(x), weight[:, :cut], self.machine.hidden_bias)
        weight, biases = weight[:, cut:], self._even_biases()
        even = weight.new_zeros(len(x), len(biases))
        for _ in range(self.mean_field_steps):
            odd = torch.sigmoid(torch.addmm(upwards, even, weight.t()))
            even = torch.sigmoid(torch.addmm(biases, odd, weight))
        return torch.cat([x.flatten(1).to(even), even], dim=1)

    def unnormalized_elbo(self, x: Tensor) -> Tensor:
        """The mean-field bound on log p(x) plus the log of the constant, with shape (batch,)."""
        rows = self.mean_field(x)
        means = rows[:, rows.shape[1] - len(self._even_biases()) :]
        entropy = (torch.special.entr(means) + torch.special.entr(1 - means)).sum(dim=1)
        return self.machine.unnormalized_log_prob(rows) + entropy

    def visible_of(self, top: Tensor) -> Tensor:
        """The visible units of rows of the even layers, with shape (n, *shape)."""
        return self.even.take_apart(top)[0]

    @torch.no_grad()
    def assemble(self, machines: Sequence[RBM], x: Tensor) -> None:
        """Starts from machines that were fitted layer by layer.

        Each hidden layer but the top was seen by two machines, from below and from above; their
        mean has half of each of their fields.

        Arguments:
            machines: Those of `layer_machines`, fitted.
            x: Some examples, with shape (rows, *shape).
        """
        weight = self._free_weight()
        biases = [m.hidden_bias[:n] for m, n in zip(machines, self.hidden_features, strict=True)]
        for k, (machine, block) in enumerate(zip(machines, self.blocks, strict=True)):
            below = machine.weight.shape[1] // (2 if k == 0 and len(machines) > 1 else 1)
            own = machine.weight[: self.hidden_features[k], :below]
            if 0 < k < len(machines) - 1:
                own = own / 2
            weight[block] = own if k % 2 == 0 else own.t()  # the odd layer has the rows
        for k, above in enumerate(machines[1:]):
            biases[k] = (biases[k] + bias_of(above.visible)) / 2
        self.machine.hidden_bias.copy_(torch.cat(biases[::2]))
        for units, bias in zip(self.even.parts[1:], biases[1::2], strict=True):
            bias_of(units).copy_(bias)
        # where annealing starts: at units that follow the layers' means one by one
        means = self.even.take_apart(self.mean_field(x))[1:]
        for units, bias, mean in zip(self.even.parts[1:], biases[1::2], means, strict=True):
            units.fit(mean)
            bias_of(units).copy_(bias)

    def _free_weight(self) -> Tensor:
        # what a parametrisation is of
        return dict(self.machine.named_parameters()).get(
            "parametrizations.weight.original", self.machine.weight
        )

    def _even_biases(self) -> Tensor:
        return torch.cat([self.machine.hidden_bias[:0], *map(bias_of, self.even.parts[1:])])


def layer_machines(visible: Units, hidden_features: Sequence[int]) -> list[RBM]:
    """Machines to fit layer by layer, each on draws of the hidden units of the one below it.

    In the deep machine a layer between two is driven by both. In the lowest machine, which has only
    what is below, there are two copies of the visible units, with the same weights, and in the
    highest two copies of the hidden ones; in those between, all weights are twice what they will
    be.

    References:
        Deep Boltzmann Machines (Salakhutdinov & Hinton, 2009), section 3.1

    Arguments:
        visible: The visible units.
        hidden_features: The number of units of each hidden layer, from the lowest.

    Returns:
        The machines. Where there are several, an example of the first is a row of two copies.
    """
    top = len(hidden_features) - 1
    machines: list[RBM] = []
    for k, n in enumerate(hidden_features):
        below = visible if k == 0 else BinaryUnits((hidden_features[k - 1],))
        if k == 0 < top:
            below = JoinedUnits([below, below])
        machine = RBM(below, 2 * n if 0 < k == top else n)
        if k == 0 < top:
            parametrize.register_parametrization(machine, "weight", _Twice(dim=1))
        if 0 < k == top:
            parametrize.register_parametrization(machine, "weight", _Twice(dim=0))
            parametrize.register_parametrization(machine, "hidden_bias", _Twice(dim=0))
        machines.append(machine)
    return machines


@torch.no_grad()
def layer_input(machines: Sequence[RBM], x: Tensor) -> Tensor:
    """What the last of the first few of `layer_machines` is fitted to.

    Arguments:
        machines: The machines up to it.
        x: The examples, with shape (batch, *shape).

    Returns:
        The examples themselves, or draws of the hidden units of the machine below; for the first of
        several, two copies.
    """
    for machine in machines[:-1]:
        x = coins(torch.sigmoid(machine.hidden_field(_as_seen_by(machine, x))))
    return _as_seen_by(machines[-1], x)


def _as_seen_by(machine: RBM, x: Tensor) -> Tensor:
    """Two copies, side by side, for a machine whose visible units are."""
    copies = math.prod(machine.visible.shape) // x[0].numel()
    return torch.cat([x.flatten(1)] * copies, dim=1) if copies > 1 else x


class _Twice(nn.Module):
    """Two copies of a parameter, one after the other."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, once: Tensor) -> Tensor:
        return torch.cat([once, once], dim=self.dim)

    def right_inverse(self, twice: Tensor) -> Tensor:
        return twice.chunk(2, dim=self.dim)[0].clone()


class _Masked(nn.Module):
    """Weights of which those between layers that are not neighbours are zero."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def _blocks(sizes: Sequence[int]) -> list[tuple[slice, slice]]:
    """Where the weights between each layer and the next are: rows of odd, columns of even ones."""
    ends = [0, 0]  # of the even and of the odd layers so far
    places: list[slice] = []
    for layer, size in enumerate(sizes):
        start = ends[layer % 2]
        ends[layer % 2] += size
        places.append(slice(start, start + size))
    pairs = [(k, k + 1) if k % 2 else (k + 1, k) for k in range(len(sizes) - 1)]
    return [(places[odd], places[even]) for odd, even in pairs]
