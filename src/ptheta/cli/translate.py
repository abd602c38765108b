"""The command that translates sentences."""

from __future__ import annotations

__all__ = ["translate"]

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptheta.cli.able import refuse_unable
from ptheta.cli.options import common, print_json
from ptheta.cli.prompt import choice_options, drawn_on
from ptheta.errors import PthetaError

if TYPE_CHECKING:
    from torch import Tensor

    from ptheta.fitting import Run
    from ptheta.spaces import Categorical


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("source", required=False)
@click.option("--sentence", "sentences", multiple=True,
              help="A sentence, in place of a file. May be given several times.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), help="A text file, else the screen.")
@click.option(
    "--beams",
    type=click.IntRange(1),
    help="The beginnings that are kept while the likeliest is searched; 1 is greedy.",
)
@click.option("--length-penalty", type=click.FloatRange(0),
              help="Above 0 favour long sentences.")  # fmt: skip
@choice_options
@common
def translate(
    folder: Path,
    source: str | None,
    sentences: Sequence[str],
    out: Path | None,
    beams: int | None,
    length_penalty: float | None,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    as_json: bool,
    seed: int,
    device: str,
    quiet: bool,
) -> None:
    """Translate SOURCE, a text file with a sentence a line, by the run in FOLDER."""
    del quiet
    from ptheta.data.sentences import decode_sentences, known_sentences
    from ptheta.fitting import load

    drawing = {"--temperature": temperature, "--top-k": top_k, "--top-p": top_p}
    searching = {"--beams": beams, "--length-penalty": length_penalty}
    asked = [name for name, value in (drawing | searching).items() if value is not None]
    drawn = [name for name in asked if name in drawing]
    if drawn and len(drawn) < len(asked):
        raise PthetaError(
            f"{' and '.join(asked)} do not go together: a translation is either the likeliest that "
            "is found or a draw. Give one kind of option."
        )
    where, lines = _lines(source, sentences)
    run = load(folder, device)
    given, target = _spaces(run)
    kept = [row for row, line in enumerate(lines) if line]
    translations = [""] * len(lines)
    if kept:
        context = known_sentences(lines, given, where)[kept]
        if drawn:
            codes = drawn_on(
                run,
                context.new_empty(len(context), 0),
                context,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                seed=seed,
            )
        else:
            codes = _likeliest(run, context, beams, length_penalty)
        for row, text in zip(kept, decode_sentences(codes, target), strict=True):
            translations[row] = text
    _show(translations, out, as_json)


def _lines(source: str | None, sentences: Sequence[str]) -> tuple[str, list[str]]:
    """The sentences, and what messages call them."""
    from ptheta.data.text import lines_of, read_text

    if (source is None) == (not sentences):
        raise PthetaError("give either a file with a sentence a line, or --sentence 'a sentence'.")
    if source is None:
        return "--sentence", list(sentences)
    if source == "-":
        return "the standard input", lines_of(_standard_input())
    path = Path(source).expanduser()
    if not path.is_file():
        raise PthetaError(f"there is no file {source}. Check the path, or give --sentence.")
    return source, lines_of(read_text(path).text)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PthetaError(
            f"the standard input is not UTF-8 text (at byte {error.start}). Give it in UTF-8."
        ) from None


def _spaces(run: Run) -> tuple[Categorical, Categorical]:
    """The spaces of the sources and of the translations, where both are sentences."""
    from ptheta.spaces import Categorical, end_of

    refuse_unable(run, "translate", "beam_search")
    given, target = run.context_space, run.space
    if (
        not isinstance(given, Categorical)
        or not isinstance(target, Categorical)
        or end_of(given) is None
        or end_of(target) is None
    ):
        raise PthetaError(
            "the run was not fitted to sentences given sentences: it is asked from Python, "
            "ptheta.translate(model, context)."
        )
    return given, target


def _likeliest(
    run: Run, context: Tensor, beams: int | None, length_penalty: float | None
) -> Tensor:
    from ptheta.tasks.translate import translate

    return translate(
        run.model, context, beams=4 if beams is None else beams, length_penalty=length_penalty or 0
    )


def _show(translations: Sequence[str], out: Path | None, as_json: bool) -> None:
    from ptheta.files import whole_file

    if out is not None:
        with whole_file(out) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in translations), encoding="utf-8")
    if as_json:
        count = {"sentences": len(translations)}
        print_json(count | ({"path": str(out)} if out else {"translations": list(translations)}))
    elif out is None:
        click.echo("\n".join(translations))
    else:
        click.echo(f"{len(translations)} sentences translated; {out}")
