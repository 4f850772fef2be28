"""What is pushed: tickets, runs and verdicts by name, each verified, with its place in the repository. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ticketctl.artifacts.chain import CHAIN
from ticketctl.artifacts.folder import Check
from ticketctl.artifacts.manifest import RunManifest, TicketManifest
from ticketctl.artifacts.run import MANIFEST as RUN
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.set import FILES, SetEntry, encode_set
from ticketctl.artifacts.set_models import PLACES
from ticketctl.artifacts.signature import SIGNATURE
from ticketctl.artifacts.ticket import MANIFEST as TICKET
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.artifacts.verdict import MANIFEST as VERDICT
from ticketctl.artifacts.verdict import REPORTS, Verdict, open_verdict, report_ids
from ticketctl.artifacts.verify import verify_run, verify_ticket
from ticketctl.artifacts.workspace import SHORT, folder_of, resolve
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.progress import Reporter
from ticketctl.stages.intent import NAME as INTENT
from ticketctl.stages.verdict_check import verify as verify_verdict

Manifest = TicketManifest | RunManifest | Verdict
MOST = 2000
"""Artifacts of one repository."""
_BELOW = ("levels/*", "spends/*/*", "controls/*/spends/*/*")
"""Runs that `--runs` takes along."""
_CONTROLS = f"controls/*/ticket/{TICKET}"
_DRAWS = ("*/ticket", "*/*/ticket", "*/*/*/ticket")
"""Draws below a folder of draws, up to the workspace."""
_NO_DRAWS = {"controls", "hub"}
"""Folders below which there is no draw of ours: controls belong to one, and what was pulled is somebody's."""
_PULLED = re.compile(r"[0-9a-f]{12}-(?P<group>[a-z0-9-]{1,40}-[0-9a-f]{8}-seed-[0-9]{1,20})")


@dataclass(frozen=True)
class Thing:
    """A ticket, run or verdict: its folder here, the folder of its draw, and where it goes."""

    kind: str
    folder: Path
    manifest: Manifest
    draw: Path | None = None
    place: str = ""
    """In the folder of its draw, as in a workspace."""
    path: str = ""
    """In the repository."""

    @property
    def noun(self) -> str:
        """As it is counted: a control is no ticket like the others."""
        one = self.manifest
        return "control" if isinstance(one, TicketManifest) and one.control is not None else self.kind

    @property
    def id(self) -> str:
        """Of the ticket, run or verdict."""
        one = self.manifest
        if isinstance(one, TicketManifest):
            return one.ticket_id
        return one.run_id if isinstance(one, RunManifest) else one.verdict_id

    def files(self) -> Iterator[tuple[str, str | None]]:
        """Names of all files that travel, with the sha256 that the manifest lists; provenance.json is made anew."""
        yield FILES[self.kind], None
        if isinstance(self.manifest, Verdict):
            yield from ((f"{REPORTS}/audit-{name}.zarr.zip", None) for name in report_ids(self.manifest))
        else:
            yield from ((one.path, one.sha256) for one in self.manifest.files)
        yield from ((name, None) for name in (CHAIN, SIGNATURE) if (self.folder / name).is_file())

    def below(self, name: str) -> str:
        """The path of one of its files in the repository."""
        return f"{self.path}/{name}" if self.path else name


def things_of(names: Sequence[str], workspace: Path, *, runs: bool, reporter: Reporter) -> list[Thing]:
    """Everything that was named, verified, in its place.

    Args:
        names: tickets, runs, verdicts, or folders of draws; none: the newest ticket.
        workspace: where names are looked for.
        runs: with the trained levels, the spends and the controls of each ticket.
        reporter: asked before each whether to go on.

    Raises:
        UsageError: nothing of that name, a draw that is not done, too many.
        ArtifactError: one is damaged.
    """
    found: dict[Path, Thing] = {}
    for name in names or (None,):
        for one in _named(name, workspace, runs):
            found.setdefault(one.folder.resolve(), one)
    if len(found) > MOST:
        raise UsageError(f"{len(found)} artifacts; a repository takes {MOST}: name fewer")
    for one in found.values():
        reporter.alive()
        _refuse_damaged(one)
    return _placed([*found.values()])


