r"""Memories: energies whose valleys are patterns that were stored.

The classical one is of signs, the modern one of reals:

.. math:: E(s) = -\tfrac{1}{2} s^T W s, \quad W = \tfrac{1}{d} \sum_n x_n x_n^T
    \text{ without its diagonal}, \qquad
    E(\xi) = -\tfrac{1}{\beta} \log \sum_n e^{\beta x_n^T \xi} + \tfrac{1}{2} \xi^T \xi .
"""

__all__ = ["HopfieldMemory", "ModernHopfieldMemory"]

import math

import torch
from torch import Tensor, nn


class HopfieldMemory(nn.Module):
    """Patterns of -1 and 1 stored by Hebb's rule.

    About 0.138 patterns a value can be stored before recall breaks down.

    References:
        Neural networks and physical systems with emergent collective computational abilities
        (Hopfield, 1982), https://doi.org/10.1073/pnas.79.8.2554
        Storing infinite numbers of patterns in a spin-glass model of neural networks (Amit,
        Gutfreund & Sompolinsky, 1985), https://doi.org/10.1103/PhysRevLett.55.1530, for 0.138

    Arguments:
        patterns: The patterns, with shape (patterns, values), of -1 and 1.

    Raises:
        ValueError: The patterns are not a matrix of -1 and 1.

    Example:
        >>> memory = HopfieldMemory(torch.tensor([[1.0, 1.0, -1.0, -1.0, 1.0]]))
        >>> memory.recall(torch.tensor([[1.0, -1.0, -1.0, -1.0, 1.0]]))
        tensor([[ 1.,  1., -1., -1.,  1.]])
    """

    weight: Tensor

    def __init__(self, patterns: Tensor) -> None:
        super().__init__()
        patterns = _rows(patterns, "patterns")
        _refuse_bits(patterns, "patterns")
        weight = patterns.t() @ patterns / patterns.shape[1]
        self.register_buffer("weight", weight.fill_diagonal_(0))

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""
        x = _rows(x, "states", len(self.weight)).to(self.weight)
        return ((x @ self.weight) * x).sum(dim=1) / 2

    @torch.no_grad()
    def recall(self, cue: Tensor, sweeps: int = 20) -> Tensor:
        """Where cues come to rest: each value in turn takes the sign that lowers the energy.

        Arguments:
            cue: The cues, with shape (batch, values), of -1 and 1.
            sweeps: The number of rounds over the values at most.

        Returns:
            The states, shaped as the cues.

        Raises:
            ValueError: The cues are not rows as wide as the patterns, or not of -1 and 1.
        """
        cue = _rows(cue, "cues", len(self.weight)).to(self.weight)
        _refuse_bits(cue, "cues")
        states = cue.t().clone()
        for _ in range(sweeps):
            before = states.clone()
            for value, weights in enumerate(self.weight):
                field = weights @ states
                # a value that no field acts on stays
                states[value] = torch.where(field == 0, states[value], field.sign())
            if torch.equal(states, before):
                break
        return states.t()


class ModernHopfieldMemory(nn.Module):
    """Real patterns, of which exponentially many can be stored.

    A step of recall is attention: the patterns weighed by how near the state is to each.

    References:
        Hopfield Networks is All You Need (Ramsauer et al., 2020),
        https://arxiv.org/abs/2008.02217, equations 2 and 3, without the constants

    Arguments:
        patterns: The patterns, with shape (patterns, values).
        beta: The inverse temperature: how sharply the nearest pattern is told from others.

    Raises:
        ValueError: The patterns are not a matrix, or beta is not above 0
            and finite.

    Example:
        >>> memory = ModernHopfieldMemory(10 * torch.eye(3), beta=1.0)
        >>> memory.recall(torch.tensor([[3.0, 1.0, 0.0]])).round()
        tensor([[10.,  0.,  0.]])
    """

    patterns: Tensor

    def __init__(self, patterns: Tensor, beta: float = 8.0) -> None:
        super().__init__()
        patterns = _rows(patterns, "patterns")
        if not 0 < beta < math.inf:
            raise ValueError(f"beta must be above 0 and finite, got {beta}")
        self.register_buffer("patterns", patterns.clone())
        self.beta = beta

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""
        x = _rows(x, "states", self.patterns.shape[1]).to(self.patterns)
        nearness = (self.beta * x @ self.patterns.t()).logsumexp(dim=1) / self.beta
        return nearness - x.square().sum(dim=1) / 2

    @torch.no_grad()
    def recall(self, cue: Tensor, steps: int = 20) -> Tensor:
        """Where cues come to after some steps, each of which lowers the energy.

        Arguments:
            cue: The cues, with shape (batch, values).
            steps: The number of steps.

        Returns:
            The states, shaped as the cues.

        Raises:
            ValueError: The cues are not rows as wide as the patterns.
        """
        state = _rows(cue, "cues", self.patterns.shape[1]).to(self.patterns)
        for _ in range(steps):
            state = (self.beta * state @ self.patterns.t()).softmax(dim=1) @ self.patterns
        return state


def _rows(x: Tensor, name: str, width: int | None = None) -> Tensor:
    """Rows of real numbers, as wide as they are to be."""
    if x.dim() != 2 or not x.numel() or width not in (None, x.shape[1]):
        wide = "" if width is None else f" of {width} values"
        raise ValueError(f"{name} are rows{wide}, got shape {tuple(x.shape)}")
    if not bool(x.isfinite().all()):
        raise ValueError(f"{name} hold values that are missing or infinite")
    return x if x.is_floating_point() else x.float()


def _refuse_bits(x: Tensor, name: str) -> None:
    if not bool((x.abs() == 1).all()):
        raise ValueError(f"{name} are rows of -1 and 1; 2 * x - 1 makes them of bits")
