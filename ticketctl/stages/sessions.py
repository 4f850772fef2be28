"""What differs from one execution to the next: clocks, device, command line, how often it was resumed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ticketctl import __version__
from ticketctl.stages.setting import Setting, Surroundings
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import make_folder, read_bytes, write_atomic


class Sessions:
    """The executions that one piece of work took, kept beside its checkpoints until it is done."""

    def __init__(self, folder: Path, around: Surroundings) -> None:
        make_folder(folder)
        self.path = folder / "sessions.json"
        self.before: list[dict[str, Any]] = []
        if self.path.exists():
            self.before = parse_json(read_bytes(self.path, limit=1 << 24), where=str(self.path))
        self.began = time.monotonic()
        self.session = {"started": _now(), "command": ["ticketctl", *around.argv]}
        write_atomic(self.path, canonical_json([*self.before, self.session]))

    def record(self, setting: Setting) -> dict[str, Any]:
        """For provenance.json, at the end of the last session."""
        seconds = str(round(time.monotonic() - self.began, 3))
        last = {**self.session, "ended": _now(), "seconds": seconds}
        return {
            "tool": "ticketctl",
            "tool_version": __version__,
            "environment": setting.bench.place.describe(),
            "sessions": [*self.before, last],
        }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
