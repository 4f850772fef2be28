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
    of_papers: Annotated[
        bool, typer.Option("--tables", help="The papers' tables and figures instead; NAME as in 001:A2.")
    ] = False,
    json: Json = False,
) -> None:
    """List the shipped recipes, or print one of them.

    Examples:

    ticketctl recipes base/lenet-300-100-digits > mine.toml

    ticketctl recipes --tables 001:A2
    """
    if of_papers:
        _show_table(name) if name is not None and not json else _list_tables(name, json)
        return
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


def _show_table(name: str) -> None:
    """Its file as it is."""
    from ticketctl.stages.papers import find_table

    print_line(find_table(name).path.read_text(encoding="utf-8").strip())


def _list_tables(name: str | None, json: bool) -> None:
    from ticketctl.stages.papers import find_table, tables

    found = tables() if name is None else [find_table(name)]
    rows = [
        {
            "name": table.spec,
            "file": table.name,
            "title": table.title,
            "cells": len(table.cells),
            "values": sum(cell.value is not None for cell in table.cells),
        }
        for table in found
    ]
    if json:
        print_json(rows)
        return
    heads = ["table", "title", "cells", "values"]
    shown = [[str(row["name"]), str(row["title"]), str(row["cells"]), str(row["values"])] for row in rows]
    print_table(heads, shown, left=2)
