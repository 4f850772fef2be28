"""A table on stdout in the form that was asked for: plain, CSV, LaTeX, Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

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
        kind: table, csv, latex or markdown.
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
    written = {"csv": _csv, "latex": _latex, "markdown": _markdown}[kind](cells, sides)
    print_line(written.rstrip("\n"))


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


def _csv(cells: Rows, _sides: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(cells)
    return text.getvalue()


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
