"""`ticketctl diff`."""

from __future__ import annotations

from typing import Annotated

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.complete import tickets
from ticketctl.cli.output import print_json, print_line, print_table


def diff(
    first: Annotated[
        str, typer.Argument(help="A ticket; NAME@LEVEL for a level of its ladder.", autocompletion=tickets)
    ],
    second: Annotated[str, typer.Argument(help="Another ticket of the same net.", autocompletion=tickets)],
    level: Annotated[
        str | None, typer.Option("--level", help="The level, or sparsity, of both; default: each one's own.")
    ] = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """Compare two masks: kept counts and intersection over union, per layer and in all."""
    from ticketctl.artifacts.compare import compare
    from ticketctl.cli.inspect import ticket_at

    one, level_one = ticket_at(first, level, workspace)
    two, level_two = ticket_at(second, level, workspace)
    same_start = one.manifest.init.digest == two.manifest.init.digest
    layers = compare(one.mask_at(level_one), two.mask_at(level_two))
    if json:
        print_json({"same_start": same_start, "layers": [layer.record() for layer in layers]})
        return
    rows = [
        [
            layer.name,
            str(layer.size),
            str(layer.first),
            str(layer.second),
            str(layer.both),
            f"{layer.iou:.4f}",
        ]
        for layer in layers
    ]
    print_table(["layer", "weights", "first keeps", "second keeps", "both keep", "IoU"], rows)
    print_line(f"start weights: {'the same' if same_start else 'different'}")
