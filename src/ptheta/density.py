"""Asking any model for its density, or for draws, in batches."""

__all__ = ["Density", "densities", "device_of", "draw", "evaluating"]

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ptheta.asking import batches, in_sentences, refuse_context, rows_at_once, rows_of
from ptheta.border import Count, Seed, checked
from ptheta.errors import PthetaError
from ptheta.protocols import (
    DENSITIES,
    Capability,
    DensityKind,
    SupportsSample,
    SupportsSampleTempered,
    capabilities,
    density_verb,
)
from ptheta.random import seeded
from ptheta.spaces import Space


@dataclass(frozen=True)
class Density:
    """Densities of examples, with what they are worth beside them.

    Arguments:
        verb: The method that gave them, such as ``log_prob`` or ``elbo``.
        kind: What they are worth: exact, bound, estimate or unnormalised.
        values: The figures in nats of the data's own units, with shape (rows,), in float64;
            minus infinity for a row that lies outside the space, and not a number for a row that
            holds a value that is missing or infinite where the space has none.
    """

    verb: Capability
    kind: DensityKind
    values: Tensor


@checked
@torch.no_grad()
def densities(
    model: nn.Module,
    x: object,
    context: Tensor | None = None,
    *,
    space: Space,
    verb: Capability | None = None,
    particles: Count = 1,
    batch_size: Count | None = None,
    seed: Seed | None = 0,
) -> Density:
    """The best density that a model offers, for each row, or another that it offers.

    Arguments:
        model: The model.
        x: The rows: a tensor of codes with shape (rows, *space.shape), as the splits of loaded data
            hold them, so that levels count from 0; or an array, a list or a table of pandas, with
            values as they were written, as `ptheta.load_rows` reads them.
        context: What they are conditioned on, with shape (rows, *context_shape).
        space: The space of the data.
        verb: The density that is asked for, such as ``log_prob_estimate`` where the exact one is
            dear; None asks for the best.
        particles: The number of particles where the density is a bound.
        batch_size: The number of rows taken at a time; None takes fewer where they are long or
            have several particles. An exact density does not depend on it, the noise of a bound
            does.
        seed: The seed of the noise of a bound.

    Raises:
        PthetaError: The model has no density, or not the one asked for, or the rows or their
            context are not what it was fitted to.
    """
    verb = _verb(model, verb)
    x = rows_of(x, space)
    refuse_context(context, len(x))
    size = batch_size or rows_at_once(space.features, particles if verb == "elbo" else 1)
    device = device_of(model)
    values = torch.full((len(x),), -math.inf, dtype=torch.float64)
    with seeded(seed), evaluating(model), in_sentences():
        for batch in batches(len(x), size):
            rows = x[batch].to(device)
            inside = space.contains(rows)
            undefined = ~inside & ~rows.double().isfinite().flatten(1).all(dim=1)
            values[batch][undefined.cpu()] = math.nan
            c = None if context is None else context[batch].to(device)
            if inside.any():
                taken = rows[inside], None if c is None else c[inside]
                found = _ask(model, verb, *taken, particles).double()
                values[batch][inside.cpu()] = found.cpu()
    return Density(verb, DENSITIES[verb], values)


@checked
@torch.no_grad()
def draw(
    model: nn.Module,
    n: int,
    context: Tensor | None = None,
    *,
    temperature: float = 1.0,
    batch_size: Count = 1000,
    seed: Seed | None = 0,
) -> Tensor:
    """Draws from a model, in batches.

    Arguments:
        model: The model.
        n: The number of draws.
        context: What each is conditioned on, with shape (n, *context_shape).
        temperature: What noise is multiplied by, for models that have `sample_tempered`; other
            than 1 it changes the law.
        batch_size: The number of draws made at a time.
        seed: The seed; the same seed and batch size give the same draws.

    Returns:
        The draws, with shape (n, *space.shape), on the CPU.

    Raises:
        PthetaError: The model cannot be sampled, or not at this temperature, no draws are asked
            for, or the context is not what the model was fitted with.
    """
    if n < 1:
        raise PthetaError(f"the number of draws must be at least 1, got {n}.")
    if not isinstance(model, SupportsSample):
        offered = capabilities(model)
        hint = " `ptheta classify` measures it." if "class_log_prob" in offered else ""
        raise PthetaError(f"this model cannot be sampled: it offers {', '.join(offered)}.{hint}")
    refuse_context(context, n)
    sample = model.sample if temperature == 1 else _tempered(model, temperature)
    device = device_of(model)
    parts: list[Tensor] = []
    with seeded(seed), evaluating(model), in_sentences():
        for batch in batches(n, batch_size):
            c = None if context is None else context[batch].to(device)
            parts.append(sample(batch.stop - batch.start, c).cpu())
    return torch.cat(parts)


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """A block in which a model is in evaluation mode, and then in the modes that it was in.

    Arguments:
        model: The model.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def device_of(model: nn.Module) -> torch.device:
    """The device on which a model lies: that of its first parameter or buffer."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def _tempered(model: nn.Module, temperature: float) -> Callable[[int, Tensor | None], Tensor]:
    if not isinstance(model, SupportsSampleTempered):
        raise PthetaError(
            "this model draws at temperature 1 alone: it offers "
            f"{', '.join(capabilities(model))}, and `sample_tempered` is what flows have."
        )
    return partial(model.sample_tempered, temperature=temperature)


def _verb(model: nn.Module, asked: Capability | None) -> Capability:
    best, offered = density_verb(model), capabilities(model)
    if best is None:
        raise PthetaError(
            f"this model has no density: it offers {', '.join(offered) or 'nothing'}. "
            "Recipes with one are listed by `ptheta recipes`."
        )
    if asked is not None and (asked not in DENSITIES or asked not in offered):
        found = ", ".join(verb for verb in offered if verb in DENSITIES)
        raise PthetaError(f"verb cannot be {asked!r}: the densities of this model are {found}.")
    return asked or best


def _ask(
    model: nn.Module, verb: Capability, x: Tensor, context: Tensor | None, particles: int
) -> Tensor:
    more = {"particles": particles} if verb == "elbo" else {}
    return getattr(model, verb)(x, context, **more)
