"""`ticketctl report`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.combinations import Against, Axes, Metric, Sweep, alone, refuse, shown
from ticketctl.cli.output import note, print_json, print_line, visible
from ticketctl.cli.plot import Data, Figure, Paper, Things, not_whole, tell, tell_damaged
from ticketctl.errors import UsageError, listed

if TYPE_CHECKING:
    from ticketctl.figures.page.render import Rendered
    from ticketctl.figures.sheet import Sheet
    from ticketctl.stages.plot import Drawing
    from ticketctl.stages.sweep_report import Shown

Out = Annotated[Path, typer.Option(help="The file; a report or an empty file is replaced, and nothing else.")]
Title = Annotated[str | None, typer.Option(help="Heading of the page. Default: nets, data, methods.")]


def report(
    what: Things = None,
    figure: Figure = None,
    paper: Paper = None,
    data: Data = None,
    out: Out = Path("report.html"),
    title: Title = None,
    sweep: Sweep = None,
    against: Against = None,
    axes: Axes = None,
    metric: Metric = None,
    sets: opt.FigureSets = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Write one HTML page about tickets and runs: figures, tables, verdicts, and what makes every number again.

    The page needs no network and no script, is under 2 MB, and reads on a phone, in print and in the dark. Places,
    names and hosts of the machine do not stand on it. Equal artifacts give equal bytes. Nothing is trained or
    measured; a verdict is shown where its folder is named. Keys of a figure: --set figures.NAME.KEY=VALUE.

    With --sweep it is about all runs of a sweep: a map of methods by recipes with what is missing and what diverged,
    differences and tests, ranks, costs, failures by cause, and under each cell the commands that make it again.

    Examples:

    ticketctl report

    ticketctl report runs/resnet18-cifar100 runs/verdicts/verdict-vd1a2b --out resnet18.html

    ticketctl report --sweep newest --against method=imp
    """
    _ready(paper, data, out)
    told = {"json": json, "quiet": quiet}
    if axes is not None:
        _check_axes(axes)
    if sweep is not None:
        refuse(WHAT=what, __paper=paper)
        about = shown(sweep, workspace, metric, against, axes, quiet=quiet)
        _of_sweep(about, figure, sets or [], title, out, **told)
    else:
        alone(against=against, axes=axes, metric=metric)
        _of_runs(what or [], workspace, (figure, sets or []), (paper, data), title, out, **told)


def _check_axes(typed: str) -> None:
    """Refuse other than two: a map has rows and columns."""
    names = [name.strip() for name in typed.split(",")]
    if len({*names} - {""}) != 2 or len(names) != 2:
        raise UsageError(f"--axes {typed}: name two different axes, rows first, such as method,spend")


def _ready(paper: str | None, data: str | None, out: Path) -> None:
    """Refuse what cannot be before anything is read."""
    from ticketctl.stages.page import check_out, need_page

    if paper is None and data is not None:
        raise UsageError("--data goes with --paper, such as --paper 001:A2")
    need_page("report")
    check_out(out)


def _of_runs(
    what: list[str],
    workspace: Path,
    figures: tuple[str | None, list[str]],
    beside: tuple[str | None, str | None],
    title: str | None,
    out: Path,
    *,
    json: bool,
    quiet: bool,
) -> None:
    """Figures: by name, and their keys. Beside: a paper's table, and the data that stands for its own."""
    from ticketctl.stages.gallery import gallery
    from ticketctl.stages.page import Asked, page_of, places, write
    from ticketctl.stages.papers import find_table
    from ticketctl.stages.plot import draw, wanted

    asked, (paper, data) = wanted(*figures, "svg"), beside
    table = find_table(paper) if paper is not None else None
    found = gallery(what, workspace, table=table, data=data.partition(":")[0] if data else None)
    if not what:
        note(f"of {found.shelf.place}", quiet)
    drawing = draw(found.shelf, asked)
    typed = Asked(title, paper, data, tuple(figures[1]), places(workspace))
    written = write(page_of(found, drawing, typed, _told(len(drawing.sheets), quiet)), out)
    _show(written, out, drawing, tell_damaged(found.shelf), json, quiet)


def _of_sweep(
    about: Shown,
    figure: str | None,
    sets: list[str],
    title: str | None,
    out: Path,
    *,
    json: bool,
    quiet: bool,
) -> None:
    from ticketctl.stages.page import Asked, page_of, places, write
    from ticketctl.stages.plot import draw, wanted
    from ticketctl.stages.sweep_report import gallery_of, with_sweep

    sets = [*about.sets(wanted(figure, sets, "svg").figures), *sets]
    found = gallery_of(about.whole, about.metric)
    drawing = draw(found.shelf, wanted(figure, sets, "svg"))
    typed = Asked(title, None, None, tuple(sets), places(about.whole.plan.workspace), about.of)
    page = page_of(found, drawing, typed, _told(len(drawing.sheets), quiet))
    written = write(with_sweep(page, about, titled=title is not None), out)
    _show(written, out, drawing, tell_damaged(found.shelf), json, quiet)


def _told(count: int, quiet: bool) -> Callable[[Sheet], None]:
    """Says of each figure that it is painted."""
    done: list[str] = []

    def painted(sheet: Sheet) -> None:
        done.append(sheet.name)
        note(f"{len(done)} of {count}: {sheet.name}", quiet)

    return painted


def _show(written: Rendered, out: Path, drawing: Drawing, faults: list[str], json: bool, quiet: bool) -> None:
    shown = [sheet.name for sheet in drawing.sheets if sheet.name not in written.left_out]
    if json:
        record = {"file": str(out), "bytes": len(written.html), "figures": shown}
        more = {"left_out": list(written.left_out), **not_whole(drawing), "damaged": faults}
        print_json({**record, **more})
        return
    figures = "1 figure" if len(shown) == 1 else f"{len(shown)} figures"
    print_line(visible(f"{figures}, {len(written.html) / 1e6:.2f} MB, in {out}"))
    if written.left_out:
        note(f"no room on the page for {listed(list(written.left_out))}; ticketctl plot draws them", quiet)
    tell(drawing, quiet)
