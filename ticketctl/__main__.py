"""The program's entry, `python -m ticketctl` and `ticketctl`: signals first, then the imports that take a while.

What the interpreter itself needs to start, 20 to 40 ms of an idle machine before the first line here, nobody can cover:
a signal then ends it as it ends any Python program (SIGTERM 143; Ctrl-C by itself, with a traceback).
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

CODES = {signal.SIGTERM: 75, signal.SIGINT: 130}
"""As in docs/reference/exit-codes.md."""


def main() -> None:
    """Run the program; leaves by `SystemExit` with one of the documented exit codes."""
    for number in CODES:
        signal.signal(number, _leave)
    from ticketctl.cli.app import main as run

    run()


def _leave(number: int, frame: FrameType | None) -> None:
    """Leave at once: until `cli.app` takes the signals over, nothing is under way.

    It is no exception, which the module that is being imported could keep to itself; and it imports nothing of ours,
    which may be half there.
    """
    import json

    code = CODES[signal.Signals(number)]
    error = {"code": "E_STOPPED", "exit_code": code, "message": "stopped at once"}
    record = {"schema": "ticketctl.cli.v1", "ok": False, "result": None, "error": error}
    with suppress(OSError):
        os.write(2, b"ticketctl: stopped at once\n")
        if {"--json", "--format=json"} & {*sys.argv} or "--format json" in " ".join(sys.argv):
            os.write(1, f"{json.dumps(record)}\n".encode())
    os._exit(code)


if __name__ == "__main__":
    main()
