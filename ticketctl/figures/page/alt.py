"""A figure in words and as a table: for those who cannot see it, and for those who want its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ticketctl.figures.page.parts import Table
from ticketctl.figures.sheet import FORMS, Cell, Sheet

KINDS = {
    "lines": "Line chart",
    "bars": "Bar chart",
    "matrix": "Matrix",
    "radar": "Radar chart",
    "contour": "Contour map",
    "surface": "Surface",
    "histogram": "Histogram",
    "scatter": "Scatter plot",
    "reliability": "Reliability diagram",
}
SERIES = ("series", "row")
"""Columns whose words are what is compared, the first that a form has."""
ASIDE = {"n", "width", "height", "angle"}
NAMED, LONG = 8, 900


def alt(sheet: Sheet) -> str:
    """What is drawn, over what, of what, and in which range; at most 900 signs.

    Args:
        sheet: any.
    """
    kind = KINDS.get(sheet.form, sheet.form.capitalize())
    over = f"{_axis(sheet.y.label)} over {_axis(sheet.x.label)}" + (f", {sheet.z.label}" if sheet.z else "")
    panels = [one for one in sheet.values("panel") if one] if "panel" in sheet.columns else []
    series = next((sheet.values(name) for name in SERIES if name in sheet.columns), [])
    said = [
        f"{sheet.title}. {kind}: {over}",
        _named("panel", panels) if len(panels) > 1 else "",
        _named("series", series),
        "; ".join(_ranges(sheet)),
    ]
    text = ". ".join(part for part in said if part) + "."
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"


def _axis(label: str) -> str:
    return label or "shares"


def _named(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    many = "" if what == "series" or len(names) == 1 else "s"
    return f"{len(names)} {what}{many}: {', '.join(names[:NAMED])}{more}"


def _ranges(sheet: Sheet) -> list[str]:
    """From where to where each measured column goes."""
    labels = {"x": sheet.x.label, "y": sheet.y.label, "z": sheet.z.label if sheet.z else "z"}
    bounds = {"low", "high"} if "y" in sheet.columns else set()
    found = []
    for name in FORMS.get(sheet.form, sheet.columns):
        numbers = [one for one in sheet.column(name) if isinstance(one, int | float)]
        if numbers and name not in ASIDE | bounds:
            found.append(f"{labels.get(name) or name} from {cell(min(numbers))} to {cell(max(numbers))}")
    return found


def table(sheet: Sheet) -> Table:
    """All rows of a sheet as words, numbers to six digits.

    Args:
        sheet: any.
    """
    words = [
        any(isinstance(one, str) and one for one in sheet.column(name)) or not _numbers(sheet, name)
        for name in sheet.columns
    ]
    kept = [
        at
        for at, name in enumerate(sheet.columns)
        if any(one not in ("", None) for one in sheet.column(name))
    ]
    ordered = sorted(kept, key=lambda at: not words[at])
    rows = tuple(tuple(cell(row[at]) for at in ordered) for row in sheet.rows)
    count = len(sheet.rows)
    return Table(
        f"{sheet.title}: the numbers",
        tuple(sheet.columns[at] for at in ordered),
        rows,
        words=sum(words[at] for at in ordered),
        beyond=f"{sheet.name}.csv, which the command beside the figure writes, has all {count} rows",
        headed=False,
        folded=True,
    )


def _numbers(sheet: Sheet, name: str) -> bool:
    return any(isinstance(one, int | float) for one in sheet.column(name))


def cell(value: Cell) -> str:
    """As it stands in a table."""
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
