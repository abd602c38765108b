"""The command line: one command a verb, as `ptheta --help` lists them.

Exit codes: 0 done, 2 a mistake in what was asked or given, 1 anything else.
"""

__all__ = ["cli", "main"]

import sys
from collections.abc import Sequence

import click

from ptheta.cli.classify import classify
from ptheta.cli.compare import compare
from ptheta.cli.fit import fit
from ptheta.cli.impute import impute
from ptheta.cli.look import data, recipes
from ptheta.cli.translate import translate
from ptheta.cli.use import evaluate, sample, score
from ptheta.errors import PthetaError


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command, and exits."""
    try:
        cli.main(arguments, prog_name="ptheta", standalone_mode=False)
    except PthetaError as error:
        click.echo(f"ptheta: {error}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"ptheta: {_sentence(error)}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("ptheta: interrupted.", err=True)
        sys.exit(1)


def _sentence(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    seen = "" if context is None else f" `{context.command_path} --help` says what there is."
    return f"{message[:1].lower()}{message[1:]}.{seen}"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ptheta")
def cli() -> None:
    """Deep generative models behind one interface: fit any family to your own data."""


for _command in (
    recipes, data, fit, sample, score, impute, classify, translate, evaluate, compare,
):  # fmt: skip
    cli.add_command(_command)
