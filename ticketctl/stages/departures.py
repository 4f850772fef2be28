"""What runs of spends did otherwise than the draws whose tickets they spent, from manifests alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ticketctl.artifacts.models import RunManifest, TicketManifest
from ticketctl.artifacts.ticket import MANIFEST, open_ticket
from ticketctl.errors import ArtifactError
from ticketctl.stages.otherwise import departed
from ticketctl.stages.recorded import settings_of


def departures(found: Sequence[tuple[Path, RunManifest]]) -> list[dict[str, str]]:
    """Of each run the keys by which its training differed from the draw's, with what took effect; tweaks aside.

    Nothing of runs that no spend left beside their ticket: a draw's own, and those whose ticket is gone or damaged.

    Args:
        found: folders of runs and their manifests.
    """
    ticket = cache(_ticket_in)
    said = []
    for folder, run in found:
        drawn = ticket(folder.parents[2] / "ticket") if folder.parent.parent.name == "spends" else None
        said.append({} if drawn is None else _departed(run, drawn))
    return said


def _ticket_in(folder: Path) -> TicketManifest | None:
    try:
        return open_ticket(folder).manifest if (folder / MANIFEST).is_file() else None
    except ArtifactError:
        return None  # verify says what is wrong with it


def _departed(run: RunManifest, drawn: TicketManifest) -> dict[str, str]:
    dense = run.ticket == "dense"
    ours, theirs = (settings_of(recipe, dense=dense) for recipe in (run.recipe, drawn.draw.recipe))
    return departed(ours, theirs, "dense" if dense else drawn.draw.method)
