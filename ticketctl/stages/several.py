"""A folder that holds several runs, named where one run is wanted. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ticketctl.artifacts.run import MANIFEST
from ticketctl.errors import UsageError, listed

LEVELS, SEARCH = "levels", "search"
"""Folders of a draw with a run for each level, by number; 0 is the dense net."""


def refuse_artifact(folder: Path) -> None:
    """Refuse to draw into the folder of a ticket or a run.

    Raises:
        UsageError: names what lies there.
    """
    for manifest, kind in (("ticket.json", "ticket"), ("run.json", "run")):
        if (folder / manifest).exists():
            raise UsageError(f"{folder}: holds a {kind}; a draw wants a folder of its own: another --out")


def refuse_draw(name: str, key: str, places: Iterable[Path]) -> None:
    """Refuse a draw's folder, with the exact name of a run in it: the dense one, if there is one.

    Args:
        name: as it was typed.
        key: of the recipe, e.g. data.drop.record.
        places: what `name` may mean.

    Raises:
        UsageError: one of `places` is the folder of a draw, of its seeds, its ticket or its levels.
    """
    for place in places:
        runs = [_spelled(name, place, run) for run in _runs_of(place)]
        if not runs:
            continue
        dense = next((run for run in runs if run.endswith("/0")), None)
        which = "several runs; the dense one is" if dense else f"{listed(runs)}; name one, as"
        raise UsageError(
            f"{key}: {name} is a draw's folder, which holds {which} --set {key}={dense or runs[0]}"
        )


def _runs_of(place: Path) -> Iterator[Path]:
    """The runs of a draw that was named by its folder, by that of its seeds, or by one in it."""
    draws = [place, *sorted(place.glob("seed-*"))]
    if place.name in ("ticket", LEVELS, SEARCH):
        draws.append(place.parent)
    for draw in draws:
        for kind in (LEVELS, SEARCH):
            yield from sorted(path.parent for path in draw.glob(f"{kind}/*/{MANIFEST}"))


def _spelled(name: str, place: Path, run: Path) -> str:
    """`run` as it is typed where `place` is typed `name`."""
    if run.is_relative_to(place):
        return (Path(name) / run.relative_to(place)).as_posix()
    return (Path(name).parent / run.relative_to(place.parent)).as_posix()
