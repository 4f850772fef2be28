"""What stored probes, transfers and interpolations say of a run or of the ticket behind it. No torch.

`probe.ROW`, `transfer.ROW` and `interpolate.ROW` are rows of such reports, or entries of their arrays, as
`probe.compression-position/table.3.2`. Those of trained nets lie with the run, those of a ticket before training, and
of its twins, with the ticket; a path lies with the net that was named first or, of a ladder's levels, with the ticket.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ticketctl.artifacts.report import MetricRow, Report
from ticketctl.artifacts.ticket import MANIFEST, Ticket, open_ticket
from ticketctl.stages.kept import epoch_near
from ticketctl.stages.measured import Reading
from ticketctl.stages.report_wants import TWINS, ExploreWants, explore_wants
from ticketctl.stages.spared import Faults, sound
from ticketctl.stages.stored import Shelf, Stored, words_of
from ticketctl.stages.subjects import Subject, ticket_beside
from ticketctl.stages.whereabouts import Whose, found, of_several

_ENTRY = re.compile(r"([^/]+/.+?)((?:\.[0-9]{1,6})+)")
MANY = "barrier"
"""What a report of several paths has of each: `barrier@A:B`."""


@dataclass(frozen=True, eq=False)
class Explorations(Stored):
    """The reports of one kind, about a run or the ticket behind it."""

    wants: ExploreWants | None
    reading: Reading
    level: int
    """Of the run."""
    root: int
    """The seed of its draw."""
    epoch: int | None = None
    """Of the weights that are meant, where the reading is at a share of the training; None: it kept none there."""

    @property
    def known(self) -> set[str]:
        """The metrics that may be asked for."""
        return {f"{self.reading.kind}.{row.name}" for report in self.reports for row in report.metrics}

    def value(self, metric: str) -> float | None:
        """`probe.ROW` and its like; None where it was not measured under these keys."""
        told = self._found(metric)
        return None if told is None else told[1].value

    def whole(self) -> Report | None:
        """The newest that has all that the recipe asks for, under its keys, of this level alone."""
        alone = replace(self, reports=tuple(one for one in self.reports if not of_several(one, self.reading)))
        return super(Explorations, alone).whole()

    def why(self, metric: str = "") -> str:
        """Why there is no such value, or no whole report."""
        name, kind = metric.partition(".")[2], self.reading.kind
        if self.reading.at is not None and self.epoch is None:
            return f"its weights after {self._share} of its training were not kept (keep.epochs)"
        if not self.reports:
            return f"no {kind} {_TOLD[self.reading.of]}{self._to}{self._after}; run: {self._way}"
        rows = self.rows(name)
        other = self.unlike([rows[0].metric] if rows else self.wants.chosen if self.wants else ())
        if other:
            return f"measured otherwise, {other}; run: {self._way}"
        if rows and rows[0].value is None:
            return f"{name} is {rows[0].status}: {rows[0].reason}"
        return f"no {name} in its {kind}"

    def words(self, metric: str) -> Mapping[str, Any] | None:
        """Under which keys, and on which images, the value was measured."""
        told = self._found(metric)
        if told is None:
            return None
        report, row = told
        plugins = "curves" if self.reading.kind == "interpolate" else "metrics"
        return words_of(report, row.metric, plugins, self.reading.kind)

    def _found(self, metric: str) -> tuple[Report, MetricRow] | None:
        name = metric.partition(".")[2]
        for report in self.reports:
            wanted = name
            if of_several(report, self.reading):
                wanted = f"{name}@level-{self.level - 1}:level-{self.level}" if name == MANY else ""
            for row in [*report.metrics, *_entry(report, wanted)]:
                if row.name == wanted and not self.other(report, row.metric):
                    return report, row
        return None

    @property
    def _to(self) -> str:
        return f" to {self.reading.to}" if self.reading.to else ""

    @property
    def _after(self) -> str:
        return "" if self.epoch is None else f" after epoch {self.epoch}"

    @property
    def _share(self) -> str:
        return "" if self.reading.at is None else f"{float(100 * self.reading.at):.3g} %"

    @property
    def _way(self) -> str:
        """About what to type."""
        reading, at = self.reading, f"{self.folder}"
        if reading.of in ("untrained", "permuted", "random-dense", "twins", "levels"):
            at = f"{ticket_beside(self.folder)} --level {self.level}"
        if reading.of == "levels":
            at = f"{ticket_beside(self.folder)} --level {self.level - 1},{self.level}"
        more = {"permuted": " --controls", "random-dense": " --controls", "twins": f" --twins {TWINS}",
                "retrained": f" --controls --seed {self.root}"}  # fmt: skip
        to = f" --to {reading.to or 'DATA'}" if reading.kind == "transfer" else ""
        recipe = f" --recipe {self.wants.name}" if self.wants else ""
        recipe += "" if self.epoch is None else f" --set {reading.kind}.epoch={self.epoch}"
        return f"ticketctl {reading.kind} {at}{to}{more.get(reading.of, '')}{recipe}"


_TOLD = {
    "trained": "of it", "untrained": "of its ticket before training", "permuted": "of its ticket with a permuted mask",
    "random-dense": "of the dense net as it was initialised", "retrained": "of a dense net trained on the target",
    "twins": f"between {TWINS} twins of its ticket", "levels": "from the level above to it",
    "before": "from the net that it went on from to it", "onset": "of the onset of its recipe",
}  # fmt: skip


OF_RUNS = ("trained", "before")
"""Readings of which every run has its own; those of a ticket are told of the run under its draw's seed, once."""


