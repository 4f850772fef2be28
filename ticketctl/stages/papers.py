"""Tables and figures of the papers, as shipped in recipes/papers/*/table-*.toml and figure-*.toml.

recipes/README.md, Tables, has their grammar.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ticketctl.errors import UsageError, near_miss
from ticketctl.recipe import Recipe
from ticketctl.recipe_base import fault, fields_of, shown
from ticketctl.recipe_files import read_recipe, table_names
from ticketctl.shipped import room
from ticketctl.stages.measured import Reading, kind_of, wrong_metric
from ticketctl.stages.table_spec import Row, TableSpec
from ticketctl.stages.tweaking import tweak_set
from ticketctl.store.expand import expanded

KEPT = "keep.epochs"
"""What a run needs that is measured after some of its epochs."""
OF_EPOCHS = (("probe", "trained"), ("interpolate", "trained"))
"""What may be measured there: kinds of reports, and of which net."""


@dataclass(frozen=True)
class Cell:
    """One cell: what was trained, and what the paper prints of it."""

    row: str
    column: str
    recipe: str
    tweaks: tuple[str, ...]
    control: str
    sets: Mapping[str, Any]
    unknown: tuple[str, ...]
    sparsity: Fraction | None
    """In percent; None where the cell is itself a sparsity."""
    metric: str
    unit: str
    value: Decimal | None
    deviation: Decimal | None
    nonconverged: bool
    reading: Reading | None = None
    """The reports that the metric is read from."""

    @property
    def audit(self) -> str | None:
        """The recipe of the audits that it is read from, or held against."""
        return self.reading.recipe if self.reading and self.reading.kind == "audit" else None


@dataclass(frozen=True)
class Table:
    """A table or figure of a paper."""

    path: Path
    name: str
    paper: str
    number: str
    title: str
    source: str
    note: str
    seeds: int | None
    """Runs behind a value; None where the paper does not tell."""
    cells: tuple[Cell, ...]
    seed_list: tuple[int, ...] = ()
    """Their seeds, where the paper names them."""

    @property
    def spec(self) -> str:
        """As users name it: 001:A2, 002:fig4."""
        return f"{self.paper}:{_plain(self.number)}"


def tables() -> list[Table]:
    """All shipped tables, by name."""
    return [table_in(room("recipes") / f"{name}.toml", name) for name in table_names()]


def find_table(wanted: str) -> Table:
    """The table that a user names: 001:A2, "002:Fig 4", papers/001-toast/table-a2, or a file of the user's own.

    Raises:
        UsageError: there is none; names the nearest. Or the file is not there, or no table.
    """
    if wanted.endswith(".toml"):
        path = expanded(wanted)
        if not path.exists():
            raise UsageError(
                f"no table {wanted!r}: there is no such file (ticketctl recipes --tables lists ours)"
            )
        return table_in(path, wanted)
    names = table_names()
    if wanted in names:
        return table_in(room("recipes") / f"{wanted}.toml", wanted)
    paper, colon, number = wanted.partition(":")
    for name in names:
        stem = _plain(name.rpartition("/")[2].removeprefix("table-"))
        if colon and name.startswith(f"papers/{paper}-") and stem == _plain(number):
            return table_in(room("recipes") / f"{name}.toml", name)
    specs = [table.spec for table in tables()]
    raise UsageError(f"no table {wanted!r}; {near_miss(wanted, specs)} (ticketctl recipes --tables)")


def _plain(number: str) -> str:
    """Fig. 4, figure-4 and fig4 are one figure."""
    text = re.sub(r"[^0-9a-z.]", "", number.lower()).replace("figure", "fig").replace("fig.", "fig")
    return text if text.startswith(("fig", "text")) else text.upper()


def table_in(path: Path, name: str) -> Table:
    """The table in a file.

    Raises:
        UsageError: not TOML, or not a table; says where.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
        spec = TableSpec.model_validate(found)
    except ValidationError as error:
        raise UsageError(f"table {name}: {_told(error, found)}") from None
    except (ValueError, RecursionError, OSError) as error:
        raise UsageError(f"table {name}: not a readable table: {error}") from None
    cells: tuple[Cell, ...] = ()
    for row in spec.row:
        try:
            cells += tuple(_cells(row, spec))
        except UsageError as error:
            raise UsageError(f"table {name}: row {row.name!r}: {error}") from None
    head = (spec.paper, spec.table, spec.title, spec.source, spec.note, spec.seeds)
    return Table(path, name, *head, cells, spec.seed_list)


