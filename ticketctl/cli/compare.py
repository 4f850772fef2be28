"""`ticketctl compare`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.combinations import Against, Sweep, alone, refuse, show_sweep, show_table, swept
from ticketctl.cli.complete import things
from ticketctl.cli.groups import show_groups
from ticketctl.cli.output import note
from ticketctl.cli.paper import OutsideError, show_lines, show_nothing
from ticketctl.cli.tabular import FORMATS
from ticketctl.errors import UsageError, listed, near_miss

if TYPE_CHECKING:
    from ticketctl.stages.against import Line
    from ticketctl.stages.papers import Table
    from ticketctl.stages.subjects import Subject

SHOWN = ("table", "latex", "markdown")
"""Forms for people, where cells that no run could belong to are left out unless they are asked for."""

Runs = Annotated[
    list[str] | None,
    typer.Argument(
        help="Runs, or folders that hold runs: spends/, a draw's folder, the workspace.",
        autocompletion=things,
    ),
]
Paper = Annotated[str | None, typer.Option(help="A table of a paper (ticketctl recipes --tables): 001:A2.")]
Within = Annotated[
    float | None,
    typer.Option(help="Exit 1 if a mean lies more than this many points from the paper's."),
]
Metric = Annotated[
    str | None,
    typer.Option(
        help="What is compared: audit.ece, ratio.nll. Default: test.accuracy; with --paper the table says."
    ),
]
Data = Annotated[str | None, typer.Option(help="With --paper: runs on this data set stand for the paper's.")]
Format = Annotated[
    str | None, typer.Option("--format", help="table, csv, latex, markdown, json. Default: table.")
]
Missing = Annotated[
    bool, typer.Option("--missing", help="With --paper: also cells whose net, data or method nothing is of.")
]


def compare(
    runs: Runs = None,
    paper: Paper = None,
    within: Within = None,
    metric: Metric = None,
    data: Data = None,
    missing: Missing = False,
    sweep: Sweep = None,
    against: Against = None,
    format_: Format = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """Compare runs: means over seeds, differences paired by seed, and how far they are from a paper's table.

    Runs that differ in nothing but seeds are one row: mean, sample deviation, n; a diverged run is counted and never
    averaged. A row with tweaks is also compared with the same row without them, seed by seed: the mean difference and
    its 95 % interval by Student's t; runs without tweaks that the same spend left in other folders are added for that.
    Accuracies are percent, in CSV and JSON shares. With --within: exit 1 if it is exceeded, or nothing was compared.

    With --sweep: a row for each combination of a grid, with what is missing and what diverged, its difference from
    another (--against) paired by seed, tests of it, and the cost; of a paper's table, its cells.

    Examples:

    ticketctl compare runs/resnet18-cifar100

    ticketctl compare runs/resnet18-cifar100 --paper 001:A2 --within 1

    ticketctl compare --sweep newest --against method=imp
    """
    kind = _kind(format_, json)
    if sweep is not None:
        refuse(RUNS=runs, __paper=paper, __data=data, __missing=missing)
        _compare_sweep(sweep, workspace, metric, against, within, kind)
        return
    alone(against=against)
    _check(paper, within, metric, data, missing)
    if not runs:
        raise UsageError("name runs or folders that hold runs, or --sweep newest")
    _compare_runs(runs, workspace, (paper, data), within, metric, kind, missing=missing)


def _compare_runs(
    runs: list[str],
    workspace: Path,
    beside: tuple[str | None, str | None],
    within: float | None,
    metric: str | None,
    kind: str,
    *,
    missing: bool,
) -> None:
    """Beside: a paper's table, and the data that stands for its own."""
    from ticketctl.stages.papers import find_table
    from ticketctl.stages.subjects import subjects_in

    paper, data = beside
    table = find_table(paper) if paper is not None else None
    subjects, copies = subjects_in(runs, workspace)
    if copies:
        note(f"{copies} {'run is a copy' if copies == 1 else 'runs are copies'} of others, counted once")
    if table is None:
        _compare_groups(_with_partners(subjects), metric or "test.accuracy", kind)
    else:
        _compare_cells(table, subjects, _stand_in(data, subjects), within, kind, missing=missing)


def _compare_sweep(
    name: str, workspace: Path, metric: str | None, against: str | None, within: float | None, kind: str
) -> None:
    whole = swept(name, workspace, [metric] if metric else [])
    if whole.is_table and metric is None:
        refuse(__against=against)
        show_table(whole, kind, lambda lines: _verdict(lines, within))
    elif within is not None:
        raise UsageError("--within goes with a paper's table; this sweep is of a grid, or --metric was given")
    else:
        show_sweep(whole, against, metric or "test.accuracy", kind)


