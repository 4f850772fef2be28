"""`ticketctl mask`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.complete import tickets
from ticketctl.cli.output import note, print_json, print_line, visible
from ticketctl.errors import UsageError, near_miss

if TYPE_CHECKING:
    from ticketctl.stages.algebra import Result
    from ticketctl.stages.at_level import AtLevel


STEPS = ("cut", "intersect", "union", "remap")


def _begun(incomplete: str) -> list[str]:
    return [step for step in STEPS if step.startswith(incomplete)]


Step = Annotated[
    str,
    typer.Argument(
        help="cut a level out; intersect or union masks; remap to another net's names.",
        autocompletion=_begun,
    ),
]


def mask(
    step: Step,
    things: Annotated[
        list[str] | None,
        typer.Argument(
            help="Tickets; NAME@LEVEL for a level of a ladder. Default: the newest.", autocompletion=tickets
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", help="remap: the net whose names it takes, e.g. torchvision:resnet18."),
    ] = None,
    level: Annotated[
        str | None, typer.Option("--level", help="The level, or sparsity, of all; default: each one's own.")
    ] = None,
    out: opt.Out = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """Make a ticket from others: cut a level, intersect or join masks, or take the names of another net."""
    from ticketctl.stages import algebra

    if step not in STEPS:
        raise UsageError(f"mask has no step {step!r}; {near_miss(step, STEPS)}")
    found = _operands(things or [], level, workspace)
    if (to is None) == (step == "remap"):
        raise UsageError(
            "remap needs --to NET, e.g. --to torchvision:resnet18" if to is None else "--to is for remap"
        )
    if step in ("cut", "remap") and len(found) != 1:
        raise UsageError(f"mask {step} takes one ticket, not {len(found)}")
    if step == "cut":
        result = algebra.cut(found[0], workspace, out)
    elif step == "remap":
        assert to is not None
        if found[0].level is not None:
            raise UsageError(
                "remap takes a whole ticket, with all its levels; cut one out first: ticketctl mask cut"
            )
        result = algebra.remapped(found[0].ticket, to, workspace, out)
    else:
        result = algebra.joined(step, found, workspace, out)
    _show(result, json)


def _operands(things: list[str], level: str | None, workspace: Path) -> list[AtLevel]:
    from ticketctl.cli.inspect import ticket_at
    from ticketctl.stages.at_level import AtLevel

    names: list[str | None] = [*things] or [None]
    return [AtLevel(*ticket_at(name, level, workspace)) for name in names]


def _show(result: Result, json: bool) -> None:
    manifest, folder = result.ticket.manifest, result.ticket.folder
    for line in result.notes:
        note(line)
    if json:
        kept = {"kept": manifest.mask.kept, "prunable": manifest.mask.prunable}
        print_json(
            {
                "ticket": manifest.ticket_id,
                "folder": str(folder),
                "made": result.made,
                **kept,
                "notes": list(result.notes),
            }
        )
        return
    if not result.made:
        note("made before")
    density = manifest.mask.kept / manifest.mask.prunable
    print_line(
        visible(f"{manifest.mask.kept} of {manifest.mask.prunable} weights kept, density {density:.4f}")
    )
    print_line(visible(f"ticket {manifest.ticket_id}"))
    print_line(visible(f"in     {folder}"))
