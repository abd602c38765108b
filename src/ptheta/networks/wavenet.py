r"""WaveNet: gated convolutions along time whose reach doubles from layer to layer.

.. math:: h_l(t) = \tanh(W_l \, [x_l(t - d_l), x_l(t)] + V_l c)
    \odot \sigma(W'_l \, [x_l(t - d_l), x_l(t)] + V'_l c), \quad
    x_{l+1}(t) = x_l(t) + U_l h_l(t)

for a context :math:`c`, with dilations :math:`d_l = 1, 2, 4, \dots`. Before the first input stand
zeros. The outputs see :math:`h_l` of all layers.
"""

__all__ = ["WaveNet"]

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.networks.context import ContextShift
from ptheta.networks.sequence import SequenceNetwork


class WaveNet(SequenceNetwork):
    """Stacks of dilated causal convolutions of two inputs, with gates, residuals and skips.

    A stack of k layers sees the newest :math:`2^k` inputs. Unlike the paper's, there is no
    convolution before the first layer, which would see one more, and the residual convolutions
    have no biases, which those of the gates make up for.

    References:
        WaveNet: A Generative Model for Raw Audio (van den Oord et al., 2016),
        https://arxiv.org/abs/1609.03499, section 2 and equations 2-3
        Fast Wavenet Generation Algorithm (Le Paine et al., 2016),
        https://arxiv.org/abs/1611.09482, for reading with queues

    Arguments:
        channels: The size of an input without its context, and of all between the layers.
        layers: The layers of a stack, with dilations 1, 2, 4 and so on.
        stacks: How often the dilations begin anew.
        skip_channels: The size of an output.
        context_features: The features of a context that every layer sees; 0 means that there is
            none.

    Example:
        >>> network = WaveNet(8, layers=3)
        >>> network.receptive_field
        8
        >>> network(torch.zeros(5, 20, 8)).shape
        torch.Size([5, 20, 64])
    """

    def __init__(
        self,
        channels: int,
        layers: int,
        stacks: int = 1,
        skip_channels: int = 64,
        context_features: int = 0,
    ) -> None:
        super().__init__(channels + context_features, skip_channels, None, context_features)
        self.channels = channels
        self.dilations = [2**k for _ in range(stacks) for k in range(layers)]
        count = len(self.dilations)
        self.gates = nn.ModuleList(nn.Linear(2 * channels, 2 * channels) for _ in range(count))
        # nothing sees what the last layer would add
        self.residuals = nn.ModuleList(
            nn.Linear(channels, channels, bias=False) for _ in range(count - 1)
        )
        self.skip = nn.Linear(count * channels, skip_channels)
        self.last = nn.Linear(skip_channels, skip_channels)
        self.shifts = ContextShift.of(context_features, count * 2 * channels)

    @property
    def receptive_field(self) -> int:
        """The newest inputs that an output sees, with that at its own place."""
        return 1 + sum(self.dilations)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.read(inputs, [inputs.new_zeros(shape) for shape in self.kept(len(inputs))])

    def reader(self, rows: int) -> "_Reader":
        return _Reader(self, rows)

    def kept(self, rows: int) -> list[tuple[int, int, int]]:
        """The shape of what each layer keeps of its inputs: (rows, dilation, channels)."""
        return [(rows, dilation, self.channels) for dilation in self.dilations]

    def read(self, inputs: Tensor, pasts: list[Tensor]) -> Tensor:
        """The outputs at inputs that follow what was read before.

        Arguments:
            inputs: The inputs, with shape (batch, length, in_features).
            pasts: The newest inputs of each layer, with the shapes of `kept`; those that are the
                newest afterwards are put in their place.
        """
        length = inputs.shape[1]
        shifts = self.shifts_of(inputs[:, :1])
        x = inputs[..., : self.channels]
        seen: list[Tensor] = []
        for layer, gates in enumerate(self.gates):
            whole = torch.cat([pasts[layer], x], dim=1)
            pasts[layer] = whole[:, length:]
            gated = gates(torch.cat([whole[:, :length], x], dim=2))
            if shifts is not None:
                gated = gated + shifts[layer]
            filters, opening = gated.chunk(2, dim=2)
            seen.append(filters.tanh() * opening.sigmoid())
            if layer < len(self.residuals):
                x = x + self.residuals[layer](seen[-1])
        return F.relu(self.last(F.relu(self.skip(torch.cat(seen, dim=2)))))

    def shifts_of(self, inputs: Tensor) -> tuple[Tensor, ...] | None:
        """What the context adds to the gates of each layer, (rows, 1, 2 channels), or None.

        Arguments:
            inputs: Inputs at one place, with shape (rows, 1, in_features).
        """
        if self.shifts is None:
            return None
        return self.shifts(inputs[..., self.channels :]).split(2 * self.channels, dim=2)


