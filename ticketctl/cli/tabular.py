"""A table on stdout in the form that was asked for: plain, CSV, LaTeX, Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ticketctl.cli.output import note, print_line, print_table, visible

FORMATS = ("table", "csv", "latex", "markdown", "json")

Rows = Sequence[Sequence[str]]

_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip


def print_as(kind: str, columns: Sequence[str], rows: Rows, *, left: int, prose: bool = False) -> None:
    """Print a table.

    Args:
        kind: table, latex or markdown.
        columns: the head.
        rows: as long as the head, each.
        left: how many columns are flush left, the others flush right.
        prose: whether the last column is flush left, too.
    """
    if kind == "table":
        _plain(columns, rows, left, prose)
        return
    cells = [[visible(cell) for cell in row] for row in [columns, *rows]]
    sides = ["l" if at < left or (prose and at == len(columns) - 1) else "r" for at in range(len(columns))]
    print_line((_latex if kind == "latex" else _markdown)(cells, sides))


def print_sheet(columns: Sequence[str], records: Sequence[Mapping[str, Any]]) -> None:
    """CSV for programs: every number as it is, true or false, lists with commas, an empty cell for what is missing."""
    text = io.StringIO()
    rows = [[_plain_text(record[column]) for column in columns] for record in records]
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    print_line(text.getvalue().rstrip("\n"))


def _plain_text(value: Any) -> str:
    if value is None or value == [] or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return visible(",".join(value) if isinstance(value, list) else str(value))


def remark(kind: str, lines: Sequence[str]) -> None:
    """Lines below the table: comments of LaTeX, paragraphs of Markdown; beside CSV they go to stderr."""
    shown = [visible(line) for line in lines]
    if kind == "csv":
        for line in shown:
            note(line)
        return
    print_line("")
    if kind == "markdown":
        print_line("\n\n".join(_md(line) for line in shown))
        return
    for line in shown:
        print_line(f"% {line}" if kind == "latex" else line)


def _plain(columns: Sequence[str], rows: Rows, left: int, prose: bool) -> None:
    if prose:
        width = max(len(visible(row[-1])) for row in [columns, *rows])
        columns, *rows = [[*row[:-1], visible(row[-1]).ljust(width)] for row in [columns, *rows]]
    print_table(columns, rows, left=left)


def _markdown(cells: Rows, sides: Sequence[str]) -> str:
    rule = ["---" if side == "l" else "--:" for side in sides]
    rows = [[_md(cell) for cell in row] for row in cells]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])


def _md(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "\\|*_`<>[]" else sign for sign in text)


def _latex(cells: Rows, sides: Sequence[str]) -> str:
    """The body of a table for the package booktabs."""
    rows = [" & ".join("".join(_LATEX.get(sign, sign) for sign in cell) for cell in row) for row in cells]
    body = [f"{row} \\\\" for row in rows]
    head = [f"\\begin{{tabular}}{{{''.join(sides)}}}", "\\toprule", body[0], "\\midrule"]
    return "\n".join([*head, *body[1:], "\\bottomrule", "\\end{tabular}"])