def set_of(found: Sequence[Thing]) -> bytes | None:
    """The set.json of several, or of a verdict; one ticket or run alone has none."""
    if is_lone(found):
        return None
    return encode_set(
        SetEntry(path=one.path, kind=one.kind, id=one.id, manifest_digest=one.manifest.manifest_digest)  # type: ignore[arg-type]  # one of the three kinds
        for one in found
    )


def counted(found: Sequence[Thing]) -> str:
    """How many of each kind, in words."""
    nouns = [one.noun for one in found]
    counts = [(nouns.count(noun), noun) for noun in ("ticket", "control", "run", "verdict")]
    return ", ".join(f"{count} {noun}{'s' if count > 1 else ''}" for count, noun in counts if count)


def is_lone(found: Sequence[Thing]) -> bool:
    """Whether it is one ticket or run, which lies at the root."""
    return len(found) == 1 and found[0].kind != "verdict"


def _named(name: str | None, workspace: Path, runs: bool) -> Iterator[Thing]:
    for base in () if name is None else (Path(name), workspace / name):
        folder = base.parent if base.name == VERDICT else base
        if (folder / VERDICT).is_file():
            yield Thing("verdict", folder, open_verdict(folder).verdict)
            return
        _refuse_unfinished(folder)
    if name is not None and re.search(r"@[0-9.]+$", name):
        raise UsageError(f"{name}: whole tickets are pushed; cut the level first (ticketctl mask cut)")
    draws = [] if name is None else _draws_below(name, workspace)
    if not draws:
        place, kind = folder_of(name, workspace) if name is not None else (_newest(workspace), "ticket")
        if kind == "run":
            yield _run(place)
            return
        draws = [place]
    found = [one for place in draws for one in _drawn(place, runs)]
    if runs and len(found) == len(draws):
        where = draws[0] if len(draws) == 1 else name
        raise UsageError(f"--runs: no trained level, no spend and no control lies beside {where}")
    yield from found


def _draws_below(name: str, workspace: Path) -> list[Path]:
    """The tickets below a folder of draws, without controls; none where `name` is something else.

    Raises:
        UsageError: one of the draws is not done.
    """
    for base in (Path(name), workspace / name):
        if not base.is_dir() or any(
            (base / one).is_file() for one in (TICKET, RUN, f"ticket/{TICKET}", f"final/{RUN}")
        ):
            continue
        below = {path.parent for pattern in _DRAWS for path in base.glob(pattern)}
        below |= {path.parent for pattern in _DRAWS for path in base.glob(pattern.replace("ticket", INTENT))}
        below = {path for path in below if below.isdisjoint(path.parents)}  # not what lies inside of a draw
        draws = sorted(path for path in below if _NO_DRAWS.isdisjoint(path.relative_to(base).parts))
        for draw in draws:
            _refuse_unfinished(draw)
        if found := [draw / "ticket" for draw in draws if (draw / "ticket" / TICKET).is_file()]:
            return found
    return []


def _drawn(place: Path, runs: bool) -> Iterator[Thing]:
    """A ticket; with `runs` also what was trained of it, and its controls with theirs."""
    yield Thing("ticket", place, open_ticket(place).manifest, *_of_ticket(place))
    if not runs:
        return
    draw = place.parent if place.name == "ticket" else place
    for path in sorted(draw.glob(_CONTROLS)):
        yield Thing("ticket", path.parent, open_ticket(path.parent).manifest, *_of_ticket(path.parent))
    for path in (path for pattern in _BELOW for path in sorted(draw.glob(f"{pattern}/{RUN}"))):
        yield _run(path.parent)


def _newest(workspace: Path) -> Path:
    return resolve(None, workspace)[0].folder


