"""Tables and figures of the papers, as shipped in recipes/papers/*/table-*.toml and figure-*.toml.

recipes/README.md, Tables, has their grammar.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from ticketctl.errors import UsageError, near_miss
from ticketctl.recipe import Recipe
from ticketctl.recipe_base import Rational, Spec, fault, fields_of, shown
from ticketctl.recipe_files import table_names
from ticketctl.shipped import room
from ticketctl.stages.measured import wrong_metric
from ticketctl.stages.tweaking import tweak_set

Scalar = str | bool | int | Decimal
Unit = Literal["percent", "share", "epochs", "number"]


class Row(Spec):
    """`[[row]]`: the cells that share a recipe."""

    name: str
    """As the paper names it."""
    recipe: str
    """The shipped recipe that draws, or trains, what the row reports."""
    tweaks: tuple[str, ...] = ()
    """What the ticket is spent with."""
    control: str = ""
    """The kind of control, where not the ticket itself is reported."""
    sets: dict[str, Scalar] = Field(default_factory=dict)
    """Recipe keys that differ from the recipe's."""
    unknown: tuple[str, ...] = ()
    """Recipe keys that the paper does not tell, so that any value will do."""
    over: str = "sparsity"
    """What the cells' names are: sparsities in percent, values of a recipe key, or ends of a metric's name."""
    sparsity: Annotated[Rational, Field(ge=0, lt=100)] | None = None
    """Of the whole row in percent, where `over` is a recipe key or metric."""
    cells: tuple[str, ...] = ()
    """Cells without a printed value."""
    values: dict[str, Decimal] = Field(default_factory=dict)
    """What is printed."""
    deviations: dict[str, Decimal] = Field(default_factory=dict)
    """What is printed after the plus-minus sign."""
    nonconverged: tuple[str, ...] = ()
    """Cells of which the paper says that some run did not learn."""
    metric: str | None = None
    """Instead of the table's."""
    unit: Unit | None = None
    """Instead of the table's."""
    audit: str | None = None
    """Instead of the table's."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Row:
        if set(self.cells) & set(self.values) or not (self.cells or self.values):
            raise ValueError("a cell stands in cells or in values, and there is at least one")
        if not {*self.deviations, *self.nonconverged} <= set(self.values):
            raise ValueError("deviations and nonconverged name cells of values")
        if self.over not in ("sparsity", "metric") and "." not in self.over:
            raise ValueError(
                f"over: must be sparsity, metric or a recipe key, as train.lr, not {self.over!r}"
            )
        if (
            self.sparsity is None
            if "." in self.over
            else self.sparsity is not None and self.over == "sparsity"
        ):
            raise ValueError(
                "say sparsity where `over` is a recipe key, and only there or where it is metric"
            )
        return self


class TableSpec(Spec):
    """A whole file."""

    title: str
    paper: str
    table: str
    source: str
    note: str
    seeds: Annotated[int, Field(ge=1)] | None = None
    seed_list: tuple[Annotated[int, Field(ge=0, lt=2**53)], ...] = ()
    """Those runs' seeds, where the paper names them."""
    metric: str
    unit: Unit
    audit: str | None = None
    """The recipe of the audits that metrics are read from: `audit/lth-pass`."""
    row: tuple[Row, ...]

    @model_validator(mode="after")
    def _counts_its_seeds(self) -> TableSpec:
        if self.seed_list and len({*self.seed_list}) != self.seeds:
            raise ValueError("seed_list has as many different seeds as `seeds` says")
        return self


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
    audit: str | None = None
    """The recipe of the audits that the metric is read from."""


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
        if not Path(wanted).exists():
            raise UsageError(
                f"no table {wanted!r}: there is no such file (ticketctl recipes --tables lists ours)"
            )
        return table_in(Path(wanted), wanted)
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
        found = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
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
        wrong = wrong_metric(name, row.audit or table.audit)
        if wrong:
            raise UsageError(wrong)
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
    for column in sorted(columns, key=Fraction) if row.over == "sparsity" else columns:
        metric = row.metric or table.metric
        own = {} if row.over in ("sparsity", "metric") else {row.over: column}
        yield Cell(
            row.name,
            column,
            row.recipe,
            tweaks_of(row.tweaks),
            row.control,
            {**row.sets, **own},
            row.unknown,
            Fraction(column) if row.over == "sparsity" else row.sparsity,
            f"{metric}.{column}" if row.over == "metric" else metric,
            row.unit or table.unit,
            row.values.get(column),
            row.deviations.get(column),
            column in row.nonconverged,
            row.audit or table.audit,
        )


def tweaks_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names in alphabetical order, those of groups in place of the group's.

    Raises:
        UsageError: no such tweak, or two that exclude each other.
    """
    return tuple(sorted(tweak_set(names)))
