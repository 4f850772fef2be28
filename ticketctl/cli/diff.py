"""`ticketctl diff`."""

from __future__ import annotations

from typing import Annotated

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.complete import tickets
from ticketctl.cli.output import print_json, print_line, print_table
from ticketctl.errors import UsageError


def diff(
    first: Annotated[
        str, typer.Argument(help="A ticket; NAME@LEVEL for a level of its ladder.", autocompletion=tickets)
    ],
    second: Annotated[str, typer.Argument(help="Another ticket of the same net.", autocompletion=tickets)],
    level: Annotated[
        str | None,
        typer.Option(
            "--level", help="The level, or sparsity, of both, or of each: 4,12. Default: their own."
        ),
    ] = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """Compare two masks: kept counts, intersection over union and Hamming distance, per layer and in all."""
    from ticketctl.artifacts.compare import compare
    from ticketctl.cli.inspect import ticket_at

    levels = _levels(level)
    one, level_one = ticket_at(first, levels[0], workspace)
    two, level_two = ticket_at(second, levels[1], workspace)
    same_start = one.manifest.init.digest == two.manifest.init.digest
    layers = compare(one.mask(level_one), two.mask(level_two))
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
            f"{layer.hamming:.4f}",
        ]
        for layer in layers
    ]
    print_table(["layer", "weights", "first keeps", "second keeps", "both keep", "IoU", "Hamming"], rows)
    print_line(f"start weights: {'the same' if same_start else 'different'}")


def _levels(typed: str | None) -> tuple[str | None, str | None]:
    """Of the first and of the second, as one of both or as two were typed."""
    parts = [None] if typed is None else [part.strip() for part in typed.split(",")]
    if len(parts) > 2:
        raise UsageError(f"--level {typed}: give one level of both, or one of each: 4,12")
    return parts[0], parts[-1]
