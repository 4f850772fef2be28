"""Which code a sweep was begun with, by digest: nodes of a cluster may see another. Nothing here imports torch."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ticketctl
from ticketctl.errors import ArtifactError, ResourceError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import make_folder, read_bytes, write_atomic

NAME = "code.json"
PACKAGES = ("torch", "torchvision", "numpy", "safetensors", "zarr", "numcodecs")
"""Whose versions the bits or the bytes depend on."""


@lru_cache(maxsize=1)
def package_digest() -> str:
    """SHA-256 over the names and bytes of all modules of the installed package."""
    root = Path(ticketctl.__file__).resolve().parent
    found = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        data = path.read_bytes()
        found.update(f"{path.relative_to(root).as_posix()} {len(data)}\n".encode())
        found.update(data)
    return found.hexdigest()


def snapshot() -> dict[str, Any]:
    """The code that this process runs."""
    return {
        "ticketctl": ticketctl.__version__, "package_sha256": package_digest(),
        "python": ".".join(map(str, sys.version_info[:3])), "implementation": sys.implementation.name,
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }  # fmt: skip


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def keep_snapshot(folder: Path) -> dict[str, Any]:
    """Write down what the sweep of a folder began with, unless that was done before; answers with what stands there.

    Raises:
        ResourceError: the folder cannot be written.
    """
    path = folder / NAME
    try:
        found = parse_json(read_bytes(path, limit=1 << 20), where=str(path))
        if isinstance(found, dict):
            return found
    except (ArtifactError, ResourceError):
        pass  # not there, or damaged: it is written anew
    make_folder(folder)
    now = snapshot()
    write_atomic(path, canonical_json(now))
    return now


def differences(began: Mapping[str, Any]) -> tuple[str, ...]:
    """A line for what differs here from the code that a sweep began with, or nothing."""
    now = snapshot()
    if now == began:
        return ()
    pairs = [("ticketctl", "package_sha256"), ("python", "python")]
    said = [
        f"{name} {_short(began.get(key))} there, {_short(now[key])} here"
        for name, key in pairs
        if began.get(key) != now[key]
    ]
    theirs: Mapping[str, Any] = began.get("packages") or {}
    said += [
        f"{name} {_short(theirs.get(name))} there, {_short(now['packages'].get(name))} here"
        for name in PACKAGES
        if theirs.get(name) != now["packages"].get(name)
    ]
    return (f"done with other code than the sweep began with: {'; '.join(said)}",) if said else ()


def _short(text: Any) -> str:
    return str(text)[:12]
