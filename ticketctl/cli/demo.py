"""`ticketctl demo`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.output import note, print_line, visible


def demo(
    workspace: Annotated[Path, typer.Option(help="Where the demo's ticket and runs go.")] = Path("runs"),
    quiet: opt.Quiet = False,
) -> None:
    """Draw a winning ticket from real images and spend it beside its controls: offline, under two minutes."""
    from ticketctl.cli.context import surroundings
    from ticketctl.cli.draw import show as show_draw
    from ticketctl.cli.spend import show
    from ticketctl.stages.finished import finished_draw
    from ticketctl.stages.request import Typed, draw_recipe, run_folder
    from ticketctl.stages.wallet import Wanted, prepare_spend

    choice = draw_recipe(Typed(density=Fraction(1, 50), controls=True))
    folder = run_folder(choice.recipe, 0, None, workspace)
    note(f"1/2  ticketctl draw --density 0.02 --controls          ({folder})", quiet)
    with surroundings("auto", None, True, quiet) as around:
        from ticketctl.stages.draw import draw
        from ticketctl.stages.spend import spend
        from ticketctl.stages.spent import table

        show_draw(finished_draw(choice.recipe, 0, folder) or draw(choice.recipe, 0, folder, around))
        note(f"2/2  ticketctl spend {folder} --controls --seed 0-2", quiet)
        chosen = prepare_spend(Wanted(str(folder), None, [0, 1, 2], True, workspace, Typed()))
        spent = list(spend(chosen.jobs, chosen.recipe, chosen.draw_seeds, around))
    show(table(spent))
    for path in sorted({str(one.run.folder.parent) for one in spent}):
        print_line(visible(f"runs in {path}"))
    print_line(visible(f"ticket in {folder / 'ticket'}"))
