"""What `inspect` and `verify` say of a compacted net: whose it is, and how many channels each layer had and has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketctl.cli.output import print_line, print_table
from ticketctl.errors import ArtifactError

if TYPE_CHECKING:
    from ticketctl.artifacts.compact import Compact
    from ticketctl.artifacts.run import Run


def compact_record(path: Path, compact: Compact) -> dict[str, Any]:
    """What it is; what was before is null where the run that it was made of is not beside it.

    Raises:
        ArtifactError: the run beside it is another (E_WEIGHTS_DIGEST), has other layers (E_ARCH_MISMATCH), or is
            damaged.
    """
    run = run_beside(path, compact)
    shapes = {name: tensor.shape for name, tensor in run.weights().items()} if run else None
    after = sum(math.prod(tensor.shape) for tensor in compact.weights.values())
    return {
        "run": compact.run,
        "subject": compact.subject,
        "image": list(compact.image),
        "values": {"before": shapes and sum(map(math.prod, shapes.values())), "after": after},
        "layers": [_layer(path, compact, name, shapes) for name in compact.rows],
        "digest": compact.digest,
    }


def _layer(
    path: Path, compact: Compact, name: str, shapes: Mapping[str, tuple[int, ...]] | None
) -> dict[str, Any]:
    """Channels that go out and in; in is null of a norm and of a depthwise convolution."""
    found: dict[str, Any] = {"layer": name, "out": None, "in": None}
    sides = {"out": compact.rows[name], "in": compact.columns.get(name)}
    for dimension, (side, places) in enumerate(sides.items()):
        if places is None:
            continue
        before = None
        if shapes is not None:
            whole = shapes.get(f"{name}.weight", ())
            before = whole[dimension] if dimension < len(whole) else 0
            if places[-1] >= before:
                raise ArtifactError(
                    "E_ARCH_MISMATCH", f"{path}: {name}: place {places[-1]} of {before} in the run's net"
                )
        found[side] = {"before": before, "after": len(places)}
    return found


def run_beside(path: Path, compact: Compact) -> Run | None:
    """The run that it lies in, None if it lies in none.

    Raises:
        ArtifactError: it was made of another net (E_WEIGHTS_DIGEST), or the run is damaged.
    """
    from ticketctl.artifacts.run import open_run

    folder = path.resolve().parent
    if folder.name != "compact" or not (folder.parent / "run.json").is_file():
        return None
    run = open_run(folder.parent)
    if (compact.run, compact.subject) != (run.manifest.run_id, run.manifest.weights.digest):
        what = f"made of another net, {compact.subject} of {compact.run}"
        raise ArtifactError("E_WEIGHTS_DIGEST", f"{path}: {what}")
    return run


def show_compact(record: Mapping[str, Any]) -> None:
    """The same for people, below the line that says what it is."""
    print_line(f"{'run':<16}{record['run']}")
    print_line(f"{'weights':<16}{record['subject']}")
    print_line(f"{'digest':<16}{record['digest']}")
    print_line(f"{'values':<16}{_change(record['values'])}")
    if record["layers"]:
        print_line("")
        rows = [[one["layer"], _change(one["out"]), _change(one["in"])] for one in record["layers"]]
        print_table(["layer", "channels out", "channels in"], rows)
    if record["values"]["before"] is None:
        print_line("?: the run that it was made of is not beside it")


def _change(counts: Mapping[str, int | None] | None) -> str:
    if counts is None:
        return ""
    before = "?" if counts["before"] is None else f"{counts['before']:,}"
    return f"{before} to {counts['after']:,}"