def _refuse_unfinished(folder: Path) -> None:
    """A draw that has begun and is not done has nothing to push, whatever of it is there."""
    whole = any((folder / name).is_file() for name in (RUN, TICKET, f"ticket/{TICKET}"))
    if whole:
        return
    if (folder / INTENT).is_file():
        raise UsageError(f"{folder}: this draw is not done; the same `ticketctl draw` goes on, then push")
    if (folder / "work").is_dir():
        raise UsageError(f"{folder}: this training is not done; the same command goes on, then push")


def _of_ticket(folder: Path) -> tuple[Path, str]:
    """The folder of the draw, and the place of the ticket in it as set.json has it."""
    if folder.name == "ticket" and folder.parents[1].name == "controls":
        return folder.parents[2], f"controls/{folder.parent.name}"
    return (folder.parent if folder.name == "ticket" else folder), ""


def _run(folder: Path) -> Thing:
    """A run where it lies in its draw's folder, or for itself."""
    manifest = open_run(folder).manifest
    parts = folder.resolve().parts
    for count in (5, 3, 2):  # a control's spend also looks like a spend
        place = "/".join(parts[-count:])
        if re.fullmatch(PLACES["run"], place):
            return Thing("run", folder, manifest, folder.resolve().parents[count - 1], place)
    return Thing("run", folder, manifest, folder)


def _refuse_damaged(one: Thing) -> None:
    checks = {"ticket": verify_ticket, "run": verify_run, "verdict": verify_verdict}[one.kind](one.folder)
    failed: Check | None = next((check for check in checks if not check.ok), None)
    if failed is not None:
        raise ArtifactError(
            failed.code, f"{one.folder}: not pushed, for {failed.name} failed: {failed.detail}"
        )


def _placed(found: Sequence[Thing]) -> list[Thing]:
    """Each in its place in the repository: alone at the root; of one draw as in its folder; of several in groups."""
    if is_lone(found):
        return [replace(found[0], path="")]
    draws = list(dict.fromkeys(one.draw.resolve() for one in found if one.draw is not None))
    names = _groups(draws, found) if len(draws) > 1 else dict.fromkeys(draws, "")
    placed = []
    for one in found:
        group = names[one.draw.resolve()] if one.draw is not None else ""
        lone = f"run-{one.id[:SHORT]}" if one.kind == "run" and one.draw is None else one.place
        place = f"verdicts/verdict-{one.id}" if one.kind == "verdict" else lone
        placed.append(replace(one, path="/".join(filter(None, (group, place)))))
    paths = [one.path for one in placed]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise UsageError(f"two artifacts would lie at {twice or 'the root'!r}; push them one by one")
    return sorted(placed, key=lambda one: one.path)


def _groups(draws: Sequence[Path], found: Sequence[Thing]) -> dict[Path, str]:
    """A name for each draw, out of what was drawn: folders here may be called after anybody."""
    names: dict[Path, str] = {}
    for draw in draws:
        mine = [one for one in found if one.draw is not None and one.draw.resolve() == draw]
        name = _group(draw, mine)
        names[draw] = name if name not in names.values() else f"{name}-{mine[0].id[:SHORT]}"
    return names


def _folder_name(draw: Path, one: TicketManifest) -> str | None:
    """The draw's own folder as a group, where it is called as `ticketctl draw` and `pull` call it, and after nobody."""
    if pulled := _PULLED.fullmatch(draw.name):
        return pulled["group"]
    seed = one.draw.seeds.get("root", 0)
    ours = re.fullmatch(rf"{re.escape(one.draw.method)}-[0-9a-f]{{8}}", draw.parent.name)
    return f"{draw.parent.name}-seed-{seed}" if ours and draw.name == f"seed-{seed}" else None


def _group(draw: Path, mine: Sequence[Thing]) -> str:
    with suppress(ArtifactError):
        place = next((one.folder for one in mine if one.kind == "ticket"), draw / "ticket")
        one = open_ticket(place).manifest
        digest = one.draw.recipe_digest.removeprefix("sha256:")[:8]
        return _folder_name(draw, one) or f"{one.draw.method}-{digest}-seed-{one.draw.seeds.get('root', 0)}"
    return f"run-{mine[0].id[:SHORT]}"
