r"""A hidden Markov model of sequences of symbols.

.. math:: p(x) = \sum_z p(z_1) p(x_1 \mid z_1) \prod_{t > 1} p(z_t \mid z_{t-1}) p(x_t \mid z_t)

The sums go forward in time, scaled at each step so that nothing underflows; all sequences go
together, and only time is a loop.
"""

__all__ = ["HiddenMarkovModel", "PathStatistics"]

from typing import NamedTuple

import torch
from torch import Tensor

from ptheta.models.completion import Completing
from ptheta.models.normalised import FromFunctions, Normalised, unconditional
from ptheta.models.tractable.codes import Codes, draw_codes
from ptheta.spaces import Space

_BLOCK_VALUES = 2**22  # of the forward messages that are held together


class PathStatistics(NamedTuple):
    """What Baum-Welch needs of the data; sums over sequences, so they add.

    Arguments:
        starts: The expected count of each first state, with shape (K,).
        transitions: Those of each pair of states, with shape (K, K).
        emissions: Those of each state and symbol, with shape (K, symbols).
        log_likelihood: The summed log-likelihood in nats, a scalar.
        rows: The number of sequences, a scalar.
    """

    starts: Tensor
    transitions: Tensor
    emissions: Tensor
    log_likelihood: Tensor
    rows: Tensor


