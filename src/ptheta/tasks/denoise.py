"""Taking noise off images of a few states, by a field of pairs as the prior."""

__all__ = ["Denoised", "Method", "SupportsDenoising", "denoise", "flipping_evidence"]

import math
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, runtime_checkable

import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn

from ptheta.asking import batches, in_sentences, rows_at_once
from ptheta.border import Count, Seed, checked
from ptheta.density import device_of, evaluating
from ptheta.errors import PthetaError
from ptheta.inference.belief_propagation import SupportsPotentials, belief_propagation
from ptheta.inference.conditional_modes import iterated_conditional_modes
from ptheta.inference.conditionals import SupportsBlocks, gibbs_marginals
from ptheta.inference.gibbs import SupportsGibbs
from ptheta.inference.kernels import Target
from ptheta.protocols import capabilities
from ptheta.random import seeded

Method = Literal["belief-propagation", "gibbs", "icm"]
"""By messages, by Gibbs sweeps, or by iterated conditional modes."""


@runtime_checkable
class SupportsDenoising(SupportsGibbs, SupportsBlocks, SupportsPotentials, Protocol):
    """A field on a grid whose context is the log-potentials of each site's own."""

    @property
    def states(self) -> int:
        """The number of states of a site."""
        ...


@dataclass(frozen=True)
class Denoised:
    """Images from which noise was taken off.

    Arguments:
        x: The images, shaped as the noisy ones.
        marginals: The posterior probability of each state of each site, with shape
            (*x.shape, states); None where conditional modes were sought.
        settled: For which images the messages converged or the climb ended, boolean, with shape
            (rows,); None for Gibbs sweeps, which have no end.
    """

    x: Tensor
    marginals: Tensor | None
    settled: Tensor | None


@checked
@torch.no_grad()
def denoise(
    field: nn.Module,
    noisy: Tensor,
    noise: Annotated[float, Gt(0), Lt(1)],
    *,
    method: Method = "belief-propagation",
    steps: Count = 100,
    batch_size: Count | None = None,
    seed: Seed | None = 0,
) -> Denoised:
    r"""Images restored after each site, with probability `noise`, took another state at random.

    By messages and by Gibbs sweeps each site takes its likeliest state under the posterior
    marginals, which makes the expected number of wrong sites least; by conditional modes the image
    is one that no single change makes likelier. Where couplings are strong, messages need not
    converge, and then say little: look at what has settled.

    .. math:: p(x \mid y) \propto p(x) \prod_i p(y_i \mid x_i)

    References:
        On the Statistical Analysis of Dirty Pictures (Besag, 1986),
        https://doi.org/10.1111/j.2517-6161.1986.tb01412.x
        Probabilistic Solution of Ill-Posed Problems in Computational Vision (Marroquin, Mitter &
        Poggio, 1987), https://doi.org/10.1080/01621459.1987.10478393, for the marginals' modes

    Arguments:
        field: The field that images follow, such as a `PairwiseField` fitted to clean ones, or a
            model that was fitted by the recipe `potts`.
        noisy: The codes of the noisy images, with shape (rows, height, width), or
            (rows, 1, height, width).
        noise: The probability that a site does not show its own state, above 0 and below 1.
        method: How the posterior is explored, from the noisy images on.
        steps: The rounds of messages or of the climb at most, or the Gibbs sweeps over which
            conditionals are averaged, after a quarter as many that are not.
        batch_size: The number of images taken at a time; None takes fewer where they are large.
        seed: The seed of Gibbs sweeps.

    Raises:
        PthetaError: The field lacks what this takes, or the images are not of its states.

    Example:
        >>> from ptheta.models.energy.pairwise import PairwiseField
        >>> field = PairwiseField((3, 3))
        >>> _ = field.horizontal.data.fill_(1.0), field.vertical.data.fill_(1.0)
        >>> speck = torch.tensor([[[0, 0, 0], [0, 1, 0], [0, 0, 0]]])
        >>> denoise(field, speck, 0.1).x.sum().item()
        0
    """
    within = _field_of(field)
    device = device_of(field)
    size = batch_size or rows_at_once(max(1, noisy[:1].numel() * within.states))
    parts: list[Denoised] = []
    with seeded(seed), evaluating(field), in_sentences():
        for batch in batches(len(noisy), size):
            rows = noisy[batch].to(device)
            target = Target(within, flipping_evidence(rows, within.states, noise))
            parts.append(_RESTORE[method](target, rows, steps))
    return Denoised(
        torch.cat([part.x.cpu() for part in parts]),
        _together([part.marginals for part in parts]),
        _together([part.settled for part in parts]),
    )


def _field_of(model: nn.Module) -> SupportsDenoising:
    """The field within a model of data, whose codes are its own."""
    inner: object = model
    while not isinstance(inner, SupportsDenoising):
        inner = getattr(inner, "model", None)
        if inner is None:
            raise PthetaError(
                "expected a field on a grid with conditionals and potentials, such as "
                "PairwiseField, got a model that offers "
                f"{', '.join(capabilities(model)) or 'nothing'}."
            )
    return inner


def flipping_evidence(noisy: Tensor, states: int, noise: float) -> Tensor:
    """The log-probability of what each site shows under each state that it may be in.

    Arguments:
        noisy: The codes that are seen, of any shape.
        states: The number of states.
        noise: The probability that a site shows another state, each as likely as the others.

    Returns:
        The log-probabilities in nats, with shape (*noisy.shape, states).

    Raises:
        ValueError: A code is not one of the states.

    Example:
        >>> flipping_evidence(torch.tensor([0, 2]), 3, 0.2).exp()
        tensor([[0.8000, 0.1000, 0.1000],
                [0.1000, 0.1000, 0.8000]])
    """
    if not bool(((noisy >= 0) & (noisy < states) & (noisy == noisy.long())).all()):
        raise ValueError(
            f"expected codes from 0 to {states - 1}, got values from {noisy.min()} to {noisy.max()}"
        )
    shown = noisy.unsqueeze(-1) == torch.arange(states, device=noisy.device)
    other = math.log(noise / (states - 1))
    return torch.where(shown, math.log1p(-noise), other)


def _by_messages(target: Target[SupportsDenoising], noisy: Tensor, steps: int) -> Denoised:
    found = belief_propagation(*target.model.potentials(target.context), rounds=steps)
    return Denoised(_likeliest(found.marginals, noisy), found.marginals, found.converged)


def _by_gibbs(target: Target[SupportsDenoising], noisy: Tensor, steps: int) -> Denoised:
    marginals = gibbs_marginals(target, noisy, sweeps=steps, burn_in=steps // 4)
    return Denoised(_likeliest(marginals, noisy), marginals, None)


def _by_modes(target: Target[SupportsDenoising], noisy: Tensor, steps: int) -> Denoised:
    found = iterated_conditional_modes(target, noisy, sweeps=steps)
    return Denoised(found.x, None, found.settled)


_RESTORE = {"belief-propagation": _by_messages, "gibbs": _by_gibbs, "icm": _by_modes}


def _likeliest(marginals: Tensor, noisy: Tensor) -> Tensor:
    return marginals.argmax(dim=-1).to(noisy.dtype)


def _together(parts: list[Tensor | None]) -> Tensor | None:
    there = [part.cpu() for part in parts if part is not None]
    return torch.cat(there) if there else None
