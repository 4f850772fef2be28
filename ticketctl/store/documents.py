"""JSON in one canonical form: sorted keys, no spaces, UTF-8, only finite numbers, no key twice."""

from __future__ import annotations

import json
from typing import Any

from ticketctl.errors import ArtifactError

MAX_DEPTH = 16
MAX_BYTES = 4 << 20
MAX_COMMAS = 200_000
"""Bounds the values of a document before any of them takes memory."""


def canonical_json(value: Any) -> bytes:
    """The one byte string that stands for `value`.

    Raises:
        ValueError: NaN or infinity.
        TypeError: anything JSON has no form for.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def parse_json(data: bytes, *, where: str, code: str = "E_MANIFEST", canonical: bool = False) -> Any:
    """Read JSON that nobody vouches for.

    Args:
        data: the bytes.
        where: named in the error.
        code: E_ name of the error.
        canonical: refuse bytes other than those `canonical_json` would write.

    Raises:
        ArtifactError: over 4 MiB, not UTF-8, not JSON, a key twice, NaN or infinity, nested deeper than 16,
            or not canonical.
    """
    if len(data) > MAX_BYTES or data.count(b",") > MAX_COMMAS:
        raise ArtifactError(code, f"{where}: a document of {len(data)} bytes, or of far too many values")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
        if _depth(value) > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
    except RecursionError:
        raise ArtifactError(code, f"{where}: nested too deeply") from None
    except ValueError as error:
        raise ArtifactError(code, f"{where}: not sound JSON: {error}") from None
    again = _canonical_or_none(value)
    if again is None:
        raise ArtifactError(code, f"{where}: not sound JSON: an infinite number, or half a surrogate pair")
    if canonical and again != data:
        raise ArtifactError(code, f"{where}: not in canonical form (sorted keys, no spaces): changed by hand")
    return value


def _canonical_or_none(value: Any) -> bytes | None:
    try:
        return canonical_json(value)
    except (ValueError, TypeError):  # a lone surrogate, or 1e999 that became infinite
        return None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key[:80]!r} stands twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number here")


def _depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(child) for child in children), default=0)
