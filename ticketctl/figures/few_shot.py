"""Accuracy against the share of training images that there were: few-shot curves.

A panel for each way of drawing and training that was spent on several shares of the training images, a line for each
sparsity, the dense net first (paper 003, section 5.2: sparse tickets there lose less than the dense net where images
are few). The share is `data.subset.fraction`, of every class alike; runs on all images stand at 100 %. What else goes
with the share (`data.subset.…`, and how many epochs) may differ between the points of a line, and the notes say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ticketctl.figures.epochs import check_levels, levels_of
from ticketctl.figures.rows import (
    PANELS,
    SERIES,
    Value,
    by_place,
    ids,
    parts,
    reading,
    row_of,
    said,
    short,
    split,
    spread,
    unit_of,
)
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Family, Group, Net, Shelf

FACTS = {"from": "runs", "papers": "003 Table 7, 21, 22"}
SHARE, EPOCHS = "data.subset.fraction", "train.epochs"
TOLD = 4
"""Names of what is not drawn."""
GOES_ALONG = ("data.subset.", "seeds.subset")
Line = dict[Fraction, Family]
"""Families that differ in the share of images, by it."""


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    metric: str = "test.accuracy"
    """As a run's manifest names it; accuracies are shown in percent."""
    levels: tuple[float, ...] = ()
    """Sparsities in percent, of each the nearest level; 0 is the dense net. None: those that several shares
    have, at most twelve that lie about equally far apart."""

    def __post_init__(self) -> None:
        """Refuse what is no sparsity.

        Raises:
            UsageError: not in [0, 100).
        """
        check_levels(self.levels, "figures.few-shot.levels")


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set.

    Raises:
        NothingError: no nets that were trained alike on different shares of the training images.
    """
    ladders = [one for one in shelf.families if not one.is_dense and share_of(one) is not None]
    found = []
    for part, where, mine in by_place(ladders):
        panels = {
            name: (line, rows)
            for name, line in _lines(mine).items()
            if (rows := [*_rows(name, line, params)])
        }
        left = _alone(mine, panels)
        found += [
            (part, where, {name: panels[name] for name in few}, left) for few in split([*panels], PANELS)
        ]
    if not found:
        raise NothingError(
            "no tickets trained alike on different shares of the images; "
            f"run: ticketctl spend {shelf.ticket} --set {SHARE}=0.1"
        )
    for (_, where, panels, left), part in zip(found, parts(part or "all" for part, *_ in found), strict=True):
        sheet = _sheet(where, panels, params.metric, "" if len(found) == 1 else part)
        yield replace(sheet, notes=(*sheet.notes, *left))


def _alone(families: Sequence[Family], panels: Mapping[str, tuple[Line, object]]) -> list[str]:
    """What is to be said of those that are in no line."""
    there = {family for line, _ in panels.values() for family in line.values()}
    names = [short(one) for one in families if one not in there]
    more = ", ..." if len(names) > TOLD else ""
    return (
        [f"{len(names)} not drawn, alike on no other share: {', '.join(names[:TOLD])}{more}"] if names else []
    )


def share_of(family: Family) -> Fraction | None:
    """Of the training images, in (0, 1]; None where they were picked by number, by forgetting or otherwise."""
    settings = family.nets[0].settings
    known = [key for key in settings if key.startswith("data.subset.")]
    if not known and not any(key.startswith("data.drop.") for key in settings):
        return Fraction(1)
    if settings.get("data.subset.pick", "random") != "random" or SHARE not in settings:
        return None
    try:
        return Fraction(settings[SHARE])
    except (ValueError, ZeroDivisionError):
        return None


def _lines(families: Sequence[Family]) -> dict[str, Line]:
    """By what a panel is called: families alike in all but the share of images, of two shares at least."""
    alike: dict[tuple[object, ...], list[Family]] = {}
    for family in families:
        alike.setdefault((family.method, family.control, family.tweaks, _rest(family.nets[0])), []).append(
            family
        )
    lines = [line for mine in alike.values() for line in _apart(mine)]
    several = [line for line in lines if len(line) > 1]
    names = [_called(line) for line in several]
    own = [
        name if names.count(name) == 1 else short(line[max(line)])
        for name, line in zip(names, several, strict=True)
    ]
    return dict(zip(own, several, strict=True))


def _apart(families: Sequence[Family]) -> list[Line]:
    """As few lines as hold one family of each share; in the first those of the epochs that most of them have."""
    lines: list[Line] = []
    counts = Counter(map(_epochs, families))
    for family in sorted(families, key=lambda one: -counts[_epochs(one)]):
        share = share_of(family) or Fraction(1)
        free = next((line for line in lines if share not in line), None)
        if free is None:
            lines.append(free := {})
        free[share] = family
    return lines


def _epochs(family: Family) -> str:
    return family.nets[0].settings.get(EPOCHS, "?")


def _rest(net: Net) -> tuple[tuple[str, str], ...]:
    """The settings that do not go with the share; the epochs of the search, which are told where they are others."""
    settings = net.settings
    kept = {key: value for key, value in settings.items() if not key.startswith(GOES_ALONG) and key != EPOCHS}
    kept[f"search.{EPOCHS}"] = settings.get(f"search.{EPOCHS}", settings.get(EPOCHS, ""))
    return tuple(sorted(kept.items()))


def _called(line: Line) -> str:
    """The label of the largest share without what goes with the share."""
    words = short(line[max(line)]).split(", ")
    return ", ".join(
        word for word in words if not word.startswith(("fraction=", "subset=", "epochs=", "pick="))
    )


def _rows(panel: str, line: Line, params: Params) -> Iterator[tuple[Cell, ...]]:
    value = reading(params.metric)
    levels = {share: dict(_levels(line[share], params.levels)) for share in sorted(line)}
    names = dict.fromkeys(name for share in sorted(line, reverse=True) for name in levels[share])
    order = sorted(
        names, key=lambda name: -max(mine[name].density for mine in levels.values() if name in mine)
    )
    lines = [rows for name in order if len(rows := [*_points(panel, name, levels, value)]) > 1]
    for rows in spread(lines, SERIES):
        yield from rows


def _levels(family: Family, wanted: Sequence[float]) -> list[tuple[str, Group]]:
    return levels_of(family, wanted or [0.0, *(group.sparsity for group in family.groups)])


def _points(
    panel: str, name: str, levels: Mapping[Fraction, Mapping[str, Group]], value: Value
) -> Iterator[tuple[Cell, ...]]:
    for share, mine in levels.items():
        stat = mine[name].stat(value) if name in mine else None
        if stat:
            yield row_of(name, float(100 * share), stat, panel=panel)


def _sheet(
    where: str, panels: Mapping[str, tuple[Line, list[tuple[Cell, ...]]]], metric: str, part: str
) -> Sheet:
    name, unit = metric.replace(".", " "), unit_of(metric)
    alone = len(panels) == 1
    rows = [("" if alone else row[0], *row[1:]) for _, mine in panels.values() for row in mine]
    families = [family for line, _ in panels.values() for family in line.values()]
    nets = [
        net for family in families for net in [*(family.dense.nets if family.dense else ()), *family.nets]
    ]
    epochs = sorted({(share, _epochs(one)) for line, _ in panels.values() for share, one in line.items()})
    notes = [*said(rows, nets)]
    if len({count for _, count in epochs}) > 1:
        told = ", ".join(f"{count} at {float(100 * share):g} %" for share, count in epochs)
        notes.append(f"epochs, each a pass over the images that are left: {told}")
    head = f": {next(iter(panels))}" if alone else ""
    return Sheet(
        "few-shot", "lines", f"{where}{head}: {name} against the share of training images",
        Axis("training images", "%", "log"), Axis(name, unit), tuple(rows), part,
        notes=tuple(notes), sources=ids(nets),
    )  # fmt: skip
