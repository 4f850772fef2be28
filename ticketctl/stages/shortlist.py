"""Which tickets and runs somebody looks for, by net, data, method, density and verdict. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ticketctl.artifacts.manifest import RunManifest, TicketManifest, read_manifest
from ticketctl.artifacts.verdict import MANIFEST as VERDICT
from ticketctl.artifacts.verdict import open_verdict
from ticketctl.errors import ArtifactError, UsageError, near_miss
from ticketctl.plugins import plugins

VERDICTS = ("fail", "incomplete", "pass")
PLACES = ("verdicts/verdict-*", "hub/*/*/verdicts/verdict-*")
"""Below a workspace."""
SLACK = 5e-5
"""Densities stand in tags with four decimals."""
NOUNS = {"draws": "method", "data": "data set", "nets": "model"}
_NUMBER = r"(\d{1,3}(?:\.\d{1,9})?|\.\d{1,9})"

_Manifest = TypeVar("_Manifest", TicketManifest, RunManifest)


@dataclass(frozen=True)
class Wish:
    """What is looked for; None: anything. `density` is a range in [0, 1], both ends included."""

    model: str | None = None
    data: str | None = None
    method: str | None = None
    density: tuple[float, float] | None = None
    verdict: str | None = None

    def __bool__(self) -> bool:
        """Whether anything at all is asked."""
        return self != Wish()

    def tags(self) -> list[str]:
        """The tags that a repository on the Hub must have; a range of densities is no tag."""
        pairs = [("net", self.model), ("data", self.data), ("method", self.method), ("verdict", self.verdict)]
        return ["ticketctl", *(f"{key}:{value}" for key, value in pairs if value is not None)]

    def has_density(self, density: float | None) -> bool:
        """Whether a density, in [0, 1], is in the range; one that nobody states is in none."""
        if self.density is None:
            return True
        return density is not None and self.density[0] <= density <= self.density[1]


def wish(
    *,
    model: str | None = None,
    data: str | None = None,
    method: str | None = None,
    density: str | None = None,
    verdict: str | None = None,
) -> Wish:
    """What was typed.

    Raises:
        UsageError: no verdict, no range.

    >>> wish(density="0.01-0.05").density
    (0.01, 0.05)
    """
    if verdict is not None and verdict not in VERDICTS:
        raise UsageError(f"--verdict {verdict!r}; {near_miss(verdict, VERDICTS)}")
    return Wish(model, data, method, None if density is None else _range(density), verdict)


def unknown(wanted: Wish) -> list[str]:
    """A line for each name that no method, data set or net of ours has, but that one comes near: it may be a slip.

    Names may be others' own; those that come near nothing are taken to be such.
    """
    asked = {"draws": wanted.method, "data": wanted.data, "nets": wanted.model}
    lines = []
    for kind, name in asked.items():
        if not name or ":" in name or name in (known := plugins(kind)):
            continue
        near = near_miss(name, [one for one in known if one.startswith(name)] or known)
        if near.startswith("did you mean") or any(one.startswith(name) for one in known):
            lines.append(f"ticketctl has no {NOUNS[kind]} named {name!r}; {near}")
    return lines


def _range(text: str) -> tuple[float, float]:
    found = re.fullmatch(rf"{_NUMBER}(?:-{_NUMBER})?", text)
    if found is None:
        raise UsageError(f"--density {text!r}: write a range such as 0.01-0.05, or one number")
    low, high = float(found[1]), float(found[2] or found[1])
    if not 0 <= low <= high <= 1:
        raise UsageError(f"--density {text}: a density lies in (0, 1], and the smaller one comes first")
    return (low, high) if found[2] else (low - SLACK, high + SLACK)


def tickets_like(
    found: Sequence[tuple[Path, TicketManifest]], wanted: Wish, workspace: Path
) -> list[tuple[Path, TicketManifest]]:
    """The tickets that are looked for; a ticket has the verdicts of the runs that lie below its draw."""
    outcomes = _outcomes(workspace) if wanted.verdict else {}
    return [
        (folder, one)
        for folder, one in found
        if _fits(wanted, one.arch.name, one.draw.data.name, one.draw.method)
        and wanted.has_density(one.mask.kept / one.mask.prunable)
        and (wanted.verdict is None or wanted.verdict in _below(folder.parent, outcomes))
    ]


def runs_like(
    found: Sequence[tuple[Path, RunManifest]], wanted: Wish, workspace: Path
) -> list[tuple[Path, RunManifest]]:
    """The runs that are looked for; a run's method is that of the ticket that it lies beside."""
    outcomes = _outcomes(workspace) if wanted.verdict else {}
    return [
        (folder, one)
        for folder, one in found
        if _fits(wanted, one.arch.name, one.data.name, _method(folder) if wanted.method else None)
        and wanted.has_density(one.kept / one.prunable)
        and (wanted.verdict is None or wanted.verdict in outcomes.get(one.run_id, ()))
    ]


def _fits(wanted: Wish, model: str, data: str, method: str | None) -> bool:
    pairs = ((wanted.model, model), (wanted.data, data), (wanted.method, method))
    return all(asked is None or asked == own for asked, own in pairs)


def _method(run: Path) -> str | None:
    for above in run.parents[:5]:
        with suppress(ArtifactError):
            return read_manifest(above / "ticket" / "ticket.json", TicketManifest).draw.method
    return None


def _outcomes(workspace: Path) -> Mapping[str, set[str]]:
    """The outcomes of every run that a verdict of the workspace names; of damaged verdicts nothing counts."""
    found: dict[str, set[str]] = {}
    for place in (path for pattern in PLACES for path in workspace.glob(f"{pattern}/{VERDICT}")):
        with suppress(ArtifactError):
            for net in open_verdict(place.parent).verdict.nets:
                for pair in net.pairs:
                    found.setdefault(pair.net.run, set()).add(net.outcome)
    return found


def _below(draw: Path, outcomes: Mapping[str, Iterable[str]]) -> set[str]:
    """The outcomes of the runs in the folder of a draw."""
    found: set[str] = set()
    for path in [*draw.glob("levels/*/run.json"), *draw.glob("spends/*/*/run.json")] if outcomes else []:
        with suppress(ArtifactError):
            found |= {*outcomes.get(read_manifest(path, RunManifest).run_id, ())}
    return found
