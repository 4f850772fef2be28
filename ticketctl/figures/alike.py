"""Reports that were taken under the same keys: only such are drawn as one line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ticketctl.artifacts.report import Report

Of = TypeVar("Of")
CORRUPTED = "corruption"
EPOCHS = "epochs"
"""Of what reports are that look at weights which a run kept along its training."""


@dataclass(frozen=True)
class Wanted:
    """What a report is to hold."""

    kind: str
    """audit, probe, transfer or interpolate."""
    module: str
    """The plug-in."""
    array: str = ""
    """One of its arrays, or any."""
    dimensions: int = 0
    """Of that array; 0: any."""
    to: str = ""
    """The fingerprint of the data set that the net was moved to, or any."""
    epoch: int | None = None
    """After which its weights were measured, or any."""

    def by(self, report: Report) -> bool:
        """Whether the report holds it."""
        target = report.recipe.get("target")
        moved = target.get("fingerprint") if isinstance(target, Mapping) else ""
        measured = any(row.metric == self.module and row.value is not None for row in report.metrics)
        found = report.arrays.get(self.array)
        whole = not self.array or (found is not None and self.dimensions in (0, found.ndim))
        timely = self.epoch in (None, report.recipe.get("epoch"))
        return measured and whole and timely and self.to in ("", moved)

    def keys(self, report: Report) -> str:
        """Under which keys, on which images and which target the plug-in was asked, as one word.

        Keys of the kind belong to it, as how many images and whether units were aligned, and the sets that were
        corrupted, which may be somebody's files or made here. Sets of another kind do not: each has a row of its own.
        """
        keys, sets = (_table(report.recipe.get(name)) for name in ("keys", "sets"))
        own = [keys.get(self.module), report.recipe.get(self.kind), report.recipe.get("target")]
        shown = [
            sets[name] for name in sorted(sets) if self.module == CORRUPTED and name.startswith("corrupt-")
        ]
        return json.dumps([*own, shown], sort_keys=True, default=str)


def _table(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def alike(reports: Mapping[Of, Sequence[Report]], wanted: Wanted) -> tuple[dict[Of, Report], int]:
    """Of each net the newest report under the keys that most nets have, and how many nets have others alone.

    Args:
        reports: of each net, the newest first.
        wanted: what they are to hold.
    """
    found = {net: [one for one in mine if wanted.by(one)] for net, mine in reports.items()}
    known = {net: mine for net, mine in found.items() if mine}
    counts = Counter(key for mine in known.values() for key in {wanted.keys(one) for one in mine})
    most = max(counts, key=lambda key: (counts[key], key), default="")
    first = {
        net: next((one for one in mine if wanted.keys(one) == most), None) for net, mine in known.items()
    }
    kept = {net: report for net, report in first.items() if report is not None}
    return kept, len(known) - len(kept)
