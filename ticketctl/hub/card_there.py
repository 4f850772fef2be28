"""The card that a repository has already: whether a push wrote it, and the licence that it names."""

from __future__ import annotations

import hashlib
import re

from ticketctl.hub.licences import written

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


def licence_of(card: bytes) -> str | None:
    """The licence that a card names: an id, or the name that goes with `other`; None where it names none."""
    from huggingface_hub import ModelCard

    try:
        data = ModelCard(card.decode("utf-8", "replace"), ignore_metadata_errors=True).data.to_dict()
    except Exception:  # whatever the client's reader of YAML raises: it is anybody's file
        return None
    named = data.get("license_name") if data.get("license") == "other" else None
    found = named or data.get("license")
    words = found if isinstance(found, list) else [found]
    text = ", ".join(str(word) for word in words if isinstance(word, str))
    return written(text) or None
