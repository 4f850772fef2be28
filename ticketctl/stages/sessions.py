"""What differs from one execution to the next: clocks, device, command line, how often it was resumed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ticketctl import __version__
from ticketctl.stages.by_devices import sessions_in
from ticketctl.stages.setting import Setting, Surroundings
from ticketctl.stages.streamed import decoder_of
from ticketctl.stages.underway import SESSIONS
from ticketctl.store.documents import canonical_json
from ticketctl.store.files import make_folder, write_atomic
from ticketctl.train.device import Place


class Sessions:
    """The executions that one piece of work took, kept beside its checkpoints until it is done."""

    def __init__(self, folder: Path, around: Surroundings) -> None:
        make_folder(folder)
        self.path = folder / SESSIONS
        self.before = sessions_in(folder)
        self.began = time.monotonic()
        hardware = Place(around.device, "f32").describe()["device_name"]
        devices = str(around.ranks.size if around.ranks else 1)
        command = ["ticketctl", *around.argv]
        self.session = {"started": _now(), "command": command, "hardware": hardware, "devices": devices}
        if (last := self._last_hardware()) not in ("", hardware):
            around.reporter.remark(
                f"resumed on other hardware: {last}, now {hardware}; the bits may differ from those of either"
            )
        write_atomic(self.path, canonical_json([*self.before, self.session]))

    def _last_hardware(self) -> str:
        found = self.before[-1].get("hardware") if self.before else None
        return found if isinstance(found, str) else ""

    def record(self, setting: Setting) -> dict[str, Any]:
        """For provenance.json, at the end of the last session."""
        devices = {name: str(number) for name, number in setting.bench.devices.items()}
        seconds = str(round(time.monotonic() - self.began, 3))
        last = {**self.session, "ended": _now(), "seconds": seconds}
        return {
            "tool": "ticketctl",
            "tool_version": __version__,
            "environment": {**setting.bench.place.describe(), **devices, **decoder_of(setting.data)},
            "sessions": [*self.before, last],
        }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
