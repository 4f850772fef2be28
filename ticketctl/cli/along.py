"""What a spend wrote down along its training: `keep.metrics` and `keep.lambda_max`. Nothing imports torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ticketctl.cli.output import print_line, print_table

if TYPE_CHECKING:
    from ticketctl.artifacts.run import Run

PREFIX, LAMBDA = "metrics.", "lambda_max"


def along(run: Run) -> dict[str, dict[str, list[Any]]]:
    """Of each name, `epochs` (of the schedule, done) and as many `values`; NaN where there was none. {}: none kept.

    Epochs are empty where the run does not say them.

    Raises:
        ArtifactError: its record or series is damaged.
    """
    keep = run.manifest.recipe.get("keep")
    if not isinstance(keep, dict) or not (keep.get("metrics") or keep.get(LAMBDA)):
        return {}
    record = {name: tensor.array() for name, tensor in (run.record() or {}).items()}
    epochs = record.pop(f"{PREFIX}epoch", None)
    found = {
        name.removeprefix(PREFIX): (epochs, values)
        for name, values in sorted(record.items())
        if name.startswith(PREFIX)
    }
    if LAMBDA in record:
        series = run.series()
        found[LAMBDA] = (None if series is None else series.epoch, record[LAMBDA])
    return {
        name: {
            "epochs": times.tolist() if times is not None and times.shape == values.shape else [],
            "values": values.tolist(),
        }
        for name, (times, values) in found.items()
        if values.ndim == 1 and len(values)
    }


def show_along(found: dict[str, dict[str, list[Any]]]) -> None:
    """First and last of each, and the epochs; nothing where nothing was kept."""
    if not found:
        return
    print_line("")
    rows = [
        [name, _number(said["values"][0]), _number(said["values"][-1]), str(len(said["values"])), _span(said)]
        for name, said in found.items()
    ]
    print_table(["along the training", "first", "last", "values", "after epochs"], rows)


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else "-"


def _span(said: dict[str, list[Any]]) -> str:
    """`0 to 10`, of one alone itself."""
    ends = list(dict.fromkeys(f"{epoch:g}" for epoch in (*said["epochs"][:1], *said["epochs"][-1:])))
    return " to ".join(ends) or "?"
