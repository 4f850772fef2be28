"""What figures and pages are made of: the runs, tickets, reports and verdicts below some folders. No torch."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ticketctl.artifacts.run import MANIFEST as MANIFEST_OF_RUN
from ticketctl.artifacts.ticket import MANIFEST, Ticket, open_ticket
from ticketctl.artifacts.verdict import open_verdict
from ticketctl.artifacts.workspace import folder_of, resolve
from ticketctl.errors import UsageError
from ticketctl.figures.shelf import Drawn, Family, Keep, Paper, PaperCell, Shelf
from ticketctl.stages import compare
from ticketctl.stages.against import Line, against
from ticketctl.stages.course import LEVELS
from ticketctl.stages.families import families_of, is_ticket
from ticketctl.stages.papers import Table
from ticketctl.stages.report_wants import ONSET, table
from ticketctl.stages.reported import REPORTS, read_report
from ticketctl.stages.spared import Faults, sound
from ticketctl.stages.subjects import Subject, subjects_in, ticket_beside

VERDICT = "verdict.json"
"""A folder that holds it is a verdict."""
DEEP = 4
"""How far below a folder tickets are looked for."""


@dataclass(frozen=True)
class Gallery:
    """Everything below what was named: the shelf for figures, and the runs and tickets behind it."""

    shelf: Shelf
    subjects: tuple[Subject, ...]
    tickets: tuple[Ticket, ...]
    copies: int
    """Runs left out as copies of others."""


def gallery(
    names: Sequence[str], workspace: Path, *, table: Table | None = None, data: str | None = None
) -> Gallery:
    """The runs, tickets and verdicts below the named folders.

    What is damaged is left out, and told in the shelf's `damaged`: now a manifest, other files when they are read.

    Args:
        names: folders of runs, tickets or verdicts, or folders that hold such; none: all seeds of the newest draw.
        workspace: where names are looked for second.
        table: a paper's, to be held beside the runs.
        data: runs on this data set stand for the paper's.

    Raises:
        UsageError: no such folder, or nothing there.
        ArtifactError: nothing is there that is not damaged.
    """
    damaged: Faults = []
    names = names or [str(_newest(workspace))]
    roots = [_root(name, workspace) for name in names]
    places = [place for root in roots if root for place in _verdicts_in(root)]
    judged = (one.verdict for one in sound(open_verdict, places, damaged))
    verdicts = tuple(
        {one.verdict_id: one for one in judged}.values()
    )  # a workspace and one in it may be named
    here = [root for root in roots if root and not (root / VERDICT).is_file()]
    folders = sorted({place for root in here for place in _tickets_below(root)})
    paths = (path for root in here for path in _loose(root))
    loose = tuple({one.id: one for one in sound(read_report, paths, damaged)}.values())
    bare = bool(folders or verdicts or loose or damaged)
    subjects, copies = _runs(names, roots, workspace, damaged, bare=bare)
    folders = sorted(
        {*folders, *(place for run in subjects if is_ticket(place := ticket_beside(run.folder)))}
    )
    tickets = tuple(sound(open_ticket, folders, damaged))
    if damaged and not (subjects or tickets or verdicts or loose):
        raise damaged[0]
    groups = compare.grouped(subjects)
    families = families_of(groups, damaged)
    paper = _paper(table, against(table, groups, data=data, damaged=damaged)) if table else None
    drawn = _drawn(tickets, families, damaged)
    shelf = Shelf(families, drawn, verdicts, paper, shlex.join(names), loose, damaged)
    return Gallery(shelf, tuple(subjects), tickets, copies)


def _verdicts_in(root: Path) -> list[Path]:
    """The folder if it is a verdict, else those of verdicts right below it; in a workspace, where `audit` puts them."""
    inside = sorted(path.parent for at in ("", "verdicts/") for path in root.glob(f"{at}verdict-*/{VERDICT}"))
    return [root] if (root / VERDICT).is_file() else inside


def _newest(workspace: Path) -> Path:
    """The folder with all seeds of the newest draw."""
    return resolve(None, workspace)[0].folder.parent.parent


def _root(name: str, workspace: Path) -> Path | None:
    """The folder of that name, of a ticket that of its draw; None: there is none, which those who look for runs say.

    Raises:
        UsageError: an empty name, a file that is no manifest, a level of a ticket, or an id that is no single one.
    """
    if not name.strip():
        raise UsageError("a name is empty; leave it out for the newest draw (ticketctl list)")
    place = next((path for path in (Path(name), workspace / name) if path.exists()), None)
    if place is None:
        return _named_otherwise(name, workspace)
    if place.is_file() and place.name not in (MANIFEST, MANIFEST_OF_RUN, VERDICT):
        raise UsageError(f"{name} is a file; name the folder of runs, of a ticket or of a verdict")
    return _of_draw(place.parent if place.is_file() else place)


def _named_otherwise(name: str, workspace: Path) -> Path | None:
    """The place of what an id begins so, or of a part of a name."""
    if re.fullmatch(r"(tk1|rn1)[a-z2-7]*", name):
        return _of_draw(folder_of(name, workspace)[0])
    if "@" in name:
        bare = name.rpartition("@")[0]
        raise UsageError(f"{name}: whole tickets are drawn; name {bare}, and levels by a figure's keys")
    with suppress(UsageError):
        return _of_draw(folder_of(name, workspace)[0])
    return None


def _of_draw(folder: Path) -> Path:
    """Of a ticket in its place the folder of its draw; one that was moved stands alone."""
    return folder.parent if folder.name == "ticket" and is_ticket(folder) else folder


def _runs(
    names: Sequence[str], roots: Sequence[Path | None], workspace: Path, damaged: Faults, *, bare: bool
) -> tuple[list[Subject], int]:
    """The runs, as `subjects_in` finds them; none are needed where tickets or verdicts were named."""
    wanted = [
        str(root or name)
        for name, root in zip(names, roots, strict=True)
        if not root or not (root / VERDICT).is_file()
    ]
    try:
        return subjects_in(wanted, workspace, damaged) if wanted else ([], 0)
    except UsageError:
        if not (bare and all(root is not None for root in roots)):
            raise
        rest = [name for name in wanted if _has_runs(name, workspace)]
        return subjects_in(rest, workspace, damaged) if rest else ([], 0)


def _has_runs(name: str, workspace: Path) -> bool:
    """Whether there is a run, where others have tickets, verdicts or an onset alone."""
    try:
        subjects_in([name], workspace, [])
    except UsageError:
        return False
    return True


def _tickets_below(root: Path) -> Iterator[Path]:
    """Tickets at a folder or below it; those of controls, which belong to another, come with their runs."""
    if is_ticket(root):
        yield root.resolve()
        return
    for depth in range(DEEP):
        for path in root.glob(f"{'*/' * depth}ticket/{MANIFEST}"):
            if "controls" not in path.relative_to(root).parts:
                yield path.parent.resolve()


def _loose(root: Path) -> Iterator[Path]:
    """Onsets of stability of nets that were never drawn, at a folder or below it: beside them lies no run."""
    for depth in range(DEEP):
        for path in sorted(root.glob(f"{'*/' * depth}{REPORTS}/interpolate-*.zarr.zip")):
            own = path.resolve().parent.parent
            if own.parent.name.startswith(f"{ONSET}-") and not (own / MANIFEST_OF_RUN).is_file():
                yield path


# ----------------------------------------------------------------------------------------------------------- tickets


def _drawn(tickets: Iterable[Ticket], families: Sequence[Family], damaged: Faults) -> tuple[Drawn, ...]:
    """Each ticket once; labelled as the family of the runs that its draw trained, if there are such."""
    unique = {one.manifest.ticket_id: one for one in tickets}
    plain = [(net, family.label) for family in families if not family.tweaks for net in family.nets]
    plain.sort(key=lambda one: "/levels/" in one[0].place)  # the last counts: what the draw itself trained
    known = {net.ticket: label for net, label in plain if net.ticket != "dense"}
    found_ = sound(lambda one: _ticket(one, known), unique.values(), damaged)
    return tuple(sorted(found_, key=lambda one: (one.net, one.data, one.label, one.seed)))


def _ticket(ticket: Ticket, known: Mapping[str, str]) -> Drawn:
    said = ticket.manifest
    ladder = cache(ticket.ladder)  # decoded once, not for every level

    @cache
    def keep(level: int) -> Keep:
        rungs = None if level == said.level else ladder()
        return ticket.mask(level) if rungs is None else rungs.mask(level)

    own = known.get(said.ticket_id) or known.get(ticket.ticket_id_at(None))
    control = said.control.kind if said.control else ""
    method = said.draw.method
    return Drawn(
        id=said.ticket_id,
        label=own or (f"{method} ({control})" if control else method),
        net=said.arch.name,
        data=said.draw.data.name,
        method=method,
        control=control,
        seed=int(said.draw.seeds.get("root", 0)),
        kept=ticket.kept_by_level(),
        prunable=said.mask.prunable,
        layers={name: one.shape for name, one in keep(said.level).items()},
        keep=keep,
        facts={str(level.level): level.model_dump(mode="json") for level in said.draw.levels},
        notes=table(said.ext.get(LEVELS)),
    )


# ------------------------------------------------------------------------------------------------------------ papers


def _paper(table: Table, lines: Sequence[Line]) -> Paper:
    """Every cell once, with the runs that are most like the paper's."""
    first: dict[int, Line] = {}
    for line in lines:
        first.setdefault(id(line.cell), line)
    cells = tuple(_cell(line) for line in first.values())
    pairs = ((line.group.data, line.kind[1]) for line in first.values() if line.group)
    data = next(((ours, theirs) for ours, theirs in pairs if ours != theirs), None)
    return Paper(table.spec, table.title, table.seeds, cells, data)


def _cell(line: Line) -> PaperCell:
    cell = line.cell

    def number(value: Any) -> float | None:
        return None if value is None else float(value)

    runs = line.group.finite if line.group and line.ours is not None else ()
    return PaperCell(
        cell.row, cell.column, cell.metric, cell.unit, number(cell.sparsity), number(cell.value),
        number(cell.deviation), line.ours, line.deviation, line.n, tuple(run.manifest.run_id for run in runs),
        line.differs if runs else (),
    )  # fmt: skip
