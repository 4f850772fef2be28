"""What runs of spends did otherwise than the draws whose tickets they spent, from manifests alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ticketctl.artifacts.models import RunManifest, TicketManifest
from ticketctl.artifacts.ticket import MANIFEST, open_ticket
from ticketctl.errors import ArtifactError
from ticketctl.stages.otherwise import changes
from ticketctl.stages.recorded import Settings, settings_of, worn


@dataclass(frozen=True)
class _Side:
    """A run, or the draw that it is told from."""

    net: str
    data: str
    method: str
    tweaks: tuple[str, ...]
    settings: Settings


def departures(found: Sequence[tuple[Path, RunManifest]]) -> list[dict[str, str]]:
    """Of each run the keys by which its training differed from the draw's, with what took effect; tweaks aside.

    Nothing of runs that no spend left beside their ticket: a draw's own, and those whose ticket is gone or damaged.

    Args:
        found: folders of runs and their manifests.
    """
    ticket, told = cache(_ticket_in), dict[tuple[object, ...], dict[str, str]]()
    said = []
    for folder, manifest in found:
        drawn = ticket(folder.parents[2] / "ticket") if folder.parent.parent.name == "spends" else None
        if drawn is None:
            said.append(dict[str, str]())
            continue
        run, draw = _sides(manifest, drawn)
        key = (run.method, run.tweaks, *(tuple(sorted(side.settings.items())) for side in (run, draw)))
        if key not in told:
            told[key] = {} if run.settings == draw.settings else changes([run, draw])[0]
        said.append(told[key])
    return said


def _ticket_in(folder: Path) -> TicketManifest | None:
    try:
        return open_ticket(folder).manifest if (folder / MANIFEST).is_file() else None
    except ArtifactError:
        return None  # verify says what is wrong with it


def _sides(run: RunManifest, drawn: TicketManifest) -> tuple[_Side, _Side]:
    dense = run.ticket == "dense"
    method = "dense" if dense else drawn.draw.method
    tweaks = tuple(sorted(run.arch.tweaks))
    ours = {key: value for key, value in settings_of(run.recipe, dense=dense).items() if worn(key, tweaks)}
    theirs: Mapping[str, str] = settings_of(drawn.draw.recipe, dense=dense)
    return _Side("", "", method, tweaks, ours), _Side("", "", method, (), theirs)
