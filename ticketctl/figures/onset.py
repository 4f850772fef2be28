"""The onset of stability: the error barrier of copies against the epoch from which on they were trained apart.

Each evaluation is the mean barrier over pairs of twins, with a band of one sample deviation to both sides; numbers
beside the marks say in which order the search asked (paper 003, sections 3.2 and C.3: binary search for the first epoch
from which copies stay below 2 percent points, the line across). The upright is the onset that was found; each
initialisation has a panel. What an earlier search had evaluated, and this one did not ask for, has no number. Where a
twin diverged there is no barrier: that epoch is not stable, and stands in the notes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ticketctl.artifacts.report import Report
from ticketctl.figures.paths import STABLE, columns, rule
from ticketctl.figures.rows import PANELS, averaged
from ticketctl.figures.sheet import FORMS, Axis, Cell, NothingError, Sheet, slug
from ticketctl.figures.shelf import Shelf

FACTS = {"from": "interpolations", "papers": "003 Table 15"}
_ARRAYS = ("epochs", "order", "barrier", "barrier.pairs", "diverged", "nonconverged")
_TOLD = ("epochs", "batch", "momentum", "lr")
"""Keys of the training that the notes say."""


@dataclass(frozen=True)
class Params:
    """No keys."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each search.

    Raises:
        NothingError: no onset was searched for.
    """
    del params
    found = {one.id: one for net in shelf.nets for one in net.reports("interpolate", "onset")}
    found |= {one.id: one for one in shelf.loose}
    reports = [one for one in found.values() if columns(one, *(f"onset/{name}" for name in _ARRAYS))]
    if not reports:
        raise NothingError(
            "no onset of stability; run: ticketctl interpolate --model NET --data DATA --recipe interpolate/onset"
        )
    for place, report in enumerate(sorted(reports, key=_order)):
        yield _sheet(
            report, "" if len(reports) == 1 else slug(f"{_net(report)}-{report.data.name}-{place + 1}")
        )


def _order(report: Report) -> tuple[str, ...]:
    return (_net(report), report.data.name, *_training(report), report.id)


def _sheet(report: Report, part: str) -> Sheet:
    arrays = {name.partition("/")[2]: array for name, array in report.arrays.items()}
    every = len(arrays["epochs"])
    panels = {row: f"initialisation {row}" if every > 1 else "" for row in range(min(every, PANELS))}
    threshold = _threshold(report)
    rows = [row for at, panel in panels.items() for row in _search(report, arrays, at, panel)]
    across = [(*row, None) for row in rule(panels.values(), threshold)]
    notes = [averaged([row[:-1] for row in rows], "pairs of twins")]
    notes += ["numbers: the order of the search; upright: the onset that it found"]
    notes += [f"trained with {', '.join(_training(report))}"] if _training(report) else []
    notes += [f"{PANELS} of {every} initialisations"] if every > PANELS else []
    notes += list(_failed(arrays))
    return Sheet(
        "onset", "lines", f"{_net(report)} on {report.data.name}: onset of stability",
        Axis("epoch of the common start"), Axis("error barrier", "percent points"),
        (*across, *rows), part, (*FORMS["lines"], "label"), notes=tuple(notes), sources=(report.id,),
    )  # fmt: skip


def _search(report: Report, arrays: Mapping[str, Any], at: int, panel: str) -> Iterator[tuple[Cell, ...]]:
    """The evaluations of one initialisation, and its onset."""
    pairs = arrays["barrier.pairs"].shape[2]
    for column, epoch in enumerate(arrays["epochs"][at]):
        mean = float(arrays["barrier"][at, column])
        if epoch < 0 or not np.isfinite(mean):
            continue
        spread = float(arrays["barrier.std"][at, column]) if "barrier.std" in arrays else np.nan
        low, high = (mean - spread, mean + spread) if np.isfinite(spread) else (None, None)
        order = int(arrays["order"][at, column])
        label = str(order + 1) if order >= 0 else None
        yield panel, "barrier", "line", int(epoch), mean, low, high, pairs, label
    onset = next((row.value for row in report.metrics if row.name == f"onset.init-{at}"), None)
    if onset is not None:
        yield panel, "onset", "mark", int(onset), None, None, None, None, None


def _failed(arrays: Mapping[str, Any]) -> Iterator[str]:
    for name, told in (("diverged", "a twin diverged"), ("nonconverged", "a twin learned nothing")):
        epochs = sorted({int(one) for one in arrays["epochs"][arrays[name] != 0]})
        if epochs:
            yield f"{told} from epoch {', '.join(map(str, epochs))}: not stable"


def _threshold(report: Report) -> float:
    """Of the search, in percent points."""
    own = report.recipe.get("onset")
    told = _number(own.get("threshold")) if isinstance(own, Mapping) else None
    return STABLE if told is None else told


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None


def _table(report: Report, name: str) -> Mapping[str, Any]:
    training = report.recipe.get("training")
    found = training.get(name) if isinstance(training, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _net(report: Report) -> str:
    return str(_table(report, "model").get("name", "a net"))


def _training(report: Report) -> Sequence[str]:
    told = _table(report, "train")
    return [f"{key} {told[key]}" for key in _TOLD if key in told]
