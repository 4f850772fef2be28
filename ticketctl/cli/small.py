"""The small dense nets of a spend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ticketctl.cli.output import percent, print_line, print_table, visible

if TYPE_CHECKING:
    from ticketctl.artifacts.run import Run
    from ticketctl.stages.setting import Surroundings
    from ticketctl.stages.wallet import Chosen

Small = tuple[int, int, "Run"]
"""Level, seed, and the run of the small dense net that has as many weights."""


def train_small(chosen: Chosen, workspace: Path, around: Surroundings) -> list[Small]:
    """Those that `spend.small` asks for, trained or found trained."""
    from ticketctl.stages.small_dense import small_folders, spend_small

    return [
        (level, seed, spend_small(chosen.ticket, level, seed, chosen.recipe, workspace, around))
        for level, seed, _ in small_folders(chosen, workspace)
    ]


def show_small(found: list[Small]) -> None:
    """Their widths and accuracies, and where they lie."""
    if not found:
        return
    print_line("")
    rows = [
        [
            str(level),
            str(seed),
            str(run.manifest.arch.kwargs["widths"]),
            f"{run.manifest.prunable:,}",
            percent(float(run.manifest.metrics["test.accuracy"])),
        ]
        for level, seed, run in found
    ]
    print_table(["small dense net of level", "seed", "widths", "weights", "test %"], rows)
    for folder in dict.fromkeys(str(run.folder) for _, _, run in found):
        print_line(visible(f"small dense in {folder}"))
