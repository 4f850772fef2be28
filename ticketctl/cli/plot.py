"""`ticketctl plot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.combinations import Sweep, refuse, shown
from ticketctl.cli.complete import figures, things
from ticketctl.cli.output import note, print_json, print_line, print_table
from ticketctl.cli.signals import Stop
from ticketctl.errors import UsageError, listed

if TYPE_CHECKING:
    from ticketctl.figures.sheet import Sheet
    from ticketctl.figures.shelf import Shelf
    from ticketctl.stages.gallery import Gallery
    from ticketctl.stages.plot import Drawing, Wanted

Things = Annotated[
    list[str] | None,
    typer.Argument(
        help="Folders of runs, tickets or verdicts, or that hold such. Default: all seeds of the newest draw.",
        autocompletion=things,
    ),
]
Figure = Annotated[
    str | None,
    typer.Option(
        "--figure",
        help="Figures by name, with commas (ticketctl list figures). Default: all that these artifacts can feed.",
        autocompletion=figures,
    ),
]
Paper = Annotated[
    str | None, typer.Option(help="A table of a paper beside the runs (ticketctl recipes --tables): 001:A2.")
]
Data = Annotated[str | None, typer.Option(help="With --paper: runs on this data set stand for the paper's.")]
Kinds = Annotated[str, typer.Option("--format", help="Files of each figure, with commas: svg, pdf, png.")]
Out = Annotated[Path, typer.Option(help="Folder for the files.")]


def plot(
    what: Things = None,
    figure: Figure = None,
    paper: Paper = None,
    data: Data = None,
    kinds: Kinds = "svg",
    out: Out = Path("figures"),
    sweep: Sweep = None,
    sets: opt.FigureSets = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Draw figures out of artifacts: all that they can feed, or those that are named.

    Each figure is written with a CSV of what is drawn. Equal artifacts give equal bytes. Runs that differ in nothing
    but seeds are one line: their mean, and a band of one sample deviation. Nothing is trained or measured: what is
    missing, a named figure tells with the command that makes it. Keys of a figure: --set figures.NAME.KEY=VALUE.

    Examples:

    ticketctl plot

    ticketctl plot runs/resnet18-cifar100 --figure accuracy-sparsity,radar --format pdf

    ticketctl plot runs/resnet18-cifar100 --paper 001:A2 --figure paper

    ticketctl plot --sweep newest --figure sweep-axes,sweep-ranks
    """
    if paper is None and data is not None:
        raise UsageError("--data goes with --paper, such as --paper 001:A2")
    stop = Stop("stopped; what is written is whole").install()
    from ticketctl.stages.plot import wanted

    asked = wanted(figure, sets or [], kinds)
    if sweep is not None:
        refuse(WHAT=what, __paper=paper)
        found = _of_sweep(sweep, workspace, quiet)
    else:
        found = _found(what or [], workspace, paper, data)
    if not what and sweep is None:
        note(f"of {found.shelf.place}", quiet)
    _draw(found, asked, out, stop, json=json, quiet=quiet)


def _draw(found: Gallery, asked: Wanted, out: Path, stop: Stop, *, json: bool, quiet: bool) -> None:
    from ticketctl.stages.plot import draw, write

    drawing = draw(found.shelf, asked, stop.leave)
    faults = tell_damaged(found.shelf)
    if not drawing.sheets:
        raise UsageError(f"{found.shelf.place}: nothing to draw; {next(iter(drawing.without.values()))}")
    rows = []
    for place, (sheet, files) in enumerate(write(drawing.sheets, out, asked.kinds, stop.leave), 1):
        note(f"{place} of {len(drawing.sheets)}: {sheet.name}", quiet)
        rows.append((sheet, files))
    _show(rows, drawing, faults, json, quiet)


def tell_damaged(shelf: Shelf) -> list[str]:
    """A line on stderr for each damaged file that was left out, also where notes are not wanted; the lines."""
    from ticketctl.stages.spared import told

    faults = told(shelf.damaged)
    for fault in faults:
        note(f"damaged, left out: {fault}")
    return faults


def _of_sweep(name: str, workspace: Path, quiet: bool) -> Gallery:
    from ticketctl.stages.sweep_report import gallery_of

    return gallery_of(shown(name, workspace, quiet=quiet).whole)


def _found(what: list[str], workspace: Path, paper: str | None, data: str | None) -> Gallery:
    from ticketctl.stages.gallery import gallery
    from ticketctl.stages.papers import find_table

    table = find_table(paper) if paper is not None else None
    return gallery(what, workspace, table=table, data=data.partition(":")[0] if data else None)


def _show(
    rows: list[tuple[Sheet, list[Path]]], drawing: Drawing, faults: list[str], json: bool, quiet: bool
) -> None:
    if json:
        made = [_record(sheet, files) for sheet, files in rows]
        print_json({"figures": made, **not_whole(drawing), "damaged": faults})
        return
    print_table(["figure", "rows"], [[sheet.name, str(len(sheet.rows))] for sheet, _ in rows])
    ends = ", ".join(path.suffix[1:] for path in rows[0][1])
    print_line(f"in {rows[0][1][0].parent}: {ends} of each")
    tell(drawing, quiet)


def not_whole(drawing: Drawing) -> dict[str, Any]:
    """How many sheets there are of figures of which not all are drawn, and why there are none of others."""
    return {"fewer": dict(drawing.fewer), "without": dict(drawing.without)}


def tell(drawing: Drawing, quiet: bool) -> None:
    """Say which figures are not whole, and which there are not, with what would show them."""
    from ticketctl.stages.plot import SHEETS

    for name, count in drawing.fewer.items():
        note(f"{name}: {SHEETS} of {count} sheets; --figure {name} has all", quiet)
    if drawing.without:
        names = listed(list(drawing.without))
        note(f"nothing there for {names}; name one with --figure to see what makes it", quiet)


def _record(sheet: Sheet, files: list[Path]) -> dict[str, Any]:
    return {
        "figure": sheet.figure,
        "part": sheet.part or None,
        "title": sheet.title,
        "notes": list(sheet.notes),
        "sources": list(sheet.sources),
        "rows": len(sheet.rows),
        "files": [str(path) for path in files],
    }
