"""set.json (formats/set/v1/spec.md): what lies where in a repository that holds more than one ticket or run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ticketctl.artifacts.folder import Check, run_check
from ticketctl.artifacts.records import read_document, seal
from ticketctl.artifacts.set_models import FILES, SetEntry, SetManifest
from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import MEMBER, read_bytes

__all__ = [
    "FILES",
    "MANIFEST",
    "SetEntry",
    "SetManifest",
    "encode_set",
    "open_set",
    "parse_set",
    "verify_set",
]

MANIFEST, SEAL = "set.json", "manifest_digest"
MAX_MANIFEST = 4 << 20


def encode_set(entries: Iterable[SetEntry]) -> bytes:
    """The canonical set.json of version 1.0 with these entries, in any order; read back before it is handed out.

    Raises:
        ArtifactError: E_MANIFEST: none, more than 2,000, or two of one path.
    """
    rows = [entry.model_dump(mode="json") for entry in sorted(entries, key=lambda entry: entry.path)]
    fields = {"format": "ticketctl.set", "format_version": "1.0", "features": [], "entries": rows}
    data = canonical_json(seal(fields, SEAL))
    parse_set(data, where="the new set")
    return data


def parse_set(data: bytes, *, where: str) -> SetManifest:
    """Judge a set.json that nobody vouches for; what its entries hold is not looked for.

    Raises:
        ArtifactError: E_MANIFEST, E_FORMAT, E_VERSION, E_FEATURE, or E_PATH (a path that leaves the folder).
    """
    value = parse_json(data, where=where, canonical=True)
    rows = value.get("entries") if isinstance(value, dict) else None
    for row in rows if isinstance(rows, list) else []:
        path = row.get("path") if isinstance(row, dict) else None
        if isinstance(path, str) and any(not MEMBER.fullmatch(part) for part in path.split("/") if path):
            raise ArtifactError("E_PATH", f"{where}: {path[:80]!r} is not a plain path inside the folder")
    return read_document(value, SetManifest, kind="set", where=where, sealed=SEAL)


def open_set(folder: Path) -> SetManifest:
    """The set.json in a folder.

    Raises:
        ArtifactError: E_FILE_MISSING, E_PATH, or as `parse_set`.
    """
    path = folder / MANIFEST
    return parse_set(read_bytes(path, limit=MAX_MANIFEST), where=str(path))


def verify_set(folder: Path) -> list[Check]:
    """Judge the document alone; what is wrong stands in the answer and raises nothing."""
    return [run_check("manifest", lambda: f"{len(open_set(folder).entries)} entries")]
