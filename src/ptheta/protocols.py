"""What a model can be asked for: one protocol a quantity, and the name carries the guarantee.

A method that cannot be honoured is absent. ``capabilities`` lists the methods that a model has,
``density_kind`` says what its density is worth.
"""

__all__ = [
    "DENSITIES",
    "Bracket",
    "Capability",
    "DensityKind",
    "SupportsBeamSearch",
    "SupportsBracket",
    "SupportsClassify",
    "SupportsComplete",
    "SupportsDecode",
    "SupportsDrawnDensity",
    "SupportsElbo",
    "SupportsEncode",
    "SupportsExtend",
    "SupportsInitialize",
    "SupportsInitializeContext",
    "SupportsLogProb",
    "SupportsLogProbEstimate",
    "SupportsLogRatio",
    "SupportsRsample",
    "SupportsRsampleAndLogProb",
    "SupportsSample",
    "SupportsSampleTempered",
    "SupportsScore",
    "SupportsUnnormalizedLogProb",
    "capabilities",
    "checked_particles",
    "density_kind",
    "density_verb",
    "summary",
]

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class SupportsSample(Protocol):
    """Draws from the model."""

    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws without gradient, with shape (n, *space.shape), inside the space."""
        ...


@runtime_checkable
class SupportsSampleTempered(Protocol):
    """Draws from the model at a temperature."""

    def sample_tempered(
        self, n: int, context: Tensor | None = None, *, temperature: float
    ) -> Tensor:
        """Draws of noise scaled by the temperature, with shape (n, *space.shape)."""
        ...


@runtime_checkable
class SupportsRsample(Protocol):
    """Reparameterised draws from the model."""

    def rsample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws that carry gradient to the parameters, with shape (n, *space.shape)."""
        ...


