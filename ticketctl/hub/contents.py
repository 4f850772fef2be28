"""What a repository holds: its tickets, runs and verdicts, judged by their manifests, and the files that each lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ticketctl.artifacts import run as runs
from ticketctl.artifacts import set as sets
from ticketctl.artifacts import ticket as tickets
from ticketctl.artifacts import verdict as verdicts
from ticketctl.artifacts.chain import CHAIN, MAX_CHAIN
from ticketctl.artifacts.manifest import MAX_MANIFEST, PROVENANCE, RunManifest, TicketManifest, parse_manifest
from ticketctl.artifacts.signature import MAX_SIGNATURE, SIGNATURE
from ticketctl.errors import ArtifactError
from ticketctl.hub.client import RemoteFile
from ticketctl.store.files import sha256

EXTRAS = {PROVENANCE: MAX_MANIFEST, CHAIN: MAX_CHAIN, SIGNATURE: MAX_SIGNATURE}
"""Files that no manifest lists and that come along where they are, and the bytes they may have."""
PULLED = "spends/pulled"
"""Where a run goes that comes without its draw."""
PICKLES = (
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".pickle",
    ".bin",
    ".joblib",
    ".npy",
    ".npz",
    ".h5",
    ".keras",
    ".msgpack",
)
CODE = (".py", ".pyc", ".so", ".sh", ".ipynb", ".js", ".exe", ".dll", ".dylib")

Files = Mapping[str, RemoteFile]
Read = Callable[[RemoteFile], bytes]


@dataclass(frozen=True)
class Wanted:
    """A file to fetch: its path in the repository and below its thing, its bytes, and their sha256 if that is known."""

    path: str
    name: str
    size: int
    sha256: str | None


@dataclass(frozen=True)
class Thing:
    """A ticket, run or verdict: of which draw (`group`), its place in the draw's folder, and all its files."""

    kind: str
    id: str
    group: str
    place: str
    files: tuple[Wanted, ...]

    @property
    def manifest(self) -> Wanted:
        """Its own, which lists the others; its sha256 is known, for it was read."""
        return next(file for file in self.files if file.name == sets.FILES[self.kind])

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def things(where: str, files: Files, read: Read) -> list[Thing]:
    """Everything that a repository holds; only manifests are read.

    Args:
        where: the repository, for messages.
        files: all of them, by path.
        read: the content of one, as it was listed.

    Raises:
        ArtifactError: no manifest there, one that is damaged or newer, or files that are not as it lists them.
    """
    if sets.MANIFEST in files:
        manifest = sets.parse_set(
            _document(where, files, sets.MANIFEST, read), where=f"{where}/{sets.MANIFEST}"
        )
        found = [_entry(where, files, entry, read) for entry in manifest.entries]
    else:
        names = [name for name in (tickets.MANIFEST, runs.MANIFEST) if name in files]
        if len(names) != 1:
            what = (
                "no ticket.json, run.json or set.json" if not names else "a ticket and a run, and no set.json"
            )
            raise ArtifactError("E_FILE_MISSING", f"{where}: {what}: not pushed by ticketctl")
        found = [_thing(where, files, "ticket" if names == [tickets.MANIFEST] else "run", "", read)[0]]
    _once(where, [file.path for thing in found for file in thing.files])
    _once(where, [f"{thing.group}/{thing.place}" for thing in found])
    return found


def skipped(files: Files, found: Sequence[Thing]) -> list[str]:
    """Paths that nobody lists, in order: they are not fetched."""
    taken = {file.path for thing in found for file in thing.files}
    return sorted(path for path in files if path not in taken and path != sets.MANIFEST)


def danger(path: str) -> str:
    """Why a file is better left where it is, or nothing."""
    if path.lower().endswith(PICKLES):
        return "may be a pickle"
    return "code" if path.lower().endswith(CODE) else ""


def _entry(where: str, files: Files, entry: sets.SetEntry, read: Read) -> Thing:
    found, seal = _thing(where, files, entry.kind, entry.path, read, entry.group, entry.place)
    if (found.id, seal) != (entry.id, entry.manifest_digest):
        raise ArtifactError("E_MANIFEST", f"{where}/{entry.manifest}: not the one that set.json lists")
    return found


def _thing(
    where: str, files: Files, kind: str, path: str, read: Read, group: str = "", place: str = ""
) -> tuple[Thing, str]:
    """One thing at a path, and the seal of its manifest."""
    base = f"{path}/" if path else ""
    name = sets.FILES[kind]
    data = _document(where, files, base + name, read)
    said = f"{where}/{base}{name}"
    listed: list[tuple[str, int, str | None]]
    if kind == "ticket":
        ticket = parse_manifest(data, TicketManifest, where=said)
        own, seal, place = ticket.ticket_id, ticket.manifest_digest, f"{place}/ticket".lstrip("/")
        listed = [(one.path, one.size, one.sha256) for one in ticket.files]
    elif kind == "run":
        run = parse_manifest(data, RunManifest, where=said)
        own, seal = run.run_id, run.manifest_digest
        place = place or f"{PULLED}/{run.level}-seed-{run.seeds['root']}"
        listed = [(one.path, one.size, one.sha256) for one in run.files]
    else:
        verdict = verdicts.parse_verdict(data, where=said)
        own, seal, listed = verdict.verdict_id, verdict.manifest_digest, _reports(where, files, base, verdict)
    wanted = [_wanted(where, files, base, *one) for one in listed]
    mine = [Wanted(base + name, name, len(data), sha256(data)), *_extras(files, base)]
    return Thing(kind, own, group, place, (*wanted, *mine)), seal


def _reports(
    where: str, files: Files, base: str, verdict: verdicts.Verdict
) -> list[tuple[str, int, str | None]]:
    """The reports of a verdict, which names them by their ids alone."""
    rows: list[tuple[str, int, str | None]] = []
    for report in verdicts.report_ids(verdict):
        name = f"{verdicts.REPORTS}/audit-{report}.zarr.zip"
        there = _there(where, files, base + name)
        rows.append((name, there.size, there.sha256))
    return rows


def _there(where: str, files: Files, path: str) -> RemoteFile:
    if path not in files:
        raise ArtifactError("E_FILE_MISSING", f"{where}/{path}: listed, but not there")
    return files[path]


def _wanted(where: str, files: Files, base: str, name: str, size: int, digest: str | None) -> Wanted:
    """A listed file, once the Hub lists it with the same bytes."""
    there = _there(where, files, base + name)
    if there.size != size or (there.sha256 is not None and there.sha256 != digest):
        raise ArtifactError("E_FILE_DIGEST", f"{where}/{base}{name}: not the file that the manifest lists")
    return Wanted(base + name, name, size, digest)


def _extras(files: Files, base: str) -> Iterator[Wanted]:
    for name, most in EXTRAS.items():
        there = files.get(base + name)
        if there is not None and there.size <= most:
            yield Wanted(there.path, name, there.size, there.sha256)


def _document(where: str, files: Files, path: str, read: Read) -> bytes:
    there = _there(where, files, path)
    if there.size > MAX_MANIFEST:
        raise ArtifactError(
            "E_MANIFEST", f"{where}/{path}: {there.size} bytes, a manifest has {MAX_MANIFEST} at most"
        )
    return read(there)


def _once(where: str, names: Iterable[str]) -> None:
    """No name twice, also where the file system takes `A` and `a` for one."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise ArtifactError("E_MANIFEST", f"{where}: two things claim {name[:80]!r}")
        seen.add(name.lower())