class _Queue:
    """The newest inputs of a layer, around a ring of as many slots as its dilation.

    A slot holds a pair, of which one half is the input at hand, and the other that of the last
    time around: each is written once, and read twice in one product with the weights.

    Arguments:
        gates: The layer.
        past: Its newest inputs, with shape (rows, dilation, channels).
    """

    def __init__(self, gates: nn.Linear, past: Tensor) -> None:
        rows, self.dilation, channels = past.shape
        ring = past.new_empty(self.dilation, rows, 2 * channels)
        first, second = ring.chunk(2, dim=2)
        second.copy_(past.transpose(0, 1))
        self.pairs = ring.unbind()
        self.halves = first.unbind(), second.unbind()
        before, now = _halved(gates.weight.detach(), channels).t().chunk(2)
        self.weights = torch.cat([now, before]), torch.cat([before, now])
        self.bias = _halved(gates.bias.detach(), channels)

    def at(self, place: int) -> tuple[Tensor, Tensor, Tensor]:
        """Where the input at a place is written, the pair that it makes, and its weights."""
        turn, slot = divmod(place, self.dilation)
        half = turn % 2
        return self.halves[half][slot], self.pairs[slot], self.weights[half]

    def newest(self, place: int) -> Tensor:
        """The newest inputs before a place, with shape (rows, dilation, channels)."""
        turn, slot = divmod(place, self.dilation)
        now, before = self.halves[turn % 2], self.halves[1 - turn % 2]
        return torch.stack([*before[slot:], *now[:slot]], dim=1)


class _Reader:
    """Reads one input after the other with a few operations a layer, and longer pieces at once."""

    def __init__(self, network: WaveNet, rows: int) -> None:
        self.network = network
        weight = network.skip.weight.detach()
        shapes = network.kept(rows)
        self._keep([weight.new_zeros(shape) for shape in shapes])
        # sigma(a) = (1 + tanh(a / 2)) / 2, so that one tanh serves both halves of the gates
        self.residuals = [_linear(module).weight.detach().t() / 2 for module in network.residuals]
        self.skip = weight.t() / 2
        self.last = network.last.weight.detach().t()
        self.gated = weight.new_empty(rows, 2 * network.channels)
        self.seen = weight.new_empty(rows, weight.shape[1])
        self.parts = self.seen.split(network.channels, dim=1)
        self.biases: list[Tensor] | None = None

    def __call__(self, inputs: Tensor) -> Tensor:
        if inputs.shape[1] == 1:
            return self._step(inputs)
        pasts = [queue.newest(self.place) for queue in self.queues]
        outputs = self.network.read(inputs, pasts)
        self._keep(pasts)
        return outputs

    def _keep(self, pasts: list[Tensor]) -> None:
        self.place = 0
        self.queues = [
            _Queue(_linear(gates), past.detach())
            for gates, past in zip(self.network.gates, pasts, strict=True)
        ]

    @torch.no_grad()
    def _step(self, inputs: Tensor) -> Tensor:
        network, gated = self.network, self.gated
        if self.biases is None:
            self.biases = self._biases(inputs)
        filters, opening = gated.chunk(2, dim=1)
        slot, pair, weight = self.queues[0].at(self.place)
        slot.copy_(inputs[:, 0, : network.channels])
        for layer, (bias, part) in enumerate(zip(self.biases, self.parts, strict=True)):
            torch.addmm(bias, pair, weight, out=gated).tanh_()
            torch.addcmul(filters, filters, opening, out=part)
            if layer < len(self.residuals):
                x = slot
                slot, pair, weight = self.queues[layer + 1].at(self.place)
                torch.addmm(x, part, self.residuals[layer], out=slot)
        self.place += 1
        hidden = torch.addmm(network.skip.bias, self.seen, self.skip).relu_()
        return torch.addmm(network.last.bias, hidden, self.last).relu_().unsqueeze(1)

    def _biases(self, inputs: Tensor) -> list[Tensor]:
        """The biases of each layer's gates, with what the context adds."""
        biases = [queue.bias.expand_as(self.gated).contiguous() for queue in self.queues]
        shifts = self.network.shifts_of(inputs)
        if shifts is not None:
            for bias, shift in zip(biases, shifts, strict=True):
                bias += _halved(shift[:, 0].t(), self.network.channels).t()
        return biases


def _linear(module: nn.Module) -> nn.Linear:
    assert isinstance(module, nn.Linear)
    return module


def _halved(gates: Tensor, channels: int) -> Tensor:
    """Gates, (2 channels, ...), with those of the sigmoid halved."""
    return torch.cat([gates[:channels], gates[channels:] / 2])