def with_explorations(
    subjects: Sequence[Subject], reading: Reading, damaged: Faults | None = None
) -> list[Subject]:
    """The same runs with what stored reports say of them; where a ticket is meant, those that stand for theirs alone.

    Args:
        subjects: any.
        reading: which reports.
        damaged: where the faults of damaged reports and tickets are put, which are as if not there; None: they raise.

    Raises:
        UsageError: there is no such recipe.
        ArtifactError: a report or ticket is damaged, and faults are not put elsewhere.
    """
    wants = None if reading.recipe is None else explore_wants(reading.recipe, reading.kind)
    shelf, tickets = Shelf(damaged=damaged), dict[Path, Ticket | None]()

    def ticket_of(folder: Path) -> Ticket | None:
        place = ticket_beside(folder)
        if place not in tickets:
            tickets[place] = _opened(place, damaged) if (place / MANIFEST).is_file() else None
        return tickets[place]

    def read(run: Subject) -> Subject:
        reports = found(Whose(run, ticket_of(run.folder), reading, shelf))
        own, at = run.manifest, reading.at
        epoch = None if at is None else epoch_near(own, at)
        return replace(
            run, stored=Explorations(run.folder, reports, wants, reading, own.level, run.seeds[0], epoch)
        )

    return [read(run) for run in subjects if reading.of in OF_RUNS or stands(run, ticket_of(run.folder))]


def _opened(place: Path, damaged: Faults | None) -> Ticket | None:
    return open_ticket(place) if damaged is None else next(iter(sound(open_ticket, [place], damaged)), None)


def stands(run: Subject, ticket: Ticket | None) -> bool:
    """Whether it is under the seed of its ticket's draw; others of a ticket are that one's again."""
    return ticket is None or run.manifest.seeds.get("root") == ticket.manifest.draw.seeds.get("root")


def _entry(report: Report, name: str) -> Iterator[MetricRow]:
    """`compression-position/table.3.2`: an entry of an array, where it is a number."""
    parts = _ENTRY.fullmatch(name)
    array, place = (parts[1], tuple(map(int, parts[2][1:].split(".")))) if parts else ("", ())
    values = report.arrays.get(array)
    inside = values is not None and len(place) == values.ndim
    if (
        values is not None
        and inside
        and all(one < size for one, size in zip(place, values.shape, strict=True))
    ):
        value, module = float(values[place]), array.partition("/")[0]
        sound = math.isfinite(value)
        yield MetricRow(
            name, module, "none", value if sound else None, None, 1, "done" if sound else "nan", "", {}
        )
