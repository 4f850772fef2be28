"""What was pulled into a workspace, and from where: `hub/<org>--<name>/<commit>[-<group>]/origin.json`. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ticketctl.artifacts.folder import Check
from ticketctl.artifacts.manifest import MAX_MANIFEST, RunManifest, TicketManifest, read_manifest
from ticketctl.artifacts.set import FILES
from ticketctl.artifacts.verdict import open_verdict, verify_verdict
from ticketctl.artifacts.verify import verify_run, verify_ticket
from ticketctl.artifacts.workspace import CONTROLS, DRAWN, TRAINED
from ticketctl.errors import ArtifactError
from ticketctl.hub.names import HubName, is_commit
from ticketctl.store.documents import parse_json
from ticketctl.store.files import MEMBER, read_bytes, sha256, write_atomic

HUB, ORIGIN = "hub", "origin.json"
SIGNS = 12
"""Signs of a commit in the name of its folder."""
DRAW = "*/*/*/"
PLACES = {
    "ticket": tuple(pattern.removeprefix(DRAW) for pattern in (DRAWN, CONTROLS)),
    "run": tuple(pattern.removeprefix(DRAW) for pattern in TRAINED),
    "verdict": ("verdicts/verdict-*",),
}
"""Where things lie in the folder of a draw."""


@dataclass(frozen=True)
class Local:
    """A ticket, run or verdict as it lies in the workspace: in the folder of a draw, at its place there."""

    kind: str
    id: str
    draw: Path
    place: str

    @property
    def folder(self) -> Path:
        """Its own."""
        return self.draw / self.place


@dataclass(frozen=True)
class Origin:
    """What one draw folder was pulled from; `things` are kinds, places in it, and the sha256 of their manifests."""

    folder: Path
    repo: str
    requested: str | None
    resolved: str
    endpoint: str | None
    only: str
    files: int
    bytes: int
    things: tuple[tuple[str, str, str], ...]
    draws: int = 1
    """Folders like this one that came together: where one of them is gone, not all is here."""

    def write(self) -> None:
        """Put it in its folder; last, for then all else is there.

        Raises:
            ResourceError: it cannot be written.
        """
        said = {
            "repo": self.repo, "requested": self.requested, "resolved": self.resolved, "only": self.only,
            "files": self.files, "bytes": self.bytes, "things": [list(one) for one in self.things],
            "draws": self.draws,
        }  # fmt: skip
        said |= {"endpoint": self.endpoint} if self.endpoint else {}
        text = json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False)
        write_atomic(self.folder / ORIGIN, text.encode("utf-8") + b"\n")

    def locals(self) -> list[Local]:
        """Its things by their own manifests.

        Raises:
            ArtifactError: one is gone or damaged, or another lies in its place.
        """
        for kind, place, digest in self.things:
            if manifest_digest(kind, self.folder / place) != digest:
                raise ArtifactError("E_MANIFEST", f"{self.folder / place}: not the {kind} that was pulled")
        return [local_at(kind, self.folder, place) for kind, place, _ in self.things]


def home_of(workspace: Path, name: HubName) -> Path:
    """The folder of a repository in the workspace."""
    return workspace / HUB / name.folder


def folder_name(commit: str, group: str) -> str:
    """The draw folder of a group at a commit."""
    return f"{commit[:SIGNS]}-{group}" if group else commit[:SIGNS]


def manifest_digest(kind: str, folder: Path) -> str:
    """The sha256 of a thing's manifest as it lies there: what somebody sealed anew has another one.

    Raises:
        ArtifactError: it is gone, or no file.
    """
    return sha256(read_bytes(folder / FILES[kind], limit=MAX_MANIFEST))


def local_at(kind: str, draw: Path, place: str) -> Local:
    """What lies at a place, by its manifest.

    Raises:
        ArtifactError: it is gone or damaged.
    """
    path = draw / place / FILES[kind]
    if kind == "ticket":
        return Local(kind, read_manifest(path, TicketManifest).ticket_id, draw, place)
    if kind == "run":
        return Local(kind, read_manifest(path, RunManifest).run_id, draw, place)
    return Local(kind, open_verdict(path.parent).verdict.verdict_id, draw, place)


def verify(kind: str, folder: Path) -> Check | None:
    """The first check that fails of a thing in a folder; None if it is sound."""
    checks = {"ticket": verify_ticket, "run": verify_run, "verdict": verify_verdict}[kind](folder)
    return next((check for check in checks if not check.ok), None)


def held(folder: Path) -> list[tuple[str, Path]]:
    """Kinds and folders of all in the folder of a pull: what came, also where it is gone, and what was made beside it.

    Raises:
        ArtifactError: E_MANIFEST: its origin.json is none of ours.
    """
    try:
        came = [(kind, place) for kind, place, _ in read_origin(folder / ORIGIN).things]
    except (KeyError, TypeError, ValueError):
        raise ArtifactError("E_MANIFEST", f"{folder / ORIGIN}: not as pull writes it; pull again") from None
    made = [
        (kind, path.parent.relative_to(folder).as_posix())
        for kind, patterns in PLACES.items()
        for pattern in patterns
        for path in sorted(folder.glob(f"{pattern}/{FILES[kind]}"))
    ]
    return [(kind, folder / place) for kind, place in dict.fromkeys([*came, *made])]


def known(workspace: Path, name: HubName, endpoint: str | None) -> list[Origin]:
    """What was pulled before under this name: all groups of the newest commit that was asked for so; or nothing."""
    found = [one for one in _origins(home_of(workspace, name)) if one.repo == name.repo]
    asked = [
        one
        for one in found
        if one.endpoint == endpoint
        and (one.resolved == name.revision or (one.requested or "main") == (name.revision or "main"))
    ]
    if not asked:
        return []
    newest = max(asked, key=lambda one: (one.folder / ORIGIN).stat().st_mtime_ns).resolved
    return [one for one in asked if one.resolved == newest]


def origins(workspace: Path) -> Iterator[Origin]:
    """Everything that was pulled into a workspace."""
    for home in sorted((workspace / HUB).glob("*")):
        yield from _origins(home)


def _origins(home: Path) -> Iterator[Origin]:
    for path in sorted(home.glob(f"*/{ORIGIN}")):
        with suppress(ArtifactError, KeyError, TypeError, ValueError):  # no word of ours: pulled again
            yield read_origin(path)


def read_origin(path: Path) -> Origin:
    """What an origin.json says.

    Raises:
        ArtifactError, KeyError, TypeError, ValueError: it cannot be read, or is none of ours.
    """
    said = parse_json(read_bytes(path, limit=1 << 20), where=str(path))
    things = tuple((str(kind), str(place), str(digest)) for kind, place, digest in said["things"])
    named = is_commit(said["resolved"]) and path.parent.name.startswith(said["resolved"][:SIGNS])
    if not (named and things and _plain(things)):
        raise ValueError("not written by ticketctl")
    texts = {key: said.get(key) for key in ("repo", "requested", "endpoint", "only")}
    if any(value is not None and not isinstance(value, str) for value in texts.values()):
        raise ValueError("not written by ticketctl")
    return Origin(
        folder=path.parent, resolved=said["resolved"], files=int(said["files"]), bytes=int(said["bytes"]),
        things=things, draws=int(said.get("draws", 1)), **texts,
    )  # fmt: skip


def _plain(things: Iterable[tuple[str, str, str]]) -> bool:
    return all(
        kind in FILES and all(MEMBER.fullmatch(part) for part in place.split("/"))
        for kind, place, _ in things
    )
