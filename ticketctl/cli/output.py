"""Results on stdout: a table for people, one JSON object for programs."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ticketctl.errors import TicketctlError

SCHEMA = "ticketctl.cli.v1"


def print_json(result: Any) -> None:
    """The one object of `--json`."""
    _json({"schema": SCHEMA, "ok": True, "result": _finite(result), "error": None})


def print_error(error: TicketctlError, as_json: bool) -> None:
    """One line on stderr, and the object of `--json` where it was asked for."""
    if as_json:
        print_failure(None, error)
    note(f"ticketctl: {' '.join(str(error).split())}")


def print_failure(result: Any, error: TicketctlError) -> None:
    """The one object of `--json` for a command that failed, with what it found out all the same."""
    fault = {"code": error.code, "exit_code": error.exit_code, "message": str(error)}
    _json({"schema": SCHEMA, "ok": False, "result": _finite(result), "error": fault})


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Aligned columns in plain text; the first `left` are flush left, the others flush right."""
    cells = [list(map(visible, row)) for row in [columns, *rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        parts = [
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print_line("  ".join(parts).rstrip())


def terminal_width() -> int:
    """Signs of a line: of the terminal, or as the variable COLUMNS says; as good as endless for files and pipes."""
    known = sys.stdout.isatty() or os.environ.get("COLUMNS")
    return shutil.get_terminal_size().columns if known else 1 << 16


def print_line(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")


def note(text: str, quiet: bool = False) -> None:
    """A line beside the result, on stderr; nothing fails because nobody reads it."""
    if not quiet:
        with suppress(OSError, ValueError):
            sys.stderr.write(visible(text) + "\n")
            sys.stderr.flush()


def visible(text: str) -> str:
    """Text as it may be shown: names out of files carry no control characters to a terminal."""
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text)


def percent(value: float | None) -> str:
    """An accuracy in [0, 1] as percent with two decimals, or a dash."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def _json(value: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(child) for key, child in value.items()}
    return [_finite(child) for child in value] if isinstance(value, list | tuple) else value
