"""Which dialect a foreign file is in: all are asked, exact ones first, and two that claim it are named, not chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ticketctl.dialects.tree import Found, Sparse, Tensor, Tree
from ticketctl.errors import ArtifactError, UsageError, listed, near_miss
from ticketctl.plugins import load, plugins


def recognised(tree: Tree, dialect: str | None = None) -> tuple[str, Found]:
    """The dialect's name, and what it found.

    Args:
        tree: the file's content.
        dialect: the only one to ask.

    Raises:
        UsageError: no such dialect, or several have their signature in the file.
        ArtifactError: none has, or the one that has is not kept to.
    """
    known = plugins("dialects")
    if dialect is not None:
        if dialect not in known:
            raise UsageError(f"no dialect named {dialect!r}; {near_miss(dialect, known)}")
        found = _asked(tree, dialect)
        if found is None:
            raise ArtifactError(
                "E_FORMAT", f"{tree.file}: not in the dialect {dialect}: it holds {held(tree.value)}"
            )
        return dialect, found
    for exact in ("yes", "no"):
        names = [name for name, one in known.items() if one.facts.get("exact") == exact]
        claims = {name: found for name in names if (found := _asked(tree, name)) is not None}
        if len(claims) > 1:
            raise UsageError(f"{tree.file}: may be {' or '.join(claims)}; say which with --dialect")
        if claims:
            return next(iter(claims.items()))
    raise ArtifactError(
        "E_FORMAT",
        f"{tree.file}: no mask of any known dialect in it (ticketctl list dialects): it holds {held(tree.value)}",
    )


def _asked(tree: Tree, name: str) -> Found | None:
    found: Found | None = load("dialects", name).read(tree)
    return found and replace(found, ordered=tree.ordered and found.ordered)


def held(value: Any, depth: int = 0) -> str:
    """What a file holds, in a few words.

    >>> held({"epoch": 3, "masks": []})
    'epoch (3), masks (0 values)'
    """
    if isinstance(value, Tensor | Sparse):
        return f"{'sparse ' * isinstance(value, Sparse)}{list(value.shape)}"
    if isinstance(value, dict) and depth == 0:
        return listed([f"{name[:60]} ({held(each, 1)})" for name, each in value.items()], 4) or "nothing"
    if isinstance(value, dict | list):
        return f"{len(value)} values"
    return str(value)[:40]
