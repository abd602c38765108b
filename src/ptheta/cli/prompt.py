"""Draws that go on with a beginning, as asked for on the command line."""

from __future__ import annotations

__all__ = ["Beginning", "choice_options", "drawn_on", "extended", "prompt_options"]

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ptheta.cli.able import refuse_unable
from ptheta.cli.options import tell
from ptheta.errors import PthetaError

if TYPE_CHECKING:
    from torch import Tensor

    from ptheta.fitting import Run

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Beginning:
    """How sequences begin, and how they go on: what is None was not asked for.

    Arguments:
        prompt: The text that they begin with, or a file where they are of sound.
        length: The symbols of a sequence, those of the prompt among them.
        temperature: What logits are divided by; or, for flows, what noise is multiplied by.
        top_k: The number of likeliest symbols that are drawn from.
        top_p: The probability of the likeliest symbols that are drawn from.
    """

    prompt: str | None
    length: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None

    @property
    def asked(self) -> list[str]:
        """The options that were given."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items()
                if value is not None]  # fmt: skip


def prompt_options(function: F) -> F:
    """The options of draws that go on with a beginning."""
    for option in (
        click.option("--prompt", help="Begin with this text, or this WAV file, and go on."),
        click.option("--length", type=click.IntRange(1),
                     help="The symbols of a sequence, those of the prompt among them."),
    ):  # fmt: skip
        function = option(function)
    return choice_options(function)


def choice_options(function: F) -> F:
    """The options that say which symbols are drawn, and how sharply."""
    for option in (
        click.option("--temperature", type=click.FloatRange(0),
                     help="Below 1 draw likely symbols more often, or scale a flow's noise; "
                          "0 takes the likeliest."),
        click.option("--top-k", type=click.IntRange(1),
                     help="Draw from so many likeliest symbols."),
        click.option("--top-p", type=click.FloatRange(0, 1, min_open=True),
                     help="Draw from the likeliest symbols of so large a probability in all."),
    ):  # fmt: skip
        function = option(function)
    return function


def extended(
    run: Run, count: int, beginning: Beginning, context: Tensor | None, seed: int
) -> tuple[Tensor, Run]:
    """Sequences that go on with a beginning; what is done to a recording first is said.

    Arguments:
        run: The run that they are drawn from.
        count: The number of sequences.
        beginning: How they begin.
        context: What they are conditioned on, or None.
        seed: The seed.

    Returns:
        The codes, with shape (count, length), and the run with their space in place of its own.

    Raises:
        PthetaError: The run cannot go on with a beginning, or not with this one.
    """
    from ptheta.data.audio import prompt_levels
    from ptheta.data.text import prompt_codes
    from ptheta.spaces import Categorical, Discrete, rate_of

    asked = [option for option in beginning.asked if option != "--temperature"]
    doing = f"go on with a beginning ({', '.join(asked or beginning.asked)})"
    refuse_unable(run, doing, "extend")
    rate, prompt = rate_of(run.space), beginning.prompt or ""
    if rate and prompt:
        codes, changes = prompt_levels(Path(prompt), rate)
        tell(changes)
    else:
        codes = prompt_codes(prompt, run.space)
    # what is as long as the sequences of the fit goes on by as many again
    fitted = run.space.features
    length = beginning.length or (fitted if len(codes) < fitted else len(codes) + fitted)
    if length <= len(codes):
        raise PthetaError(
            f"the prompt has {len(codes)} {'samples' if rate else 'characters'}, which leaves "
            f"nothing to draw of a --length of {length}. Ask for more."
        )
    drawn = drawn_on(
        run,
        codes.expand(count, -1),
        context,
        length=length,
        temperature=beginning.temperature,
        top_k=beginning.top_k,
        top_p=beginning.top_p,
        seed=seed,
    )
    assert isinstance(run.space, Categorical | Discrete)
    # names are of as many values as the fit had
    columns = run.columns if length == fitted else ()
    return drawn, replace(run, space=replace(run.space, shape=(length,)), columns=columns)


def drawn_on(
    run: Run,
    prefix: Tensor,
    context: Tensor | None,
    *,
    length: int | None = None,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    seed: int,
) -> Tensor:
    """Sequences that go on with codes, by the options of `choice_options`; what is None is usual.

    Arguments:
        run: The run that they are drawn from.
        prefix: The codes so far, with shape (n, so_far).
        context: What they are conditioned on, or None.
        length: The symbols of a sequence in all.
        temperature: What logits are divided by.
        top_k: The number of likeliest symbols that are drawn from.
        top_p: The probability of the likeliest symbols that are drawn from.
        seed: The seed.

    Returns:
        The codes, with shape (n, length).
    """
    from ptheta.tasks.extend import extend

    return extend(
        run.model,
        prefix,
        context,
        length=length,
        temperature=1.0 if temperature is None else temperature,
        top_k=top_k,
        top_p=1.0 if top_p is None else top_p,
        seed=seed,
    )
