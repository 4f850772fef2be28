"""What a folder was begun with, so that only the same work goes on there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ticketctl.errors import ArtifactError, MismatchError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import read_bytes, write_atomic

NAME = "intent.json"
_LIMIT = 4 << 20


def read_intent(folder: Path) -> dict[str, Any] | None:
    """The record a folder was begun with, or None for a new folder."""
    path = folder / NAME
    if not path.exists():
        return None
    found = parse_json(read_bytes(path, limit=_LIMIT), where=str(path))
    if not isinstance(found, dict) or not all(
        isinstance(found.get(key), dict) for key in ("asked", "settled")
    ):
        raise ArtifactError(
            "E_MANIFEST", f"{path}: not what ticketctl writes there; remove it, or use another --out"
        )
    return found


def write_intent(folder: Path, record: Mapping[str, Any]) -> None:
    """Begin a folder."""
    write_atomic(folder / NAME, canonical_json(record))


def check_intent(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to go on with other work than was begun.

    Raises:
        MismatchError: names the first keys that differ, and both values.
    """
    old, new = dict(_leaves(found)), dict(_leaves(wanted))
    different = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    if different:
        shown = "; ".join(f"{key} was {old.get(key)!r}, is {new.get(key)!r}" for key in different[:3])
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise MismatchError(
            f"{folder}: begun with something else: {shown}{more}; use another --out, or remove it"
        )


def _leaves(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        return [(name, value)]
    return [
        leaf for key, child in value.items() for leaf in _leaves(child, f"{name}.{key}" if name else str(key))
    ]