def _compare_groups(subjects: Sequence[Subject], metric: str, kind: str) -> None:
    from ticketctl.stages.compare import compare as compared
    from ticketctl.stages.compare import grouped
    from ticketctl.stages.measured import REPORTED

    if metric.partition(".")[0] in REPORTED:
        subjects = _read(subjects, metric)
    show_groups(compared(grouped(subjects), metric), metric, kind)


def _read(subjects: Sequence[Subject], metric: str) -> Sequence[Subject]:
    """The runs with their own reports, and a note on those that have no such value."""
    from ticketctl.stages.audits import refuse_mixed, with_audits
    from ticketctl.stages.explorations import with_explorations
    from ticketctl.stages.measured import EXPLORED, Reading

    kind = metric.partition(".")[0]
    found = with_explorations(subjects, Reading(kind, None)) if kind in EXPLORED else with_audits(subjects)
    refuse_mixed(found, metric)
    without = [run.stored for run in found if run.stored and run.value(metric) is None]
    if without:
        note(f"{_runs(without)} of {len(found)} without {metric}; the first: {without[0].why(metric)}")
    return found


def _compare_cells(
    table: Table,
    subjects: Sequence[Subject],
    data: str | None,
    within: float | None,
    kind: str,
    *,
    missing: bool,
) -> None:
    from ticketctl.stages.against import against, strangers
    from ticketctl.stages.compare import grouped

    groups = grouped(subjects)
    lines = against(table, groups, data=data)
    verdict = _verdict(lines, within)
    if all(line.group is None for line in lines):
        why = strangers(table, groups)
        if kind in SHOWN and not missing:
            show_nothing(why, verdict)
            return
        note(why)
    show_lines(table, lines, len(subjects), kind, verdict, missing=missing)


def _with_partners(subjects: Sequence[Subject]) -> list[Subject]:
    """The runs, and those without tweaks that the same spends left elsewhere, so that no pair is lost."""
    from ticketctl.stages.partners import partners

    found, damaged = partners(subjects)
    if found:
        places = _places({run.folder.parent for run in found})
        note(f"{_runs(found)} without tweaks compared too, as pairs of those with tweaks: in {places}")
    if damaged:
        note(f"{_runs(damaged)} beside them left out as damaged (ticketctl verify): {_places(damaged)}")
    return [*subjects, *found]


def _runs(some: Sequence[object]) -> str:
    return "1 run" if len(some) == 1 else f"{len(some)} runs"


def _places(folders: Iterable[Path]) -> str:
    """Folders as seen from here."""
    here = Path.cwd()
    return listed(
        sorted(str(path.relative_to(here) if path.is_relative_to(here) else path) for path in folders)
    )


def _kind(format_: str | None, json: bool) -> str:
    """The format that was asked for."""
    kind = format_ or ("json" if json else "table")
    if kind not in FORMATS:
        raise UsageError(f"--format {kind!r}: {near_miss(kind, FORMATS)}")
    if json and kind != "json":
        raise UsageError(f"--format {kind} and --json are two formats; give one of them")
    return kind


def _check(
    paper: str | None, within: float | None, metric: str | None, data: str | None, missing: bool
) -> None:
    """Refuse options that do not go together."""
    alone = {"within": within is not None, "data": data is not None, "missing": missing}
    if paper is None and any(alone.values()):
        first = next(name for name, given in alone.items() if given)
        raise UsageError(f"--{first} goes with --paper, such as --paper 001:A2")
    if paper is not None and metric is not None:
        raise UsageError("--metric goes without --paper: the table says what it reports")
    if within is not None and not (math.isfinite(within) and within >= 0):
        raise UsageError(f"--within {within}: write points of accuracy, such as 0.5")


def _stand_in(data: str | None, subjects: Sequence[Subject]) -> str | None:
    """The data set that stands for the paper's: one of the runs'; what stands behind a colon is its place."""
    name, known = data.partition(":")[0] if data else None, {run.data for run in subjects}
    if name is not None and name not in known:
        raise UsageError(f"--data {data}: no run is on it; {near_miss(name, known)}")
    return name


# ------------------------------------------------------------------------------------------------- a paper's table


def _verdict(lines: Sequence[Line], within: float | None) -> OutsideError | None:
    if within is None:
        return None
    compared = [line for line in lines if line.difference is not None and line.cell.unit == "percent"]
    if not compared:
        return OutsideError("no run belongs to a cell with a printed percentage: nothing was compared")
    far = [line for line in compared if abs(line.difference or 0) > within + 1e-9]
    if not far:
        return None
    worst = max(far, key=lambda line: abs(line.difference or 0))
    where = f"{worst.cell.row}, {worst.cell.column}: {worst.difference:+.2f}"
    return OutsideError(
        f"{len(far)} of {len(compared)} means lie more than {within:g} from the paper's, in points; farthest {where}"
    )