@runtime_checkable
class SupportsRsampleAndLogProb(Protocol):
    """Reparameterised draws and their exact density, in one pass."""

    def rsample_and_log_prob(self, n: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draws with shape (n, *space.shape), and log p of each with shape (n,)."""
        ...


@runtime_checkable
class SupportsLogProb(Protocol):
    """An exact, normalised density or mass."""

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) in nats, with shape (batch,)."""
        ...


@runtime_checkable
class SupportsDrawnDensity(SupportsSample, SupportsLogProb, Protocol):
    """A density that can be drawn from, as that of noise and of proposals has to be."""


@runtime_checkable
class SupportsElbo(Protocol):
    """A lower bound on log p(x)."""

    def elbo(self, x: Tensor, context: Tensor | None = None, *, particles: int = 1) -> Tensor:
        """A bound that holds in expectation, in nats, with shape (batch,).

        With several particles it is the importance-weighted bound, tighter in expectation; but for
        a chain of many steps, of which particles are those looked at: they take noise off it.
        """
        ...


@runtime_checkable
class SupportsLogProbEstimate(Protocol):
    """A stochastic or approximate estimate of log p(x), neither exact nor a bound."""

    def log_prob_estimate(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """An estimate of log p(x) in nats, with shape (batch,)."""
        ...


@runtime_checkable
class SupportsUnnormalizedLogProb(Protocol):
    """log p(x) up to a constant that does not depend on x."""

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""
        ...


@runtime_checkable
class SupportsScore(Protocol):
    """The gradient of log p(x) by x."""

    def score(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The score, shaped as x."""
        ...


@runtime_checkable
class SupportsLogRatio(Protocol):
    """The log-ratio of two densities."""

    def log_ratio(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) / q(x), with shape (batch,)."""
        ...


@runtime_checkable
class SupportsEncode(Protocol):
    """A map from data to a latent."""

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The latent of x, with shape (batch, *latent_shape)."""
        ...


@runtime_checkable
class SupportsDecode(Protocol):
    """A map from a latent to data."""

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The example of latent z, with shape (batch, *space.shape), inside the space."""
        ...


@runtime_checkable
class SupportsComplete(Protocol):
    """Draws of some values of examples given the others, whichever these are."""

    def complete(self, x: Tensor, known: Tensor, context: Tensor | None = None) -> Tensor:
        """Examples that keep the values that are known, the others drawn given them.

        The draws follow the conditionals of the density, or, where the model is one of conditionals
        that need not agree, those of the model.

        Arguments:
            x: The examples, with shape (n, *space.shape); what is not known is not looked at.
            known: Which values are known, boolean, with shape space.shape.
            context: What they are conditioned on.

        Returns:
            The examples, shaped as x.
        """
        ...


@runtime_checkable
class SupportsExtend(Protocol):
    """Draws of sequences given how they begin."""

    def extend(
        self,
        prefix: Tensor,
        context: Tensor | None = None,
        *,
        length: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
    ) -> Tensor:
        """Sequences that begin with a prefix.

        Arguments:
            prefix: The codes so far, with shape (n, so_far); there may be none.
            context: What they are conditioned on.
            length: The symbols of a sequence in all; None takes those of the space.
            temperature: What logits are divided by; 0 takes the likeliest symbol.
            top_k: The number of likeliest symbols that are drawn from; None takes all.
            top_p: The probability of the likeliest symbols that are drawn from.

        Returns:
            The codes, with shape (n, length).
        """
        ...


@runtime_checkable
class SupportsClassify(Protocol):
    """The probabilities of the classes of an example."""

    def class_log_prob(self, x: Tensor) -> Tensor:
        """log p(class | x) in nats, with shape (batch, classes)."""
        ...


@runtime_checkable
class SupportsBeamSearch(Protocol):
    """The likeliest sequences given what they are conditioned on."""

    def beam_search(
        self, context: Tensor, *, beams: int = 1, length_penalty: float = 0.0
    ) -> Tensor:
        """The likeliest sequence that is found for each row of the context.

        Arguments:
            context: What they are conditioned on, with shape (n, *context_shape).
            beams: The beginnings that are kept; 1 is greedy.
            length_penalty: The exponent by which long sentences are favoured; 0 ranks them by
                their probability alone.

        Returns:
            The codes, with shape (n, length), nothing but the end following the end.
        """
        ...


@runtime_checkable
class SupportsInitialize(Protocol):
    """A start that depends on data: standardisation, k-means++, activation normalisation."""

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Sets what depends on the training data; called once, before the first step."""
        ...


@runtime_checkable
class SupportsInitializeContext(Protocol):
    """A piece that depends on the scale of what the data are conditioned on."""

    def initialize_context(self, context: Tensor | None) -> None:
        """Sets what depends on the training context; called once, before the first step."""
        ...


@dataclass(frozen=True)
class Bracket:
    """The log of a machine's constant, annealed from both ends, in nats.

    The lower figure is in its mean at most the truth. The upper one is at least the truth in its
    mean, as far as the draws that annealing began with are draws of the machine.

    Arguments:
        low: The estimate forwards, from independent units, by which densities are given.
        low_error: Its standard error, by the spread of the chains' weights.
        high: The estimate backwards, from draws of the machine.
        high_error: Its standard error.
    """

    low: float
    low_error: float
    high: float
    high_error: float


@runtime_checkable
class SupportsBracket(Protocol):
    """A model whose constant can be annealed from both ends."""

    def log_partition_bracket(self) -> Bracket:
        """The log of the constant from below and from above."""
        ...


Capability = Literal[
    "sample",
    "sample_tempered",
    "rsample",
    "log_prob",
    "elbo",
    "log_prob_estimate",
    "unnormalized_log_prob",
    "score",
    "log_ratio",
    "encode",
    "decode",
    "complete",
    "extend",
    "class_log_prob",
    "beam_search",
]
DensityKind = Literal["exact", "bound", "estimate", "unnormalised", "none"]

_CAPABILITIES: dict[Capability, type] = {
    "sample": SupportsSample,
    "sample_tempered": SupportsSampleTempered,
    "rsample": SupportsRsample,
    "log_prob": SupportsLogProb,
    "elbo": SupportsElbo,
    "log_prob_estimate": SupportsLogProbEstimate,
    "unnormalized_log_prob": SupportsUnnormalizedLogProb,
    "score": SupportsScore,
    "log_ratio": SupportsLogRatio,
    "encode": SupportsEncode,
    "decode": SupportsDecode,
    "complete": SupportsComplete,
    "extend": SupportsExtend,
    "class_log_prob": SupportsClassify,
    "beam_search": SupportsBeamSearch,
}
# best first: what a person is shown where a model offers several
DENSITIES: dict[Capability, DensityKind] = {
    "log_prob": "exact",
    "elbo": "bound",
    "log_prob_estimate": "estimate",
    "unnormalized_log_prob": "unnormalised",
}


def capabilities(model: object) -> tuple[Capability, ...]:
    """What a model can be asked for.

    Arguments:
        model: Any model.

    Returns:
        The names of the methods that it has, in the order of the table in the conventions.
    """
    return tuple(name for name, protocol in _CAPABILITIES.items() if isinstance(model, protocol))


def checked_particles(particles: int) -> int:
    """The number of particles of a bound.

    Raises:
        ValueError: There is none.
    """
    if particles < 1:
        raise ValueError(f"a bound takes at least one particle, got {particles}")
    return particles


def summary(model: object) -> str:
    """What a model can do and what its density is worth, such as ``sample, log_prob (exact)``."""
    verb = density_verb(model)
    return ", ".join(
        f"{name} ({density_kind(model)})" if name == verb else name for name in capabilities(model)
    )


def density_verb(model: object) -> Capability | None:
    """The best density that a model offers: the method's name, or None."""
    offered = capabilities(model)
    return next((verb for verb in DENSITIES if verb in offered), None)


def density_kind(model: object) -> DensityKind:
    """What that density is worth: exact, bound, estimate, unnormalised or none."""
    verb = density_verb(model)
    return "none" if verb is None else DENSITIES[verb]
