"""Runs without tweaks that runs with tweaks are paired with, where those alone were named.

A spend leaves them in other folders of its draw: that of the draw's own seed in `levels/`, for the draw trained it;
those of other seeds elsewhere in `spends/`. One ticket, one recipe, one level, the same seeds: a pair for certain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ticketctl.artifacts.run import MANIFEST
from ticketctl.errors import ArtifactError
from ticketctl.stages.subjects import Subject, opened

_SPENT = re.compile(r"(?P<level>[0-9]+)-seed-[0-9]+")
"""The name of a spend's folder below `spends/<hash>/`."""


def partners(subjects: Sequence[Subject]) -> tuple[list[Subject], list[Path]]:
    """The runs that `subjects` with tweaks lack as their pair, and that lie where a spend leaves them.

    Args:
        subjects: the runs that were named, each training once.

    Returns:
        The runs, and folders of damaged ones that may have been such: nobody named them, so they end nothing.
    """
    plain = {_pair_of(run) for run in subjects if not run.tweaks}
    alone = [run for run in subjects if run.tweaks and _pair_of(run) not in plain]
    wanted = {_pair_of(run) for run in alone}
    found: dict[object, Subject] = {}
    damaged = []
    for place in dict.fromkeys(place for run in alone for place in _places(run.folder)):
        try:
            (run,) = opened([place])
        except ArtifactError:
            damaged.append(place)
            continue
        if not run.tweaks and _pair_of(run) in wanted:
            found.setdefault(_pair_of(run), run)
    return list(found.values()), damaged


def _pair_of(run: Subject) -> tuple[object, ...]:
    """What both runs of a pair have: all but the tweaks."""
    settings = sorted((key, value) for key, value in run.settings.items() if not key.startswith("tweaks."))
    ticket = (run.manifest.ticket, run.manifest.level, run.method, run.control)
    return (run.net, run.data, run.seeds, *ticket, tuple(settings))


def _places(folder: Path) -> Iterator[Path]:
    """Where the plain run of a spend in `folder` may lie; nowhere, if no spend left it there."""
    named = _SPENT.fullmatch(folder.name)
    if named is None or folder.parents[1].name != "spends":
        return
    spends = folder.parents[1]
    candidates = [spends.parent / "levels" / named["level"], *sorted(spends.glob(f"*/{folder.name}"))]
    yield from (place for place in candidates if place != folder and (place / MANIFEST).is_file())
