"""`ticketctl import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.devices import check
from ticketctl.cli.draw import show, ticket_record
from ticketctl.cli.output import note, print_json, print_line, visible

if TYPE_CHECKING:
    from ticketctl.artifacts.ticket import Ticket
    from ticketctl.stages.importing import Asked, Import

Source = Annotated[
    Path,
    typer.Argument(help="A file with a mask, or a run folder with one for each level.", show_default=False),
]
Dialect = Annotated[
    str | None, typer.Option(help="How the mask is written (ticketctl list dialects); else it is found out.")
]
Init = Annotated[
    str | None,
    typer.Option(
        help="Weights to start from: a file, or seed:N for new ones. Else those that came with the mask."
    ),
]
Names = Annotated[
    str | None,
    typer.Option(
        help="How its parameters are named: ours, torchvision, timm, pytorch-cifar, open-lth; else it is found out."
    ),
]


def import_(
    source: Source,
    model: opt.Model = None,
    data: opt.Data = None,
    dialect: Dialect = None,
    init: Init = None,
    names: Names = None,
    recipe: opt.RecipeName = None,
    set_: opt.Sets = None,
    device: opt.Device = "auto",
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    data_dir: opt.DataDir = None,
    offline: opt.Offline = False,
    dry_run: opt.DryRun = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Import a mask that another program wrote, as a ticket that can be spent and audited.

    Nothing in the file is run: what is a pickle is read as plain values by a child process under limits.

    Examples:

    ticketctl import mask.pth --init model_ep0_it0.pth --model resnet20 --data cifar10

    ticketctl import runs/lottery_1a2b/replicate_1 --model resnet20 --data cifar10

    ticketctl import masks.npz --init seed:0 --model lenet-300-100 --data mnist
    """
    from ticketctl.stages.importing import Asked, import_folder, import_recipe, imported
    from ticketctl.stages.request import Typed

    check(device)
    choice = import_recipe(Typed(model=model, data=data, recipe=recipe, sets=set_ or ()))
    asked = Asked(source, choice.recipe, dialect, init, names)
    folder = import_folder(asked, workspace)
    done = None if dry_run else imported(folder)
    for line in [*choice.notes, *(["this mask is already imported"] if done else [])]:
        note(line, quiet)
    _show(done or _made(asked, folder, device, workspace, data_dir, offline, dry_run, quiet), json)


def _made(
    asked: Asked,
    folder: Path,
    device: str,
    workspace: Path,
    data_dir: Path | None,
    offline: bool,
    dry_run: bool,
    quiet: bool,
) -> Ticket | dict[str, Any]:
    """The ticket, or what it would be."""
    from ticketctl.cli.context import surroundings

    with surroundings(device, data_dir, offline, quiet, None, workspace) as around:
        from ticketctl.stages.importing import read_import, write_import

        made = read_import(asked, around)
        note(f"dialect {made.dialect}: {'exact' if made.exact else 'LOSSY'}", quiet and made.exact)
        for line in made.notes:  # they change how the ticket is to be read
            note(line)
        return _plan(made, folder) if dry_run else write_import(made, asked, folder, around)


def _plan(made: Import, folder: Path) -> dict[str, Any]:
    return {
        "dialect": made.dialect,
        "exact": made.exact,
        "notes": list(made.notes),
        "start": made.role,
        "prunable": made.levels[0].size,
        "kept": [level.kept for level in made.levels],
        "folder": str(folder),
    }


def _show(made: Ticket | dict[str, Any], json: bool) -> None:
    if isinstance(made, dict):
        print_json(made) if json else _show_plan(made)
    elif json:
        print_json(ticket_record(made) | {"import": made.manifest.ext["ticketctl.import"]})
    else:
        show(made)


def _show_plan(plan: dict[str, Any]) -> None:
    levels = ", ".join(str(kept) for kept in plan["kept"][1:])
    print_line(
        f"dialect  {plan['dialect']}, {'exact' if plan['exact'] else 'lossy'}; start: {plan['start']} weights"
    )
    print_line(f"keeps    {levels} of {plan['prunable']} weights, at levels 1 to {len(plan['kept']) - 1}")
    print_line(visible(f"writes   {plan['folder']}"))
