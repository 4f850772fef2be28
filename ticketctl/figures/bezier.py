"""The error along a Bezier curve between two nets, beside the straight line between them.

theta(t) = (1-t)^2 a + 2t(1-t) c + t^2 b, the middle c trained so that the loss stays low along the curve (Garipov et
al. 2018, section 3.4). A curve without the line's barrier says that both nets lie in one valley, though a bent one.
Each pair of nets has a panel; the legend has the curve, the line and the rule by which two nets count as connected:
less than 2 percent points above the mean of the ends (paper 003, section C.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ticketctl.artifacts.report import Report
from ticketctl.figures.paths import RULE, STABLE, columns, ends_of, known
from ticketctl.figures.rows import PANELS, by_place, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet, slug
from ticketctl.figures.shelf import Shelf
from ticketctl.figures.twins import both, name_of

FACTS = {"from": "interpolations", "papers": "none of the five; Garipov et al. (2018)"}
MODULE = "bezier"
LINES = {"": "Bezier curve", "line.": "straight line"}


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    what: Literal["error", "loss"] = "error"
    """Error in percent, or mean cross-entropy."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set.

    Raises:
        NothingError: no such curve was trained.
    """
    every = {one.id: one for net in shelf.nets for one in net.reports("interpolate", "path")}
    if not any(_whole(one) for one in every.values()):
        raise NothingError("no Bezier curve; run: ticketctl interpolate RUN RUN --recipe interpolate/bezier")
    for part, where, families in by_place(shelf.families):
        nets = [net for family in families for net in family.nets]
        mine = {one.id: one for net in nets for one in net.reports("interpolate", "path")}
        curves = [one for one in mine.values() if _whole(one)]
        for at, few in enumerate(split(curves, PANELS)):
            more = "-".join(filter(None, (part, str(at) if at else "")))
            yield _sheet(shelf, few, params, where, slug(more) if more else "")


def _sheet(shelf: Shelf, reports: Sequence[Report], params: Params, where: str, part: str) -> Sheet:
    names = [both(*(name_of(shelf, end) for end in (*ends_of(one), {}, {})[:2])) for one in reports]
    panels = [""] if len(reports) == 1 else [f"curve {at + 1}" for at in range(len(reports))]
    rows = [row for panel, one in zip(panels, reports, strict=True) for row in _curves(panel, one, params)]
    sets = " or ".join(dict.fromkeys(str(_told(one, "set", "val")) for one in reports))
    axis = Axis("error", "%") if params.what == "error" else Axis("loss")
    return Sheet(
        MODULE, "lines", f"{where}: {params.what} along a curve between two nets",
        Axis("t", "share of the second net at the ends", low=0, high=1), axis, tuple(rows), part,
        notes=(
            f"one pair of nets each; on {sets} images; BatchNorm's statistics where a net has any: recalibrate",
            *(f"{panel + ': ' if panel else ''}{name}" for panel, name in zip(panels, names, strict=True)),
        ),
        sources=tuple(one.id for one in reports),
    )  # fmt: skip


def _curves(panel: str, report: Report, params: Params) -> Iterator[tuple[Cell, ...]]:
    scale, name = (100.0, "errors") if params.what == "error" else (1.0, "losses")
    for head, label in LINES.items():
        values = known(scale * report.arrays[f"{MODULE}/{head}{name}"])
        for t, value in zip(report.arrays[f"{MODULE}/t"], values, strict=True):
            if value is not None:
                yield panel, label, "line", float(t), value, None, None, 1
        first, last = values[0], values[-1]
    if params.what == "error" and first is not None and last is not None:
        yield panel, RULE, "reference", None, (first + last) / 2 + STABLE, None, None, None


def _whole(report: Report) -> bool:
    """Whether it has curve and line, of errors and losses."""
    names = ("t", *(f"{head}{name}" for head in LINES for name in ("errors", "losses")))
    return bool(columns(report, *(f"{MODULE}/{name}" for name in names)))


def _told(report: Report, name: str, default: object) -> object:
    return next((row.protocol.get(name, default) for row in report.metrics if row.name == MODULE), default)
