"""`ticketctl recipes`."""

from __future__ import annotations

import tomllib
from typing import Annotated

import typer

from ticketctl.cli.complete import recipes as complete
from ticketctl.cli.options import Json
from ticketctl.cli.output import print_json, print_line, print_table


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="Print this recipe, merged with those it extends.", autocompletion=complete),
    ] = None,
    json: Json = False,
) -> None:
    """List the shipped recipes, or print one of them.

    Example: ticketctl recipes base/lenet-300-100-digits > mine.toml
    """
    from ticketctl.recipe_files import read_recipe, recipe_names
    from ticketctl.shipped import room
    from ticketctl.tomltext import toml_text

    if name is not None:
        tables = read_recipe(name)
        if json:
            print_json(tables)
        else:
            print_line(toml_text(tables).strip())
        return
    rows = []
    for known in recipe_names():
        tables = tomllib.loads((room("recipes") / f"{known}.toml").read_text(encoding="utf-8"))
        rows.append((known, str(tables.get("summary", ""))))
    if json:
        print_json([{"name": known, "summary": summary} for known, summary in rows])
    else:
        print_table(["recipe", "summary"], rows, left=2)
