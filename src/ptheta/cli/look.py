"""Commands that show what there is: recipes and data."""

from __future__ import annotations

__all__ = ["data", "recipes"]

from dataclasses import asdict
from typing import Any

import click

from ptheta.cli.options import common, data_options, load_source, print_json


@click.command()
@click.argument("name", required=False)
@common
def recipes(name: str | None, as_json: bool, seed: int, device: str, quiet: bool) -> None:
    """List the named systems, or show what NAME is, can do, and lets one set."""
    del seed, device, quiet
    from ptheta.display import console, describe_recipe, recipes_table
    from ptheta.recipes.registry import describe, names

    if name is None:
        found = [describe(each) for each in names()]
        if as_json:
            print_json([_recipe_json(description) for description in found])
        else:
            console().print(recipes_table(found))
        return
    description = describe(name)
    if as_json:
        print_json(_recipe_json(description))
    else:
        describe_recipe(description, console())


@click.command()
@click.argument("source", required=False)
@data_options
@common
def data(
    source: str | None, as_json: bool, seed: int, device: str, quiet: bool, **options: Any
) -> None:
    """Show what is understood of SOURCE: a name, a file or a folder; without it, list the names."""
    del seed, device, quiet
    from ptheta.data.describe import describe
    from ptheta.data.load import data_names
    from ptheta.display import console, show_data

    if source is None:
        names = data_names()
        if as_json:
            print_json(names)
        else:
            for name, meaning in names.items():
                console().print(f"{name:24}{meaning}")
        return
    described = describe(load_source(source, options))
    if as_json:
        print_json(described)
    else:
        show_data(described, console())


def _recipe_json(description: Any) -> dict[str, Any]:
    found = asdict(description)
    found["settings"] = [
        {"name": s.name, "type": s.type_text, "default": s.default, "meaning": s.meaning}
        for s in description.settings
    ]
    return found
