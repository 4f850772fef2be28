"""Sets whose list leads astray, and caches that somebody else has written into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.hub.fakehub.hostile import BAD, DONE, ESC, HUB, REPO, Case, Stage
from ticketctl.artifacts.records import seal
from ticketctl.store.documents import canonical_json, parse_json

Row = dict[str, Any]
OFFLINE = f"{REPO} --offline"


def sets() -> Iterator[Case]:
    """A sealed set.json beside a sound ticket."""
    paths = {
        "up": "../x", "up within": "controls/../../x", "absolute": "/tmp/x", "backslash": "..\\x", "hidden": ".git",
        "escape": ESC, "NUL": "a\0b", "slashes": "a//b", "nowhere": "controls/none", "a place of runs": "levels/1",
        "deep": "/".join("a" * 9), "long": "a" * 5000,
    }  # fmt: skip
    for name, path in paths.items():
        yield Case(f"a set lists {name}", listing(lambda row, path=path: [{**row, "path": path}]), BAD)
    yield Case("a set lists another ticket", listing(lambda row: [{**row, "id": "tk1" + "a" * 29}]), BAD)
    yield Case(
        "a set lists a ticket of another seal",
        listing(lambda row: [{**row, "manifest_digest": f"sha256:{'0' * 64}"}]),
        BAD,
    )
    yield Case("a set lists a run that is a ticket", listing(lambda row: [{**row, "kind": "run"}]), BAD)
    yield Case("a set lists one ticket twice", listing(lambda row: [row, row]), BAD)
    yield Case(
        "a set lists 2,001", listing(lambda row: [{**row, "path": f"g{i:04d}"} for i in range(2001)]), BAD
    )
    yield Case("a set lists nothing", listing(lambda row: []), BAD)
    yield Case("a set of another version", listing(lambda row: [row], format_version="2.0"), BAD)
    yield Case("a set that is open", lambda on: on.hub.put(REPO, {"set.json": b'{"entries":[]}'}), BAD)
    yield Case("a sound set", listing(lambda row: [row]), DONE)


def listing(rows: Callable[[Row], list[Row]], **more: Any) -> Callable[[Stage], None]:
    """A set.json made from the one row that would be right."""

    def spoil(on: Stage) -> None:
        own = parse_json(on.files["ticket.json"], where="ticket.json")
        row = {
            "path": "",
            "kind": "ticket",
            "id": own["ticket_id"],
            "manifest_digest": own["manifest_digest"],
        }
        fields = {
            "format": "ticketctl.set",
            "format_version": "1.0",
            "features": [],
            "entries": rows(row),
            **more,
        }
        on.hub.put(REPO, {"set.json": canonical_json(seal(fields, "manifest_digest"))})

    return spoil


def caches() -> Iterator[Case]:
    """The cache of the Hub's own client, read without a network."""
    yield Case("a sound cache", lambda on: cached(on), DONE, OFFLINE)
    yield Case("an empty cache", lambda on: None, HUB, OFFLINE, "offline")
    yield Case("a cached file was changed", lambda on: changed(cached(on)), BAD, OFFLINE)
    gone = "mask.safetensors"
    yield Case("a cached file is missing", lambda on: (cached(on) / gone).unlink(), HUB, OFFLINE, "offline")
    yield Case("a cached file leads elsewhere", lambda on: linked(on, cached(on)), BAD, OFFLINE)
    for name, text in {
        "up": "../../../../x",
        "absolute": "/tmp",
        "nothing": "",
        "no text": "\0" * 99,
    }.items():
        yield Case(f"a cached branch is {name}", lambda on, t=text: branched(cached(on), t), HUB, OFFLINE)


def cached(on: Stage) -> Path:
    """The folder of the commit, as `hf download` makes it: links to blobs."""
    home = on.inside / "a" / "b" / "home" / "hf" / "hub" / "models--lab--first"
    commit = on.hub.repos[REPO].head
    folder = home / "snapshots" / commit.sha
    for place in (folder, home / "blobs", home / "refs"):
        place.mkdir(parents=True)
    (home / "refs" / "main").write_text(commit.sha)
    for path, blob in commit.files.items():
        (home / "blobs" / blob.etag).write_bytes(blob.data)
        (folder / path).symlink_to(Path("..") / ".." / "blobs" / blob.etag)
    return folder


def changed(folder: Path) -> None:
    """Other bytes of the same length."""
    blob = (folder / "mask.safetensors").resolve()
    blob.write_bytes(bytes(byte ^ 1 for byte in blob.read_bytes()))


def linked(on: Stage, folder: Path) -> None:
    """To a file of the user's."""
    secret = on.inside / "a" / "secret"
    secret.write_bytes(on.files["mask.safetensors"])
    (folder / "mask.safetensors").unlink()
    (folder / "mask.safetensors").symlink_to(secret)


def branched(folder: Path, text: str) -> None:
    """A branch that points at no commit."""
    (folder.parent.parent / "refs" / "main").write_text(text)