class HiddenMarkovModel(Completing, Normalised):
    """A hidden Markov model, learnt by Baum-Welch.

    References:
        A tutorial on hidden Markov models and selected applications in speech recognition
        (Rabiner, 1989), https://doi.org/10.1109/5.18626, sections III and V

    Arguments:
        space: A space of levels or categories, all values of one kind; they are taken in order.
        states: The number of states K.
        smoothing: The counts added to each transition and, spread as the symbols are, to each
            symbol of a state.

    Raises:
        PthetaError: The space has values of other kinds.

    Example:
        >>> from ptheta.spaces import Categorical
        >>> _ = torch.manual_seed(0)
        >>> x = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0]]).repeat(50, 1)  # symbols that take turns
        >>> model = HiddenMarkovModel(Categorical((4,), categories=2, layout="sequence"), states=2)
        >>> model.initialize(x)
        >>> for _ in range(50):
        ...     model.maximization(model.expectation(x))
        >>> model.log_prob(x[:1]).exp().item() > 0.4
        True
    """

    start: Tensor
    transition: Tensor
    emission: Tensor
    marginal: Tensor

    def __init__(self, space: Space, states: int, smoothing: float = 0.1) -> None:
        super().__init__()
        self.space = space
        self.codes = Codes(space)
        self.symbols = self.codes.one_size
        self.states = states
        self.smoothing = smoothing
        uniform = torch.full((self.symbols,), 1 / self.symbols).double()
        self.register_buffer("start", torch.full((states,), 1 / states).double())
        self.register_buffer("transition", torch.full((states, states), 1 / states).double())
        self.register_buffer("emission", uniform.repeat(states, 1))
        self.register_buffer("marginal", uniform.clone())

    def forward(self, context: Tensor | None = None) -> FromFunctions:
        unconditional(self, context)
        return FromFunctions(self.space, self._log_prob, self._draw)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts with states that emit the symbols about as often as the data hold them.

        Arguments:
            x: The training sequences, with shape (rows, *space.shape).
            context: Must be None.
        """
        counts = torch.bincount(self.codes(x).flatten(), minlength=self.symbols).double() + 0.5
        self.marginal.copy_(counts / counts.sum())
        noise = torch.rand_like(self.emission) + 0.5
        self.emission.copy_(_rows(self.marginal * noise))
        self.transition.copy_(_rows(torch.rand_like(self.transition) + 0.5))

    def expectation(self, x: Tensor, *, careful: bool = False) -> PathStatistics:
        """The sums of an iteration: forward and backward messages of all sequences at once.

        Arguments:
            x: The sequences, with shape (n, *space.shape).
            careful: Of no effect: all is done in float64.
        """
        size = max(1, _BLOCK_VALUES // (self.space.features * self.states))
        parts = [self._expectation(codes) for codes in self.codes(x).split(size)]
        return PathStatistics(*(torch.stack(part).sum(dim=0) for part in zip(*parts, strict=True)))

    def maximization(self, statistics: PathStatistics) -> None:
        """Takes the parameters that are most likely under the sums, smoothed.

        Arguments:
            statistics: The sums, over all sequences.
        """
        self.start.copy_(_rows(statistics.starts + self.smoothing))
        self.transition.copy_(_rows(statistics.transitions + self.smoothing))
        spread = self.smoothing * self.symbols * self.marginal
        self.emission.copy_(_rows(statistics.emissions + spread))

    def log_likelihood(self, x: Tensor) -> Tensor:
        """log p(x) in nats, by the forward recursion, with shape (n,)."""
        return self._forward(self.codes(x))[1].log().sum(dim=0)

    @torch.no_grad()
    def viterbi(self, x: Tensor) -> Tensor:
        """The likeliest states of each sequence.

        Arguments:
            x: The sequences, with shape (n, *space.shape).

        Returns:
            The states, with shape (n, places).
        """
        codes = self.codes(x)
        seen = self.emission.log().T[codes.T]
        transition = self.transition.log()
        best = self.start.log() + seen[0]
        came_from: list[Tensor] = []
        for emitted in seen[1:]:
            score, source = (best[:, :, None] + transition).max(dim=1)
            best = score + emitted
            came_from.append(source)
        path = [best.argmax(dim=1)]
        for source in reversed(came_from):
            path.append(source.gather(1, path[-1][:, None])[:, 0])
        return torch.stack(path[::-1], dim=1)

    def draw_given(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        """The states drawn given what is known, from the last to the first, and values of them."""
        unconditional(self, context)
        past, _ = self._forward(self.codes(x), known)
        weights = past[-1]
        drawn: list[Tensor] = []
        for before in (*past[:-1].flip(0), None):
            state = torch.multinomial(weights, 1)[:, 0]
            drawn.append(draw_codes(self.emission[state].log()))
            if before is not None:
                weights = before * self.transition.T[state]
        return self.codes.back(torch.stack(drawn[::-1], dim=1))

    def _forward(self, codes: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The states given the past, (places, n, K), and p of each symbol given it, (places, n)."""
        seen = self.emission.T[codes.T]
        if known is not None:
            seen = torch.where(known[:, None, None], seen, torch.ones_like(seen))
        ahead = self.start.expand(len(codes), -1)
        states: list[Tensor] = []
        scales: list[Tensor] = []
        for emitted in seen:
            joint = ahead * emitted
            scales.append(joint.sum(dim=1))
            states.append(joint / _not_zero(scales[-1])[:, None])
            ahead = states[-1] @ self.transition
        return torch.stack(states), torch.stack(scales)

    def _expectation(self, codes: Tensor) -> PathStatistics:
        states, scales = self._forward(codes)
        symbols = codes.T
        emissions = torch.zeros_like(self.emission).T.contiguous()
        transitions = torch.zeros_like(self.transition)
        behind = torch.ones_like(states[0])
        for t in range(len(states) - 1, 0, -1):
            emissions.index_add_(0, symbols[t], states[t] * behind)
            message = self.emission.T[symbols[t]] * behind / _not_zero(scales[t])[:, None]
            transitions += self.transition * (states[t - 1].T @ message)
            behind = message @ self.transition.T
        first = states[0] * behind
        emissions.index_add_(0, symbols[0], first)
        rows = scales.new_tensor(len(codes))
        log_likelihood = scales.log().sum()
        return PathStatistics(first.sum(dim=0), transitions, emissions.T, log_likelihood, rows)

    def _log_prob(self, x: Tensor) -> Tensor:
        return self.log_likelihood(x)

    def _draw(self, n: int) -> Tensor:
        ahead = self.start.expand(n, -1)
        drawn: list[Tensor] = []
        for _ in range(self.space.features):
            state = torch.multinomial(ahead, 1)[:, 0]
            drawn.append(draw_codes(self.emission[state].log()))
            ahead = self.transition[state]
        return self.codes.back(torch.stack(drawn, dim=1))


def _rows(counts: Tensor) -> Tensor:
    return counts / _not_zero(counts.sum(dim=-1, keepdim=True))


def _not_zero(sums: Tensor) -> Tensor:
    # without smoothing a state may be visited by none, and a sequence have no probability
    return sums.clamp(min=torch.finfo(sums.dtype).tiny)
