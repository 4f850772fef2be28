"""Families of nets over densities, as figures take them, out of the runs below some folders. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from ticketctl.artifacts.report import Report
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.samples import FOLDER as SAMPLES
from ticketctl.artifacts.samples import LIMIT, Samples, decode_samples
from ticketctl.artifacts.ticket import MANIFEST, Ticket, open_ticket
from ticketctl.figures.alike import EPOCHS
from ticketctl.figures.shelf import Family, Group, Net
from ticketctl.stages import compare
from ticketctl.stages.explorations import OF_RUNS, stands
from ticketctl.stages.labels import labels_of
from ticketctl.stages.measured import Reading
from ticketctl.stages.otherwise import changes
from ticketctl.stages.rows import in_order
from ticketctl.stages.spared import Faults, once, sound, spared
from ticketctl.stages.stored import Shelf as Reports
from ticketctl.stages.subjects import Subject, ticket_beside
from ticketctl.stages.whereabouts import Whose, ends_of, epochs_of, found
from ticketctl.stages.winning import is_dense_of
from ticketctl.store.files import read_bytes


def is_ticket(folder: Path) -> bool:
    """Whether a ticket lies there."""
    return (folder / MANIFEST).is_file()


@dataclass
class _Reader:
    """Reads reports and tickets, each once."""

    damaged: Faults
    """Where the faults of damaged files are put."""
    reports: Reports
    tickets: dict[Path, Ticket | None] = field(default_factory=dict)

    def ticket(self, run: Subject) -> Ticket | None:
        """Beside a run."""
        place = ticket_beside(run.folder)
        if place not in self.tickets:
            opened = sound(open_ticket, [place] if is_ticket(place) else [], self.damaged)
            self.tickets[place] = opened[0] if opened else None
        return self.tickets[place]

    def of(self, run: Subject, kind: str, of: str) -> tuple[Report, ...]:
        """The reports of a kind, the newest first; those of the ticket are told of the run of its draw's seed alone."""
        ticket = self.ticket(run)
        if of == EPOCHS:
            return tuple(epochs_of(Whose(run, ticket, Reading(kind, None), self.reports)))
        if of not in (*OF_RUNS, "path") and not stands(run, ticket):
            return ()
        whose = Whose(run, ticket, Reading(kind, None, "trained" if of == "path" else of), self.reports)
        return _paths(whose) if of == "path" else found(whose)


def _paths(of: Whose) -> tuple[Report, ...]:
    """Interpolations between several nets, of which the run, or its ticket at its level, is the first."""
    mine = [one for one in of.mine if (ends := ends_of(one)) and of.is_end(ends[0])]
    beside = of.untrained(of.level, True) if stands(of.run, of.ticket) else iter(())
    return tuple(one for one in (*mine, *beside) if len(ends_of(one)) > 1)


def families_of(groups: Sequence[compare.Group], damaged: Faults) -> tuple[Family, ...]:
    """Groups that differ in nothing but density are one family, with what is told of each run.

    Args:
        groups: as `compare.grouped` makes them.
        damaged: where the faults of files are put that were asked for and are damaged: they are as if not there.
    """
    reader = _Reader(damaged, Reports(damaged=damaged))
    words = changes(groups)
    nets = {run.folder: _net(run, reader) for group in groups for run in group.runs}
    alike: dict[Any, list[compare.Group]] = {}
    for group in groups:
        key = (
            group.net,
            group.data,
            group.method,
            group.control,
            group.tweaks,
            tuple(sorted(group.settings.items())),
        )
        alike.setdefault(key, []).append(group)
    labels = labels_of(groups, words)
    own = {
        id(group): Group(float(group.density), tuple(nets[run.folder] for run in group.runs))
        for group in groups
    }

    apart = {id(group): word for group, word in zip(groups, words, strict=True)}

    def family(ladder: Sequence[compare.Group]) -> Family:
        first = ladder[0]
        dense = first if first.method == "dense" else _dense_of(first, groups)
        levels = tuple(own[id(one)] for one in ladder)
        return Family(
            labels[id(first)], apart[id(first)], first.net, first.data, first.method, first.control,
            in_order(first.tweaks), levels, own[id(dense)] if dense else None,
        )  # fmt: skip

    return tuple(family(ladder) for ladder in alike.values())


def _dense_of(ticket: compare.Group, groups: Sequence[compare.Group]) -> compare.Group | None:
    """The dense nets of the same training; where several stand for them, none."""
    dense = [group for group in groups if is_dense_of(group, ticket)]
    return dense[0] if len(dense) == 1 else None


def _net(run: Subject, reader: _Reader) -> Net:
    manifest, lost = run.manifest, reader.damaged
    opened = Run(run.folder, manifest)  # judged already; each file is checked when it is read
    return Net(
        id=manifest.run_id,
        ticket=manifest.ticket,
        level=manifest.level,
        density=float(run.density),
        seeds=run.seeds,
        diverged=run.diverged,
        values=_numbers(manifest.metrics),
        settings=run.settings,
        place=_typed(run.folder),
        series=spared(opened.series, None, lost),
        record=spared(lambda: {name: one.array() for name, one in (opened.record() or {}).items()}, {}, lost),
        mask=spared(opened.mask, None, lost),
        reports=once(lambda kind, of: reader.of(run, kind, of), lost),
        samples=spared(lambda name: _samples(run, name), None, lost),
    )


def _numbers(metrics: Mapping[str, str]) -> dict[str, float]:
    """Those that are finite."""
    found = {}
    for name, text in metrics.items():
        try:
            value = float(Fraction(text)) if "/" in text else float(text)
        except (ValueError, ZeroDivisionError, OverflowError):
            continue
        if math.isfinite(value):
            found[name] = value
    return found


def _samples(run: Subject, name: str) -> Samples | None:
    """What the run as it is now answered to a set of images."""
    path = run.folder / SAMPLES / f"{name}.safetensors"
    if not path.is_file():
        return None
    found_ = decode_samples(read_bytes(path, limit=LIMIT), where=str(path))
    return found_ if found_.subject == run.manifest.weights.digest else None


def _typed(folder: Path) -> str:
    """A folder as seen from here."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)
