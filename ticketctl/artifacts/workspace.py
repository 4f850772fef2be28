"""Tickets and runs below a workspace: `<model>-<data>/<method>-<hash>/seed-<n>/{ticket, controls, ...}`."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ticketctl.artifacts import run as runs_
from ticketctl.artifacts import ticket as tickets_
from ticketctl.artifacts.models import RunManifest, TicketManifest
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.errors import SHOWN, ArtifactError, UsageError, listed, near_miss

DRAWN = "*/*/*/ticket"
CONTROLS = "*/*/*/controls/*/ticket"
TRAINED = (
    "*/*/*/levels/*", "*/*/*/search/*", "*/*/*/spends/*/*", "*/*/*/controls/*/spends/*/*", "*/*/*/transfers/*/*",
)  # fmt: skip
TOLERANCE = 0.005
LEAST = 6
"""Signs of an id that name it at least."""
SHORT = 11
"""Signs of an id that are shown."""
LONG = 100
"""Signs of a name that nothing has, of which more are not shown."""
_TICKET_ID, _RUN_ID = re.compile(r"tk1[a-z2-7]{0,29}"), re.compile(r"rn1[a-z2-7]{0,29}")
_SUFFIX = re.compile(r"(?P<name>.*)@(?:(?P<level>[0-9]{1,3})|(?P<sparsity>[01]?\.[0-9]+))")


def ticket_folders(root: Path, *, controls: bool = True) -> list[Path]:
    """Folders with a ticket.json, the newest first (by its time, ties by path); none is opened."""
    return _newest_first(root, [DRAWN, *([CONTROLS] if controls else [])], tickets_.MANIFEST)


def run_folders(root: Path) -> list[Path]:
    """Folders with a run.json, the newest first; none is opened."""
    return _newest_first(root, TRAINED, runs_.MANIFEST)


def tickets(root: Path) -> list[tuple[Path, TicketManifest]]:
    """The sound tickets of a workspace, the newest first. Damaged ones are left to `verify`."""
    return [(ticket.folder, ticket.manifest) for ticket in _sound(ticket_folders(root), open_ticket)]


def runs(root: Path) -> list[tuple[Path, RunManifest]]:
    """The sound runs of a workspace, the newest first. Damaged ones are left to `verify`."""
    return [(run.folder, run.manifest) for run in _sound(run_folders(root), open_run)]


def resolve(spec: str | None, root: Path) -> tuple[Ticket, int | None]:
    """The ticket that `spec` names, and the level it asks for (None: the ticket's own).

    Args:
        spec: a path, the beginning of an id, a name below `root`, or None for the newest draw; with `@12` a
            level, with `@0.9648` the level nearest to a sparsity, if one lies within 0.005.
        root: the workspace.

    Raises:
        UsageError: nothing of that name, or a run, or no such level; says what there is. An id too short.
        ArtifactError: the ticket is damaged.
    """
    folder, wanted = _place(spec or "", root), None
    if folder is None and spec and (match := _SUFFIX.fullmatch(spec)):
        wanted = match
        folder = _place(match["name"], root)
    if folder is None and spec and (run := _run_instead(spec, root)):
        raise UsageError(f"{spec} is a run, not a ticket; {_ticket_of(run, root)}")
    if folder is None:
        raise _unknown("ticket", spec, root, ticket_folders(root))
    ticket = open_ticket(folder)
    return ticket, _level(ticket, wanted) if wanted else None


def copies(spec: str, root: Path) -> list[Path]:
    """The folders below `root` of the ticket whose id `spec` begins, the newest first: that one is taken.

    None where `spec` is no beginning of an id. Mask and weights are the same in all; how they were drawn may differ.
    """
    name = match["name"] if (match := _SUFFIX.fullmatch(spec)) else spec
    if not _TICKET_ID.fullmatch(name):
        return []
    return [path for path, manifest in tickets(root) if manifest.ticket_id.startswith(name)]


def resolve_run(spec: str | None, root: Path) -> Run:
    """The run that `spec` names: a path, a name below `root`, the beginning of an id, or None for the newest.

    Raises:
        UsageError: nothing of that name; says what there is.
        ArtifactError: the run is damaged.
    """
    folders = run_folders(root)
    newest = folders[0] if folders else None
    folder = run_place(spec, root) if spec else newest
    if folder is None:
        raise _unknown("run", spec, root, folders)
    return open_run(folder)


def folder_of(spec: str | None, root: Path) -> tuple[Path, str]:
    """The folder that `spec` names and what it claims to hold, `ticket` or `run`, without opening it.

    Raises:
        UsageError: nothing of that name; says what there is.
    """
    folder = _place(spec or "", root)
    if folder is None and spec and (match := _SUFFIX.fullmatch(spec)):
        folder = _place(match["name"], root)  # a level is verified with its whole ticket
    if folder is not None:
        return folder, "ticket"
    if spec:
        folder = run_place(spec, root)
    if folder is not None:
        return folder, "run"
    raise _unknown("ticket or run", spec, root, [*ticket_folders(root), *run_folders(root)])


def _newest_first(root: Path, patterns: Iterable[str], manifest: str) -> list[Path]:
    found = [path for pattern in patterns for path in root.glob(f"{pattern}/{manifest}")]
    return [path.parent for path in sorted(found, key=lambda path: (-_time(path), str(path)))]


def _time(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _sound(folders: Iterable[Path], opened: Any) -> Iterator[Any]:
    for folder in folders:
        with contextlib.suppress(ArtifactError):
            yield opened(folder)


def _place(spec: str, root: Path) -> Path | None:
    """The folder of the ticket that `spec`, without a suffix, names."""
    if not spec:
        drawn = ticket_folders(root, controls=False)
        return drawn[0] if drawn else None
    folder = _by_path(spec, root, tickets_.MANIFEST, ("", "ticket"))
    if folder is not None or not _TICKET_ID.fullmatch(spec):
        return folder
    return _by_id(spec, [(path, manifest.ticket_id) for path, manifest in tickets(root)], root)


def run_place(spec: str, root: Path) -> Path | None:
    """The folder of the run that `spec` names, a path, a name below `root` or the beginning of an id; None: no run.

    Raises:
        UsageError: an id too short, or of several runs; says which there are.
    """
    folder = _by_path(spec, root, runs_.MANIFEST, ("", "final"))
    if folder is not None or not _RUN_ID.fullmatch(spec):
        return folder
    return _by_id(spec, [(path, manifest.run_id) for path, manifest in runs(root)], root)


def _run_instead(spec: str, root: Path) -> Path | None:
    """The folder of the run that was named where a ticket belongs."""
    try:
        return run_place(spec, root)
    except UsageError as error:
        raise UsageError(
            f"{spec} names runs, and a ticket is wanted, whose id begins with tk1: {error}"
        ) from None


def _ticket_of(run: Path, root: Path) -> str:
    """What is spent in the place of a run."""
    near = next((above for above in run.parents if (above / "ticket" / tickets_.MANIFEST).is_file()), None)
    if near is None:
        return "its ticket does not lie beside it"
    level = ""
    with contextlib.suppress(ArtifactError):
        level = f"@{open_run(run).manifest.level}"
    return f"its ticket is {_name(near, root)}{level}"


def _by_path(spec: str, root: Path, manifest: str, inside: Iterable[str]) -> Path | None:
    for base in (Path(spec), root / spec):
        if base.name == manifest and _is_file(base):
            return base.parent
        for below in inside:
            if _is_file(base / below / manifest):
                return base / below
    return None


def _is_file(path: Path) -> bool:
    """Whether there is one; a name that is too long for any file is none's."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def _by_id(prefix: str, known: Iterable[tuple[Path, str]], root: Path) -> Path | None:
    """The first folder in `known` of the one id that begins so; None: no id does.

    Raises:
        UsageError: several ids begin so, or too little of one is given; says which there are.
    """
    found = [(path, name) for path, name in known if name.startswith(prefix)]
    ids = {name: path for path, name in reversed(found)}
    size = next((size for size in range(SHORT, 32) if len({name[:size] for name in ids}) == len(ids)), 32)
    which = listed([f"{name[:size]} ({_name(path, root)})" for name, path in sorted(ids.items())])
    if len(prefix) < LEAST:
        raise UsageError(
            f"{prefix} is too short for an id: give at least {LEAST} signs; so begins {which or 'none here'}"
        )
    if len(ids) > 1:
        raise UsageError(f"{prefix} is the beginning of {which}; give more of it")
    return found[0][0] if found else None


def _name(folder: Path, root: Path) -> str:
    """As it is typed: below the workspace without the workspace, and a ticket without its last folder."""
    below = folder.relative_to(root) if folder.is_relative_to(root) else folder
    return below.as_posix().removesuffix("/ticket")


def _level(ticket: Ticket, wanted: re.Match[str]) -> int:
    kept, prunable = ticket.kept_by_level(), ticket.manifest.mask.prunable
    if wanted["level"]:
        level = int(wanted["level"])
        if level not in kept:
            raise UsageError(f"{ticket.folder}: no level {level}; there is {levels_told(kept, prunable)}")
        return level
    sparsity = float(wanted["sparsity"])
    distance, level = min((abs(1 - count / prunable - sparsity), level) for level, count in kept.items())
    if distance > TOLERANCE:
        raise UsageError(
            f"{ticket.folder}: no level at sparsity {sparsity}; there is {levels_told(kept, prunable, sparsity)}"
        )
    return level


def levels_told(kept: Mapping[int, int], prunable: int, near: float | None = None) -> str:
    """Levels with their sparsities: the last of many, or those around one that was asked for; and how many more.

    Args:
        kept: weights kept, by level.
        prunable: weights of the dense net that can be pruned, above 0.
        near: a sparsity in [0, 1].
    """
    found = [(level, 1 - count / prunable) for level, count in sorted(kept.items())]
    order = found[::-1] if near is None else sorted(found, key=lambda pair: abs(pair[1] - near))
    shown = sorted(order[:SHOWN])
    more = f" and {len(found) - len(shown)} more" if len(found) > len(shown) else ""
    return ", ".join(f"{level} (sparsity {sparsity:.4f})" for level, sparsity in shown) + more


def _unknown(kind: str, spec: str | None, root: Path, folders: Iterable[Path]) -> UsageError:
    places = {_name(folder, root): folder for folder in folders}
    names = list(places)
    if not names:
        return UsageError(
            f"no {kind} below {root}; make one with `ticketctl {'spend' if kind == 'run' else 'draw'}`"
        )
    if not spec:
        return UsageError(f"no drawn ticket below {root}; {near_miss('', names, SHOWN)}")
    parts = [name for name in names if f"/{spec.strip('/')}/" in f"/{name}/"]
    if len(parts) > 1:
        ids = [_id_at(places[name]) for name in sorted(parts)]
        which = listed([f"{known} ({name})" for known, name in zip(ids, sorted(parts), strict=True)])
        way = "a whole name, or an id" if len({*ids}) == len(ids) else "a whole name"
        return UsageError(f"{spec} is a part of the names of several: {which}; give {way}")
    hint = f"did you mean {parts[0]!r}?" if parts else near_miss(spec, names, SHOWN)
    shown = spec if len(spec) <= LONG else f"{spec[: LONG - 1]}…"
    return UsageError(f"no {kind} {shown!r} here or below {root}; {hint}")


def _id_at(folder: Path) -> str:
    """The beginning of the id of what lies there."""
    with contextlib.suppress(ArtifactError):
        if (folder / tickets_.MANIFEST).is_file():
            return open_ticket(folder).manifest.ticket_id[:SHORT]
        return open_run(folder).manifest.run_id[:SHORT]
    return "damaged"
