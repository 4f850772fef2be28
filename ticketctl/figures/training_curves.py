"""Accuracy and loss along the training, epoch by epoch, at a few levels of each ladder.

A sheet of accuracies and one of losses, a panel for each ladder and set of images: train (as trained, while it is
trained), val, test, and under noisy labels permuted, restored and unpermuted. Several ladders share a sheet, of twelve
panels at most. Lines are means over seeds, with a band
of one sample deviation; the dense net is one of them. Shown are the dense net, a middle level and the last one, or
those that `levels` names.

An upright line in the colour of a level is the epoch that was best on the validation images, the mean over
seeds. A level that was rewound begins where the dense net's training was at its rewind point: that epoch is marked too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ticketctl.errors import UsageError
from ticketctl.figures.epochs import Course, check_levels, course, ladders, levels_of, of_series
from ticketctl.figures.rows import PANELS, by_place, heading, ids, parts, said, short, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Family, Group, Net, Shelf, Stat

FACTS = {"from": "runs", "papers": "002 Fig 2, 9, 11"}
SETS = ("train", "train.eval", "val", "test", "permuted", "restored", "unpermuted")
REWIND = "rewind point"
Panels = Mapping[str, list[tuple[Cell, ...]]]
"""Rows by set of images."""


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    levels: tuple[float, ...] = ()
    """Sparsities in percent, of each the nearest level; 0 is the dense net. None: dense, a middle one, the last."""
    values: tuple[str, ...] = ("accuracy", "loss")
    """A sheet for each."""

    def __post_init__(self) -> None:
        """Refuse what is neither.

        Raises:
            UsageError: a level that is no sparsity, or a value that no history has.
        """
        check_levels(self.levels, "figures.training-curves.levels")
        odd = [one for one in self.values if one not in ("accuracy", "loss")]
        if odd or not self.values:
            raise UsageError(f"figures.training-curves.values: accuracy, loss or both, not {odd or 'none'}")


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """Sheets for each value and each net and data set.

    Raises:
        NothingError: no run has a history.
    """
    found = [
        (f"{value}-{part}".strip("-"), where, value, few)
        for part, where, mine in by_place(ladders(shelf))
        for value in dict.fromkeys(params.values)
        for few in _together({one: _panels(one, params.levels, value) for one in mine})
    ]
    if not found:
        raise NothingError(
            f"no run has a history of its training; run: ticketctl draw or ticketctl spend {shelf.ticket}"
        )
    for (_, where, value, few), part in zip(found, parts(name for name, *_ in found), strict=True):
        yield _sheet(where, few, params.levels, value, part)


def _together(found: Mapping[Family, Panels]) -> list[Sequence[tuple[Family, Panels]]]:
    """As many ladders as their panels have room on a sheet."""
    known = [(family, panels) for family, panels in found.items() if panels]
    widest = max((len(panels) for _, panels in known), default=1)
    return split(known, max(1, PANELS // widest))


def _panels(family: Family, chosen: Sequence[float], value: str) -> Panels:
    """Of each set of images that the runs have a history of: its rows."""
    levels = levels_of(family, chosen)
    found = {}
    for of in SETS:
        read = _reader(f"{of}.{value}", 100.0 if value == "accuracy" else 1.0)
        lines = [row for name, group in levels for row in course(name, group.finite, read, panel=of)]
        if lines:
            found[of] = [*lines, *_marks(levels, of)]
    return found


def _reader(column: str, scale: float) -> Callable[[Net], Course]:
    return lambda net: of_series(net, column, scale)


def _marks(levels: Sequence[tuple[str, Group]], panel: str) -> Iterator[tuple[Cell, ...]]:
    for name, group in levels:
        best = group.stat(lambda net: net.values.get("best_val.epoch"))
        if best:
            yield panel, name, "mark", best.mean, None, best.low, best.high, best.n
    known = Stat.of(begun(net) for _, group in levels if group.density < 1 for net in group.finite)
    if known and known.mean > 0:
        yield panel, REWIND, "mark", known.mean, None, None, None, known.n


def begun(net: Net) -> float | None:
    """The epoch of the schedule, in parts of one, at which the training began; None without a history."""
    series = net.series()
    if series is None or len(series.epoch) < 2:
        return None
    first = (
        1 if len(series.epoch) > 2 else 0
    )  # the first row of a rewound training may be in the midst of an epoch
    steps, epochs = (int(one[-1] - one[first]) for one in (series.step, series.epoch))
    return float(series.step[0]) * epochs / steps if steps else None


def _sheet(
    where: str, few: Sequence[tuple[Family, Panels]], chosen: Sequence[float], value: str, part: str
) -> Sheet:
    nets = [net for one, _ in few for _, group in levels_of(one, chosen) for net in group.nets]
    rows = [
        (panel if len(few) == 1 else f"{short(one)}: {panel}", *row[1:])
        for one, panels in few
        for panel, mine in panels.items()
        for row in mine
    ]
    notes = [*said([row for row in rows if row[2] == "line"], nets)]
    notes += ["train: as it is trained, before each step; all others: after the epoch"]
    if any(row[2] == "mark" and row[1] != REWIND for row in rows):
        notes.append(
            "dashed upright, in the colour of a level: its best epoch by validation accuracy, mean over seeds"
        )
    if any(row[1] == REWIND for row in rows):
        notes.append("rewind point: where in the dense net's training the pruned ones begin")
    return Sheet(
        "training-curves", "lines", f"{heading(where, [one for one, _ in few])}: {value} along the training",
        Axis("epoch"), Axis(value, "%" if value == "accuracy" else "nats"), tuple(rows), part,
        notes=tuple(notes), sources=ids(nets),
    )  # fmt: skip
