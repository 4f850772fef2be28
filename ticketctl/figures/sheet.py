"""What a figure shows: a table, and the words around it. It is painted from this alone, and written as CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Cell = str | int | float | None
"""A cell of a table; None: nothing there."""

FORMS: dict[str, tuple[str, ...]] = {
    "lines": ("panel", "series", "role", "x", "y", "low", "high", "n"),
    "bars": ("panel", "series", "category", "y", "low", "high", "n"),
    "matrix": ("panel", "row", "column", "value", "n"),
    "radar": ("series", "axis", "share", "raw", "n"),
    "contour": ("panel", "x", "y", "z"),
    "surface": ("panel", "x", "y", "z"),
    "histogram": ("panel", "series", "low", "high", "share", "n"),
    "scatter": ("panel", "series", "role", "x", "y", "width", "height", "angle"),
    "reliability": ("panel", "low", "high", "confidence", "accuracy", "n"),
}
"""The columns that a form reads; a sheet may have more behind them, which only the CSV shows."""

ROLES = ("line", "lost", "unjudged", "chord", "reference", "paper", "mark")
"""Of a row of `lines`: a point of a line; one with a hollow mark, dashes to and from it; one with a half filled mark,
thin lines to and from it; a point of a faint line beside it; a level across the panel, at `y`; a faint point that a
paper prints; an upright line at `x`."""

PAPER = " (paper)"
"""Behind the name of a series of `bars`: what a paper prints for it."""
_PART = re.compile(r"[a-z0-9][a-z0-9.+-]{0,119}")


class NothingError(Exception):
    """These artifacts have nothing for a figure; the message says what, and the command that makes it."""


@dataclass(frozen=True)
class Axis:
    """An axis: what is along it, in which unit, and on which scale."""

    name: str
    unit: str = ""
    scale: Literal["linear", "log", "sparsity"] = "linear"
    """`sparsity`: percent from 0 to below 100, spread as the logarithm of the density: rounds are equally far apart."""
    low: float | None = None
    high: float | None = None

    @property
    def label(self) -> str:
        """As it stands beside the axis: name [unit]."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


@dataclass(frozen=True)
class Sheet:
    """One picture's worth of numbers.

    Raises:
        ValueError: columns that do not begin with those of the form, rows of another length, a number that is not
            finite, a role that is none, or a part that is no word.
    """

    figure: str
    """The module that made it, as it is typed."""
    form: str
    title: str
    x: Axis
    y: Axis
    rows: tuple[tuple[Cell, ...], ...]
    part: str = ""
    """Tells the sheets of one figure apart: lower case, digits, `.+-`."""
    columns: tuple[str, ...] = ()
    """Those of its form, where nothing is said."""
    z: Axis | None = None
    notes: tuple[str, ...] = ()
    """Below the picture: how many runs, what bands are, under which protocol, what was left out."""
    sources: tuple[str, ...] = ()
    """Ids of the artifacts that it was read from."""
    looks: tuple[tuple[str, int], ...] = ()
    """Places of series in the order of colours, marks and dashes; those that are not named take what is free."""

    def __post_init__(self) -> None:
        columns = self.columns or FORMS[self.form]
        object.__setattr__(self, "columns", columns)
        if columns[: len(FORMS[self.form])] != FORMS[self.form]:
            raise ValueError(
                f"{self.figure}: columns of {self.form} begin with {', '.join(FORMS[self.form])}"
            )
        if self.part and not _PART.fullmatch(self.part):
            raise ValueError(f"{self.figure}: part {self.part!r}")
        for row in self.rows:
            odd = [one for one in row if isinstance(one, float) and not math.isfinite(one)]
            if len(row) != len(columns) or odd:
                raise ValueError(f"{self.figure}: row {row} of columns {', '.join(columns)}")
        if self.form == "lines" and not {*self.column("role")} <= {*ROLES}:
            raise ValueError(f"{self.figure}: roles are {', '.join(ROLES)}")

    @property
    def name(self) -> str:
        """Of its files: figure, or figure.part."""
        return f"{self.figure}.{self.part}" if self.part else self.figure

    def column(self, name: str) -> list[Cell]:
        """The cells of a column, from the first row to the last."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def values(self, name: str) -> list[str]:
        """The different words of a column, in the order of their first rows."""
        return list(dict.fromkeys(str(one) for one in self.column(name) if one is not None))

    def where(self, **words: str) -> Iterator[dict[str, Cell]]:
        """The rows that have these words, by column."""
        for row in self.rows:
            found = dict(zip(self.columns, row, strict=True))
            if all(found[key] == value for key, value in words.items()):
                yield found

    def csv(self) -> str:
        """Every number as it is, an empty cell where there is none; the first line names the columns."""
        text = io.StringIO()
        rows: list[Sequence[object]] = [self.columns, *([_cell(one) for one in row] for row in self.rows)]
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()


def _cell(one: Cell) -> object:
    return "" if one is None else repr(one) if isinstance(one, float) else one


def counted(rows: Sequence[Sequence[Cell]]) -> str:
    """The numbers of runs behind rows, whose last cell it is: 3, or 2-5."""
    known = sorted({one[-1] for one in rows if isinstance(one[-1], int)})
    return "-".join(dict.fromkeys(map(str, (known[0], known[-1])))) if known else "0"


def slug(text: str) -> str:
    """Any words as a part: lower case, whatever is neither letter nor digit as dashes, 80 signs at most.

    A part may have 120, so that a number or a word still goes behind it.
    """
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:80].strip("-.") or "part"
