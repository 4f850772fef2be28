"""`ticketctl audit`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticketctl.cli import complete
from ticketctl.cli import options as opt
from ticketctl.cli.audited import Measured, as_record, show_audits, show_compact, show_plan
from ticketctl.cli.devices import check
from ticketctl.errors import MismatchError, UsageError

if TYPE_CHECKING:
    from ticketctl.artifacts.run import Run
    from ticketctl.stages.audit import Audit
    from ticketctl.stages.examined import Wanted
    from ticketctl.stages.judged import Case
    from ticketctl.stages.setting import Surroundings
    from ticketctl.stages.sources import Shelf

Nets = Annotated[
    list[str] | None,
    opt.nets(
        "Path, id prefix or name of a run, a folder that holds runs, or several. Default: newest.",
        complete.runs,
        "RUN",
    ),
]
Metrics = Annotated[
    str | None, opt.metrics("What to measure (ticketctl list metrics): ece,nll. Default: all.")
]
Against = Annotated[
    str | None,
    typer.Option(
        help="Judge against this too: dense (each run's own dense net), or a run or folder of runs, one of each seed.",
        autocompletion=complete.runs,
    ),
]
Recheck = Annotated[
    Path | None,
    typer.Option(help="Judge a verdict's folder again from the reports in it, and audit nothing."),
]
Compact = Annotated[
    bool,
    typer.Option("--compact", help="Also write the net without channels that nothing reads: RUN/compact/."),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="A first look: the recipe audit/quick, 512 images a set.")
]
Full = Annotated[bool, typer.Option("--full", help="Everything at length: the recipe audit/full.")]
Seed = Annotated[
    int, typer.Option(min=0, max=opt.MOST_SEED, help="Of subsets, noise, corruptions, attacks, resamplings.")
]


@opt.spread
def audit(
    runs: Nets = None,
    against: Against = None,
    metrics: Metrics = None,
    quick: Quick = False,
    full: Full = False,
    recipe: opt.RecipeName = None,
    set_: opt.Sets = None,
    seed: Seed = 0,
    recheck: Recheck = None,
    compact: Compact = False,
    *,
    at: opt.Site,
) -> None:
    """Audit a trained net on what accuracy hides; every value with its standard error.

    What the net says to each set of images is asked once and kept beside the run, in float32 and evaluation mode; the
    report lies there too, and what was measured before is not measured again.

    With --against every run is also held against its dense net, by paper 004's rule: exit 1 unless all pass.

    Examples:

    ticketctl audit --quick

    ticketctl audit resnet20s-cifar10/imp-1a2b3c4d --against dense

    ticketctl audit --metrics ece,nll --set metrics.ece.bins=14 --set audit.ood=[\"noise\"]
    """
    from ticketctl.stages.examined import wanted

    check(at.device)
    if recheck is not None:
        odd = runs or against or metrics or quick or full or recipe or set_ or compact
        _recheck(recheck, bool(odd), at.json)
        return
    asked = wanted(metrics, tuple(set_ or ()), at.data, _recipe(quick, full, recipe))
    todo = _todo(runs or [], against, at.workspace)
    from ticketctl.cli.context import measuring

    with measuring(at) as around:
        if at.dry_run:
            show_plan([_plan(run, asked, seed, around) for run in todo.runs], at.json)
            return
        found = _measured(todo.runs, asked, seed, around)
        if compact:
            found = [replace(one, compact=_compact(one.run, asked, around)) for one in found]
    if against is None:
        show_audits(found, at.json)
    else:
        _judge(todo.cases, found, asked, at.workspace, at.json)


@dataclass(frozen=True)
class _Todo:
    """The runs to audit, and what of them is judged."""

    runs: list[Run]
    cases: list[Case]


def _todo(names: list[str], against: str | None, workspace: Path) -> _Todo:
    from ticketctl.artifacts.run import open_run
    from ticketctl.stages.examined import folders_of

    folders = folders_of(names, workspace)
    if against is None:
        return _Todo([open_run(folder) for folder in folders], [])
    from ticketctl.stages.judged import cases
    from ticketctl.stages.lineage import check_judged

    reference = against if against == "dense" else _reference(against, workspace)
    found = cases([str(folder) for folder in folders], reference, workspace)
    needed = dict.fromkeys(folder for case in found for folder in case.folders())
    todo = _Todo([open_run(folder) for folder in needed], found)
    _check_data(todo.runs)
    check_judged(todo.runs)
    return todo


def _check_data(runs: list[Run]) -> None:
    """Refuse before anything is measured what no verdict is given on."""
    first = runs[0]
    for run in runs:
        if run.manifest.data.fingerprint != first.manifest.data.fingerprint:
            raise MismatchError(
                f"{run.folder} was trained on {run.manifest.data.name} with other content than {first.folder} "
                f"({first.manifest.data.name}); a verdict is over nets of one data set"
            )


def _reference(against: str, workspace: Path) -> str:
    """The folder that a name of a run means; of runs in a folder, the name itself."""
    from ticketctl.stages.examined import folders_of

    folders = folders_of([against], workspace)
    return str(folders[0]) if len(folders) == 1 else against


def _judge(cases: list[Case], found: list[Measured], asked: Wanted, workspace: Path, json: bool) -> None:
    from ticketctl.artifacts.verdict import write_verdict
    from ticketctl.cli.verdict import show_verdict
    from ticketctl.stages.judged import nets
    from ticketctl.stages.lineage import judged
    from ticketctl.stages.verdict import judge

    reports = {one.run.folder: one.report for one in found}
    verdict = judge(nets(cases, lambda folder: reports[folder]), asked.recipe.verdict)
    folder = write_verdict(workspace / "verdicts", verdict, [one.file for one in found])
    judged(folder, verdict, [(one.report, one.run) for one in found])
    for one in () if json else found:
        show_compact(one)
    show_verdict(verdict, json, folder, runs=[as_record(one) for one in found] if json else None)


def _recheck(path: Path, other: bool, json: bool) -> None:
    from ticketctl.cli.verdict import recheck

    if other:
        raise UsageError(
            "--recheck measures nothing, and judges by the verdict's own rule: name its folder alone"
        )
    recheck(path, json)


def _recipe(quick: bool, full: bool, recipe: str | None) -> str | None:
    """The one recipe that was asked for."""
    named = [name for name, asked in (("audit/quick", quick), ("audit/full", full)) if asked]
    named += [recipe] if recipe is not None else []
    if len(named) > 1:
        raise UsageError(
            f"{' and '.join(named)}: an audit has one recipe; --quick and --full stand for recipes"
        )
    return named[0] if named else None


def _asked(run: Run, asked: Wanted, seed: int, around: Surroundings, shelf: Shelf | None = None) -> Audit:
    from ticketctl.seeds import Seeds
    from ticketctl.stages.audit import Audit
    from ticketctl.stages.shown import shown
    from ticketctl.stages.subject import subject_of

    subject, seeds = subject_of(run, asked.sets, around), Seeds(seed)
    known = shown(subject, asked.recipe.audit, seeds, around, shelf, asked.needs)
    return Audit(subject, asked, known, seeds)


def _measured(runs: list[Run], asked: Wanted, seed: int, around: Surroundings) -> list[Measured]:
    """Every run; several are shown the same corrupted images, made once. Arrays that no verdict reads are let go."""
    from ticketctl.artifacts.verdict import lean
    from ticketctl.stages.audit import audit as measure
    from ticketctl.stages.sources import Shelf

    shelf, found = Shelf() if len(runs) > 1 else None, []
    for number, run in enumerate(runs, start=1):
        turn = f"[{number}/{len(runs)}] " if len(runs) > 1 else ""
        report = measure(_asked(run, asked, seed, around, shelf), turn)
        found.append(Measured(run, lean(report), run.folder / report.file_name, None))
    return found


def _compact(run: Run, asked: Wanted, around: Surroundings) -> Path:
    from ticketctl.stages.compact import write_compact
    from ticketctl.stages.subject import subject_of

    return write_compact(subject_of(run, asked.sets, around))


def _plan(
    run: Run, asked: Wanted, seed: int, around: Surroundings
) -> tuple[Run, Wanted, dict[str, float] | str]:
    """What each metric of a run would take in seconds, those left out that are there; or why that is not known."""
    from ticketctl.errors import OfflineError
    from ticketctl.stages.audit import parts_there, time_of

    try:
        found = _asked(run, asked, seed, around)
    except OfflineError as error:
        return run, asked, f"a dry run fetches nothing: {error}"
    found.params  # noqa: B018  # they are checked
    return run, asked, time_of(found, parts_there(found))
