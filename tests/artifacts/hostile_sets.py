"""Sets that are none: each with the code that refuses it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.artifacts.hostile_folders import Case
from ticketctl.artifacts import set as kind
from ticketctl.artifacts.records import record_digest, seal
from ticketctl.artifacts.set import SetEntry, SetManifest
from ticketctl.store.documents import canonical_json

Change = Callable[[dict[str, Any]], Any]
PREFIX = {"ticket": "tk1", "run": "rn1", "verdict": "vd1"}


def entry(path: str, what: str, letter: str) -> SetEntry:
    """A thing that is nowhere else."""
    return SetEntry(
        path=path,
        kind=what,
        id=PREFIX[what] + letter * 29,
        manifest_digest=record_digest("test", [path, what]),
    )


def one_draw() -> list[SetEntry]:
    places = (
        "levels/3",
        "search/2",
        "spends/1f00/8-seed-0",
        "controls/shuffled/spends/1f00/8-seed-1",
        "transfers/a/b",
    )
    runs = [entry(path, "run", "bcdef"[number]) for number, path in enumerate(places)]
    verdict = entry("verdicts/verdict-vd1" + "g" * 29, "verdict", "g")
    return [entry("", "ticket", "a"), entry("controls/shuffled", "ticket", "h"), *runs, verdict]


def two_draws() -> list[SetEntry]:
    one, other = "imp-0123abcd-seed-0", "imp-0123abcd-seed-1"
    return [
        entry(one, "ticket", "a"), entry(f"{one}/levels/0", "run", "b"),
        entry(other, "ticket", "c"), entry("dense", "run", "d"),
    ]  # fmt: skip


def write(folder: Path, entries: list[SetEntry]) -> None:
    folder.mkdir(parents=True)
    (folder / kind.MANIFEST).write_bytes(kind.encode_set(entries))


def sound(folder: Path) -> None:
    """The set that hostile ones are made from."""
    write(folder, one_draw())


def rewrite(folder: Path, change: Change, *, sealed: bool = True) -> None:
    """Change the document, and cover the change by its seal."""
    path = folder / kind.MANIFEST
    fields = json.loads(path.read_bytes())
    change(fields)
    path.write_bytes(canonical_json(seal(fields, kind.SEAL) if sealed else fields))


def newer(folder: Path) -> None:
    rewrite(
        folder,
        lambda root: (root.update(format_version="1.7", later=1), root["entries"][0].update(later="x")),
    )


def root(change: Change, **more: bool) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, change, **more)


def field(name: str, value: Any) -> Callable[[Path], None]:
    return root(lambda fields: fields.update({name: value}))


def first(**fields: Any) -> Callable[[Path], None]:
    return root(lambda whole: whole["entries"][0].update(fields))


def last(**fields: Any) -> Callable[[Path], None]:
    return root(lambda whole: whole["entries"][-1].update(fields))


def text(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / kind.MANIFEST
        path.write_bytes(change(path.read_bytes()))

    return spoil


def many(whole: dict[str, Any]) -> None:
    row = whole["entries"][1]
    whole["entries"] = [{**row, "path": f"controls/{number:05}"} for number in range(2001)]


def set_cases() -> Iterator[Case]:
    """Name, what spoils a sound folder, code, why."""
    yield "truncated", text(lambda data: data[:-9]), "E_MANIFEST", "cut short"
    yield "spaces", text(lambda data: data.replace(b",", b", ")), "E_MANIFEST", "not in canonical form"
    yield "key-twice", text(lambda data: b'{"features":[],' + data[1:]), "E_MANIFEST", "a key stands twice"
    yield "list", text(lambda data: b"[" + data + b"]"), "E_MANIFEST", "no object"
    edited = text(lambda data: data.replace(b"levels/3", b"levels/4"))
    yield "edited", edited, "E_MANIFEST", "another path, the seal left"
    yield "other-format", field("format", "ticketctl.run"), "E_FORMAT", "not a set"
    yield "newer-major", field("format_version", "2.0"), "E_VERSION", "a major version from the future"
    yield "feature", field("features", ["set.nested"]), "E_FEATURE", "a feature nobody has yet"
    yield "unknown-key", field("more", 1), "E_MANIFEST", "a key that 1.0 has not"
    yield "unknown-key-inside", first(more=1), "E_MANIFEST", "a key of an entry that 1.0 has not"
    yield "empty", field("entries", []), "E_MANIFEST", "a set of nothing"
    yield "no-entries", root(lambda whole: whole.pop("entries")), "E_MANIFEST", "no entries"
    yield "many", root(many), "E_MANIFEST", "2,001 entries"
    yield "unsorted", root(lambda whole: whole["entries"].reverse()), "E_MANIFEST", "entries out of order"
    yield (
        "twice",
        root(lambda whole: whole["entries"].insert(0, whole["entries"][0])),
        "E_MANIFEST",
        "one path twice",
    )
    yield "path-up", last(path="verdicts/../../x"), "E_PATH", "a path that leads out of the folder"
    yield "path-root", last(path="/etc"), "E_PATH", "a path from the root"
    yield "path-hidden", last(path="verdicts/.x"), "E_PATH", "a component that begins with a dot"
    yield "path-backslash", last(path="verdicts\\x"), "E_PATH", "a path of another system"
    yield "path-slash", last(path="verdicts/"), "E_PATH", "an empty component"
    yield "path-control", last(path="verdicts/verdict-\x1b"), "E_PATH", "a control character in a path"
    yield "path-deep", last(path="z/controls/a/spends/b/c/d"), "E_MANIFEST", "seven components"
    yield "place", last(path="verdicts/levels"), "E_MANIFEST", "a place that no verdict has"
    yield "place-ticket", first(path="levels"), "E_MANIFEST", "a place in the stead of a group"
    yield "kind", first(kind="figure"), "E_MANIFEST", "a kind that sets do not hold"
    yield "id-kind", first(id="rn1" + "a" * 29), "E_MANIFEST", "a run's id for a ticket"
    yield "id", first(id="tk1../../x"), "E_MANIFEST", "no id"
    yield "digest", first(manifest_digest="sha256:zz"), "E_MANIFEST", "no digest"


def set_truth(found: SetManifest) -> dict[str, Any]:
    """What is where, and of which draw."""
    return {one.path: [one.kind, one.id, one.manifest_digest, one.group, one.place] for one in found.entries}
