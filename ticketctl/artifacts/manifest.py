"""ticket.json and run.json: reading, writing, and provenance.json beside them.

A manifest is canonical JSON without floats. `manifest_digest` covers all the rest, so that no byte of it can
change unseen; ids cover what makes the content. What differs between executions stands in provenance.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ticketctl.artifacts.models import (
    RUN_FEATURES,
    TICKET_FEATURES,
    RunManifest,
    TicketManifest,
    recipe_digest,
    run_id,
    shapes_digest,
    ticket_id,
)
from ticketctl.artifacts.records import read_document, seal, to_record
from ticketctl.artifacts.sense import check_run, check_ticket
from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import MEMBER, read_bytes, write_atomic

__all__ = [
    "RunManifest", "TicketManifest", "manifest_bytes", "parse_manifest", "read_manifest", "read_provenance",
    "recipe_digest", "run_id", "shapes_digest", "ticket_id", "to_record", "write_provenance",
]  # fmt: skip

MAX_MANIFEST = 4 << 20
SEAL = "manifest_digest"
PROVENANCE = "provenance.json"

_M = TypeVar("_M", TicketManifest, RunManifest)


def manifest_bytes(fields: Mapping[str, Any], model: type[_M]) -> bytes:
    """The canonical manifest with these fields (records), sealed; read back before it is handed out.

    Raises:
        ArtifactError: E_ code of the field that cannot be.
    """
    data = canonical_json(seal(fields, SEAL))
    parse_manifest(data, model, where=f"the new {model.__name__}")
    return data


def read_manifest(path: Path, model: type[_M]) -> _M:
    """The manifest at `path`, judged; the files that it lists are not looked for.

    Raises:
        ArtifactError: E_FILE_MISSING, E_PATH, or as `parse_manifest`.
    """
    return parse_manifest(read_bytes(path, limit=MAX_MANIFEST), model, where=str(path))


def parse_manifest(data: bytes, model: type[_M], *, where: str) -> _M:
    """Judge a manifest that nobody vouches for.

    Raises:
        ArtifactError: E_MANIFEST, E_FORMAT, E_VERSION, E_FEATURE, E_PATH, E_COUNT or E_TICKET_ID.
    """
    if len(data) > MAX_MANIFEST:
        raise ArtifactError(
            "E_MANIFEST", f"{where}: {len(data)} bytes, a manifest has {MAX_MANIFEST} at most"
        )
    value = parse_json(data, where=where, canonical=True)
    ticket = model is TicketManifest
    _check_paths(value, where)
    manifest = read_document(
        value,
        model,
        kind="ticket" if ticket else "run",
        where=where,
        features=TICKET_FEATURES if ticket else RUN_FEATURES,
        sealed=SEAL,
    )
    if isinstance(manifest, TicketManifest):
        check_ticket(manifest, where)
    else:
        check_run(manifest, where)
    return manifest


def _check_paths(value: Any, where: str) -> None:
    """Names that leave the folder are told from other faults: somebody meant them."""
    files = value.get("files") if isinstance(value, dict) else None
    for entry in files if isinstance(files, list) else []:
        path = entry.get("path") if isinstance(entry, dict) else None
        if isinstance(path, str) and not MEMBER.fullmatch(path):
            raise ArtifactError("E_PATH", f"{where}: {path[:80]!r} is not a plain path inside the folder")


def write_provenance(folder: Path, record: Mapping[str, Any]) -> None:
    """Write provenance.json anew: clocks, host, argv, resumes. No digest covers it; floats are welcome.

    Raises:
        ValueError: NaN or infinity.
        ResourceError: it cannot be written.
    """
    text = json.dumps(dict(record), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_atomic(folder / PROVENANCE, text.encode("utf-8") + b"\n")


def read_provenance(folder: Path) -> dict[str, Any]:
    """What provenance.json says, or nothing if there is none.

    Raises:
        ArtifactError: E_MANIFEST, E_PATH or E_FORMAT if it is not a plain file with a JSON object.
    """
    path = folder / PROVENANCE
    if not path.exists():
        return {}
    value = parse_json(read_bytes(path, limit=MAX_MANIFEST), where=str(path))
    if not isinstance(value, dict):
        raise ArtifactError("E_MANIFEST", f"{path}: not a JSON object")
    return value
