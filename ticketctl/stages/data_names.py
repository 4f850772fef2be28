"""What data sets are called where several stand beside each other. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def data_names(names: Iterable[str]) -> dict[str, str]:
    """Each name without the path behind its colon, or, where that leaves two alike, with as much of the end as differs.

    >>> data_names(["imagefolder:/a/train", "imagefolder:/b/train", "digits"])["imagefolder:/a/train"]
    'imagefolder:a/train'

    Args:
        names: of data sets, as recipes have them.

    Returns:
        By name what it is called; two names that lead to one place are called alike.
    """
    alike: dict[str, dict[str, tuple[str, ...]]] = {}
    for name in names:
        base, _, target = name.partition(":")
        alike.setdefault(base, {})[name] = Path(target).parts
    return {
        name: f"{base}:{Path(*tail)}" if tail else base
        for base, paths in alike.items()
        for name, tail in _tails(paths).items()
    }


def _tails(paths: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The ends of the paths, of as many parts each as tell all of them apart; none, where there is one path."""
    many, longest = len({*paths.values()}), max(map(len, paths.values()))
    for parts in range(longest + 1):
        found = {name: path[len(path) - min(parts, len(path)) :] for name, path in paths.items()}
        if len({*found.values()}) == many:
            return found
    return paths
