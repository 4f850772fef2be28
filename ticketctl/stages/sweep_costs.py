"""What a run of a sweep took, and the draw behind it: counts of manifests, seconds of provenance. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ticketctl.artifacts.manifest import read_provenance
from ticketctl.artifacts.models import TicketManifest
from ticketctl.errors import ArtifactError
from ticketctl.stages.subjects import Subject


@dataclass(frozen=True)
class Cost:
    """What a run took, and the draw that its ticket came from; None where nothing is known."""

    epochs: float | None = None
    steps: int | None = None
    images: int | None = None
    seconds: float | None = None
    """Of the spend; None where the draw trained it, whose seconds have it."""
    device: str = ""
    draw_epochs: float | None = None
    draw_seconds: float | None = None


def cost_of(run: Subject | None, ticket: TicketManifest | None, folder: Path) -> Cost:
    """What a run took.

    Args:
        run: None where there is none.
        ticket: behind it; None of a dense net.
        folder: of the draw.
    """
    drawn = None if ticket is None else float(ticket.draw.cost.epochs)
    took = _seconds(folder / "ticket") if ticket is not None else None
    if run is None:
        return Cost(draw_epochs=drawn, draw_seconds=took)
    cost, said = run.manifest.cost, _provenance(run.folder)
    own = _seconds(run.folder)
    device = _device(said or _provenance(folder / "ticket"))
    return Cost(float(cost.epochs), cost.steps, cost.images, own, device, drawn, took)


def _provenance(folder: Path) -> Mapping[str, object]:
    try:
        return read_provenance(folder)
    except ArtifactError:
        return {}


def _seconds(folder: Path) -> float | None:
    """Of all sessions together."""
    sessions = _provenance(folder).get("sessions")
    if not isinstance(sessions, list):
        return None
    try:
        return sum(float(one["seconds"]) for one in sessions)
    except (KeyError, TypeError, ValueError):
        return None


def _device(said: Mapping[str, object]) -> str:
    known = said.get("environment")
    if not isinstance(known, Mapping):
        return ""
    return str(known.get("device_name") or known.get("device") or "")
