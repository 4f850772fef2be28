"""What is read of artifacts where some file may be damaged: it is left out, and its fault told. No torch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from ticketctl.errors import ArtifactError

Found = TypeVar("Found")
Of = TypeVar("Of")
Faults = list[ArtifactError]


def once(read: Callable[..., Found], damaged: Faults) -> Callable[..., Found]:
    """`read` of the same things once; what it put on the list of faults is put there each time that it is asked for.

    Args:
        read: puts faults on the list, or none.
        damaged: the list.
    """
    known: dict[tuple[Hashable, ...], tuple[Found, Faults]] = {}

    def found(*of: Hashable) -> Found:
        if of in known:
            damaged.extend(known[of][1])
        else:
            before = len(damaged)
            known[of] = (read(*of), damaged[before:])
        return known[of][0]

    return found


def spared(read: Callable[..., Found], instead: Found, damaged: Faults) -> Callable[..., Found]:
    """`read` of the same things once; where a file is damaged, something else.

    Args:
        read: raises ArtifactError.
        instead: what stands for a damaged file.
        damaged: where the fault is put each time that the file is asked for.
    """

    def tried(*of: Hashable) -> Found:
        try:
            return read(*of)
        except ArtifactError as fault:
            damaged.append(fault)
            return instead

    return once(tried, damaged)


def sound(read: Callable[[Of], Found], things: Iterable[Of], damaged: Faults) -> list[Found]:
    """What is read of each thing, without those that are damaged: their faults are put on the list."""
    found = []
    for thing in things:
        try:
            found.append(read(thing))
        except ArtifactError as fault:
            damaged.append(fault)
    return found


def told(damaged: Iterable[ArtifactError]) -> list[str]:
    """Each fault once, in a line that names the file."""
    return list(dict.fromkeys(" ".join(str(one).split()) for one in damaged))
