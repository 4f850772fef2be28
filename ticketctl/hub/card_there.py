"""What a repository has beside its artifacts already: whether a push wrote it, and the licence that its card names."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Sequence

from ticketctl.hub.licences import written
from ticketctl.hub.standing import CARD

FIGURE, COUNTED = "accuracy-sparsity.png", "config.json"
_KEY = b"written by ticketctl push, sha256 without this\0"
_END = 12
"""Bytes of a PNG's last chunk, which is empty."""
_MARK = re.compile(rb"<!-- written by ticketctl push, sha256 of all above: ([0-9a-f]{64}) -->\n")


def sealed(text: str) -> str:
    """A card with the digest of itself at its end, in a comment that no page shows.

    >>> is_made(sealed("words\\n").encode()), is_made(sealed("words\\n").replace("w", "W", 1).encode())
    (True, False)
    """
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text}<!-- written by ticketctl push, sha256 of all above: {digest} -->\n"


def is_made(card: bytes) -> bool:
    """Whether it is to the byte what a push wrote."""
    start = card.rfind(b"<!-- ")
    found = _MARK.fullmatch(card, max(start, 0))
    return found is not None and hashlib.sha256(card[:start]).hexdigest().encode() == found[1]


def counted_for(nets: Sequence[str]) -> bytes:
    """config.json, at whose requests the Hub counts downloads: three lines.

    Args:
        nets: their names.
    """
    return f'{{\n  "library_name": "ticketctl", "architectures": {json.dumps(list(nets))}\n}}\n'.encode()


def sealed_picture(png: bytes) -> bytes:
    """A PNG with the digest of itself in a chunk of text before its last, which no viewer shows."""
    said = _KEY + hashlib.sha256(png).hexdigest().encode()
    return png[:-_END] + _chunk(said) + png[-_END:]


def is_ours(path: str, data: bytes) -> bool:
    """Whether a file that a push makes beside the artifacts is to the byte one that a push wrote.

    Args:
        path: of the card, the figure, or config.json.
        data: the file.

    >>> is_ours(COUNTED, counted_for(["lenet"])), is_ours(COUNTED, b"{}")
    (True, False)
    """
    return {CARD: is_made, COUNTED: _is_counted, FIGURE: _is_sealed}[path](data)


def _is_counted(data: bytes) -> bool:
    try:
        nets = json.loads(data)["architectures"]
        return data == counted_for([str(net) for net in nets])
    except (LookupError, TypeError, ValueError, RecursionError):
        return False


def _is_sealed(png: bytes) -> bool:
    size = len(_chunk(_KEY + b"0" * 64))
    without = png[: -size - _END] + png[-_END:]
    return len(png) > size + _END and sealed_picture(without) == png


def _chunk(said: bytes) -> bytes:
    """A chunk of text as PNG has it: length, kind, key and text, and a check sum over the last three."""
    return len(said).to_bytes(4, "big") + b"tEXt" + said + zlib.crc32(b"tEXt" + said).to_bytes(4, "big")


def licence_of(card: bytes) -> str | None:
    """The licence that a card names: an id, or the name that goes with `other`; None where it names none."""
    from huggingface_hub import ModelCard

    try:
        data = ModelCard(card.decode("utf-8", "replace"), ignore_metadata_errors=True).data.to_dict()
    except Exception:  # whatever the client's reader of YAML raises: it is anybody's file
        return None
    found, named = data.get("license"), data.get("license_name")
    if found == "other" and isinstance(named, str):  # anything else is no name, and leaves it at `other`
        found = named.strip() or found
    words = found if isinstance(found, list) else [found]
    text = ", ".join(str(word) for word in words if isinstance(word, str))
    return written(text) or None
