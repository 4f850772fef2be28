"""Accuracy and loss along the training, epoch by epoch, at a few levels of each ladder.

A sheet of accuracies and one of losses for each ladder, a panel for each set of images: train (as trained, while it is
trained), val, test, and under noisy labels permuted, restored and unpermuted. Lines are means over seeds, with a band
of one sample deviation; the dense net is one of them. Shown are the dense net, a middle level and the last one, or
those that `levels` names.

An upright line in the colour of a level is the epoch that was best on the validation images, the mean over
seeds. A level that was rewound begins where the dense net's training was at its rewind point: that epoch is marked too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ticketctl.errors import UsageError
from ticketctl.figures.epochs import Course, check_levels, course, ladders, levels_of, of_series
from ticketctl.figures.rows import by_place, ids, parts, said, short
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Family, Group, Net, Shelf, Stat

FACTS = {"from": "runs", "papers": "002 Fig 2, 9, 11"}
SETS = ("train", "train.eval", "val", "test", "permuted", "restored", "unpermuted")
REWIND = "rewind point"


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
    """A sheet for each ladder and value.

    Raises:
        NothingError: no run has a history.
    """
    shown = ladders(shelf)
    found = [
        (family, value, rows)
        for family in shown
        for value in dict.fromkeys(params.values)
        if (rows := [*_rows(levels_of(family, params.levels), value)])
    ]
    if not found:
        raise NothingError(
            f"no run has a history of its training; run: ticketctl draw or ticketctl spend {shelf.ticket}"
        )
    alone = len({family for family, _, _ in found}) == 1
    where = {place: part for part, place, _ in by_place(one for one, _, _ in found)}
    names = [
        value if alone else f"{value}-{where[f'{one.net} on {one.data}']}-{short(one)}"
        for one, value, _ in found
    ]
    for (family, value, rows), part in zip(found, parts(names), strict=True):
        yield _sheet(family, levels_of(family, params.levels), value, rows, part)


def _rows(levels: Sequence[tuple[str, Group]], value: str) -> Iterator[tuple[Cell, ...]]:
    for of in SETS:
        read = _reader(f"{of}.{value}", 100.0 if value == "accuracy" else 1.0)
        lines = [row for name, group in levels for row in course(name, group.finite, read, panel=of)]
        yield from [*lines, *_marks(levels, of)] if lines else ()


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
    family: Family,
    levels: Sequence[tuple[str, Group]],
    value: str,
    rows: Sequence[tuple[Cell, ...]],
    part: str,
) -> Sheet:
    nets = [net for _, group in levels for net in group.nets]
    notes = [*said([row for row in rows if row[2] == "line"], nets)]
    notes += ["train: as it is trained, before each step; all others: after the epoch"]
    if any(row[2] == "mark" and row[1] != REWIND for row in rows):
        notes.append(
            "dashed upright, in the colour of a level: its best epoch by validation accuracy, mean over seeds"
        )
    if any(row[1] == REWIND for row in rows):
        notes.append("rewind point: where in the dense net's training the pruned ones begin")
    return Sheet(
        "training-curves", "lines", f"{family.net} on {family.data}, {short(family)}: {value} along the training",
        Axis("epoch"), Axis(value, "%" if value == "accuracy" else "nats"), tuple(rows), part,
        notes=tuple(notes), sources=ids(nets),
    )  # fmt: skip