def _told(error: ValidationError, found: Mapping[str, Any]) -> str:
    """What is wrong, with its row's name, or its number where it has none."""
    place = error.errors()[0]["loc"]
    if place == ("row",) and "row" in found:
        return f"row: each row is a table under [[row]], not {shown(found['row'])}"
    if len(place) < 2 or place[0] != "row":
        return fault(error, TableSpec)
    number = int(place[1])
    row = found["row"][number]
    named = isinstance(row, Mapping) and isinstance(row.get("name"), str)
    which = f"row {row['name']!r}" if named else f"row {number + 1}"
    if not isinstance(row, Mapping):
        return f"{which}: must be a table under [[row]], not {shown(row)}"
    hint = '; write a key with dots in quotes, "train.lr" = 0.1' if _has_bare_dots(row.get("sets")) else ""
    return f"{which}: {fault(error, Row, skip=2)}{hint}"


def _has_bare_dots(sets: Any) -> bool:
    return isinstance(sets, Mapping) and any(isinstance(value, Mapping) for value in sets.values())


def _check(row: Row, table: TableSpec) -> None:
    """Refuse what can be no cell, before anything is made for it.

    Raises:
        UsageError: a name, number or metric that cannot be.
    """
    for column in (*row.values, *row.cells) if row.over == "sparsity" else ():
        if not re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,9})?", column):
            raise UsageError(
                f"a cell's name is a sparsity in percent, 0 or more and below 100, not {column!r}"
            )
    metric = row.metric or table.metric
    for name in (
        [f"{metric}.{column}" for column in (*row.values, *row.cells)] if row.over == "metric" else [metric]
    ):
        wrong = wrong_metric(name, _reading(row, table, ""))
        if wrong:
            raise UsageError(wrong)
    if row.over == "epoch" and (kind_of(metric), row.of or table.of) not in OF_EPOCHS:
        raise UsageError(f'{metric}: over = "epoch" is for probes and interpolations of trained nets')
    for key in row.unknown:
        *place, last = key.split(".")
        known = fields_of(Recipe, place)
        if not place or (
            place[0] not in ("draw", "tweaks") and last not in known
        ):  # those have keys of plug-ins
            raise UsageError(f"unknown: no key {key}; {near_miss(last, known)}")


def _cells(row: Row, table: TableSpec) -> Iterator[Cell]:
    """Cells without a value last; those of a ladder in its order."""
    _check(row, table)
    columns = [*row.values, *row.cells]
    shares = _shares(row, columns)
    kept = {KEPT: tuple(sorted(int(epoch) for epoch, share in shares.items() if share < 1))}
    for column in sorted(columns, key=Fraction) if row.over == "sparsity" else columns:
        metric = row.metric or table.metric
        own = {row.over: column} if "." in row.over else {}
        yield Cell(
            row.name,
            column,
            row.recipe,
            tweaks_of(row.tweaks),
            row.control,
            {**row.sets, **own, **(kept if kept[KEPT] else {})},
            row.unknown,
            Fraction(column) if row.over == "sparsity" else row.sparsity,
            f"{metric}.{column}" if row.over == "metric" else metric,
            row.unit or table.unit,
            row.values.get(column),
            row.deviations.get(column),
            column in row.nonconverged,
            _reading(row, table, column, shares.get(column)),
        )


def _shares(row: Row, columns: Sequence[str]) -> dict[str, Fraction]:
    """Of each cell that is an epoch the share of the training; none, where cells are something else.

    Raises:
        UsageError: no whole number, 0, or an epoch past the end of the training.
    """
    if row.over != "epoch":
        return {}
    train = read_recipe(row.recipe).get("train", {})
    whole = int(row.sets.get("train.epochs", train.get("epochs", 0)))
    odd = next((one for one in columns if not one.isdecimal() or not 0 < int(one) <= whole), None)
    if odd is not None:
        raise UsageError(f"a cell's name is an epoch of the training, from 1 to {whole}, not {odd!r}")
    return {one: Fraction(int(one), whole) for one in columns}


def _reading(row: Row, table: TableSpec, column: str, share: Fraction | None = None) -> Reading | None:
    """The reports that the row's cells are read from."""
    kind = kind_of(row.metric or table.metric)
    recipe = (row.audit or table.audit) if kind == "audit" else (row.explore or table.explore)
    if kind is None or recipe is None:
        return None
    if kind == "audit":
        return Reading(kind, recipe)
    at = None if share == 1 else share
    return Reading(kind, recipe, row.of or table.of, column if row.over == "target" else "", at)


def tweaks_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names in alphabetical order, those of groups in place of the group's.

    Raises:
        UsageError: no such tweak, or two that exclude each other.
    """
    return tuple(sorted(tweak_set(names)))
