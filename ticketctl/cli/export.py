"""`ticketctl export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.complete import forms, runs, things
from ticketctl.cli.output import note, print_json, print_line, visible
from ticketctl.errors import UsageError, listed

if TYPE_CHECKING:
    from ticketctl.artifacts.run import Run
    from ticketctl.artifacts.ticket import Ticket
    from ticketctl.stages.export import Exported

START = "start"

Thing = Annotated[
    str | None,
    typer.Argument(
        help="A ticket; or a run, for its trained weights. Default: the newest ticket.", autocompletion=things
    ),
]
As = Annotated[
    str | None,
    typer.Option(
        "--as",
        help="The form: torch-prune, open-lth, zeros, coo, npz, 2:4, onnx, onnx-sparse.",
        autocompletion=forms,
    ),
]
File = Annotated[Path | None, typer.Option("--out", help="The file to write; of --level all, a folder.")]
Level = Annotated[
    str | None,
    typer.Option(help="A level, or a sparsity; default: the deepest. With open-lth also all: a run folder."),
]
Weights = Annotated[
    str,
    typer.Option(
        help="start: those that the ticket starts from; or a run of this ticket, for its trained ones.",
        autocompletion=runs,
    ),
]


def export(
    thing: Thing = None,
    as_: As = None,
    out: File = None,
    level: Level = None,
    weights: Weights = START,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Write a ticket as other programs read it: its mask and its start weights, or the weights of a run.

    Examples:

    ticketctl export --as torch-prune --out ticket.pth

    ticketctl export imp-1a2b3c4d --level 0.9 --as onnx-sparse --weights RUN --out net.onnx

    ticketctl export --as open-lth --level all --out lottery_1a2b/replicate_1
    """
    from ticketctl.cli.inspect import find
    from ticketctl.stages.forms import FORMS

    if as_ not in FORMS:
        raise UsageError(
            f"{'--as FORM' if as_ is None else f'--as {as_}'}: write one of {listed([*FORMS], 20)}"
        )
    if out is None:
        raise UsageError(f"--out: name the file to write, such as ticket{FORMS[as_].endings[0]}")
    found, at = find(thing, None if level == "all" else level, workspace)
    if level == "all":
        done = _ladder(found, at, as_, weights, out)
    else:
        done = _one(found, at, as_, weights, out, workspace, quiet)
    _show(done, json, quiet)


def _ladder(found: Ticket | Run, at: int | None, form: str, weights: str, out: Path) -> Exported:
    from ticketctl.artifacts.run import Run
    from ticketctl.stages.export import export_ladder

    if form != "open-lth":
        raise UsageError(
            f"--level all is for open-lth, whose runs are folders; a file of {form} holds one level"
        )
    if isinstance(found, Run) or at is not None or weights != START:
        raise UsageError("--level all takes a whole ticket with the weights that it starts from")
    return export_ladder(found, out)


def _one(
    found: Ticket | Run, at: int | None, form: str, weights: str, out: Path, workspace: Path, quiet: bool
) -> Exported:
    from ticketctl.artifacts.run import Run
    from ticketctl.artifacts.workspace import resolve_run
    from ticketctl.cli.context import surroundings

    if isinstance(found, Run) and weights != START:
        raise UsageError(
            f"{found.folder} is a run with weights of its own; leave --weights out, or name its ticket"
        )
    trained = None if weights == START else resolve_run(weights, workspace)
    with surroundings("cpu", None, True, quiet, None, workspace) as around:
        from ticketctl.stages.export import export as write

        return write(found, form, out, around, at, trained)


def _show(done: Exported, json: bool, quiet: bool) -> None:
    from ticketctl.stages.export import SPEED

    source = done.source
    kept, total = source.counts
    if json:
        print_json(_record(done))
        return
    for line in done.notes:
        note(line)
    note(SPEED, quiet)
    if not done.made:
        note("this very file was there", quiet)
    share = f"{kept} of {total} weights kept, density {kept / total:.4f}" if total else "no mask"
    which = f"level {source.level}" if len(done.files) == 1 else f"levels 0 to {source.level}"
    print_line(visible(f"ticket   {source.ticket}, {which}: {share}"))
    print_line(visible(f"weights  {source.told if _has_weights(done) else 'none: masks alone'}"))
    place = (
        done.files[0] if len(done.files) == 1 else f"{done.files[-1].parents[2]} ({len(done.files)} files)"
    )
    print_line(visible(f"wrote    {place}, {done.form}, {done.size:,} bytes"))


def _has_weights(done: Exported) -> bool:
    from ticketctl.stages.forms import FORMS

    return FORMS[done.form].weights or len(done.files) > 1


def _record(done: Exported) -> dict[str, Any]:
    source = done.source
    return {
        "form": done.form,
        "files": [str(path) for path in done.files],
        "bytes": done.size,
        "made": done.made,
        "ticket": source.ticket,
        "level": source.level,
        "kept": source.counts[0],
        "prunable": source.counts[1],
        "weights": source.told if _has_weights(done) else None,
        "run": source.run.manifest.run_id if source.run else None,
        "notes": list(done.notes),
    }
