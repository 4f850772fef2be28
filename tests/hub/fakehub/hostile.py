"""A Hub that means harm: named cases, each with what `ticketctl pull` must make of it.

Every case begins with a sound ticket in REPO, tagged v1, on a Hub of its own, and another origin (`stage.other`) that
takes down whatever reaches it. In all of them nothing is written outside the folder of the repository, no token goes to
another origin than the Hub's, no control character reaches the terminal, and it ends within seconds by one line.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from tests.artifacts import samples
from tests.artifacts.hostile_folders import rewrite
from tests.hub.fakehub.hub import FakeHub

REPO = "lab/first"
INFO, TREE, FILE = r"^/api/models/lab/first(/revision/.*)?$", r"/tree/", r"/resolve/"
DONE, USAGE, BAD, HUB = (0,), (2,), (3,), (9,)
ESC = "\x1b[31m\x07evil\x1b]0;owned\x07"


@dataclass
class Stage:
    """One hostile Hub: `inside` is a place in the test's sandbox at which nobody may write."""

    hub: FakeHub
    other: FakeHub
    ticket: Path
    inside: Path
    files: dict[str, bytes] = field(default_factory=dict)

    def plant(self) -> None:
        """The sound ticket, on the Hub and at the other origin."""
        self.files = read(self.ticket)
        for hub in (self.hub, self.other):
            hub.put(
                REPO, {**self.files, "config.json": b"{}", "README.md": b"# First\n"}, private=False, tag="v1"
            )

    def manifest(
        self, change: Callable[[dict[str, Any]], Any], more: Mapping[str, bytes] | None = None
    ) -> None:
        """A ticket whose manifest was changed and sealed anew; `more` are other files beside."""
        folder = self.inside / "spoilt"
        shutil.copytree(self.ticket, folder)
        rewrite(folder, change)
        changed = {"ticket.json": (folder / "ticket.json").read_bytes()}
        shutil.rmtree(folder)
        self.hub.put(REPO, {**(more or {}), **changed})

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        """`stage.drop(FILE, after=3)`: a fault of the Hub."""
        return lambda path="", **details: self.hub.fault(kind.replace("_", " ").strip(), path, **details)


def read(folder: Path) -> dict[str, bytes]:
    """All files of a folder by their names below it."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@dataclass(frozen=True)
class Case:
    """What the Hub does, the exit codes that are right, what is asked for, and a word that the line must have.

    `patience` are the seconds after which the client gives a silent Hub up, where that is the point: a machine that
    stands still for a moment is no silent Hub.
    """

    name: str
    spoil: Callable[[Stage], Any]
    exits: tuple[int, ...]
    ask: str = REPO
    says: str = ""
    patience: float | None = None

    @property
    def env(self) -> dict[str, str]:
        """What the client finds in its environment."""
        return {} if self.patience is None else {"HF_HUB_DOWNLOAD_TIMEOUT": str(self.patience)}


def nothing(stage: Stage) -> None:
    """The harm is in what is asked for."""


def names() -> Iterator[Case]:
    """Repositories and revisions as they are typed."""
    bad = {
        "revision up": f"{REPO}@../../../x",
        "revision up within": f"{REPO}@a/../../b",
        "revision absolute": f"{REPO}@/etc",
        "revision of nothing": f"{REPO}@a//b",
        "revision with escape": f"{REPO}@{ESC}",
        "revision with NUL": f"{REPO}@a\0b",
        "revision of 300 signs": f"{REPO}@{'a' * 300}",
        "revision with a query": f"{REPO}@main?x=1",
        "revision percent": f"{REPO}@%2e%2e%2f",
        "repository up": "../first",
        "repository dots": "lab/..",
        "repository of three": "lab/first/../../x",
        "repository backslash": "lab\\..\\first",
        "repository absolute": "/etc/x",
        "repository with escape": f"lab/{ESC}",
        "repository with a host": "http://127.0.0.1:1/lab/first",
    }
    for name, asked in bad.items():
        yield Case(name, nothing, USAGE, asked)
    yield Case("no such revision", nothing, HUB, f"{REPO}@nowhere", "nowhere")
    yield Case("no such repository", nothing, HUB, "lab/none")


def facts() -> Iterator[Case]:
    """What the Hub says of a repository: its commit, in JSON that may be none."""
    for name, sha in {"up": "../../../../x", "absolute": "/tmp/x", "short": "a" * 39, "none": None, "a number": 5,
                      "an object": {"a": 1}, "with escape": "a" * 40 + ESC}.items():  # fmt: skip
        yield Case(
            f"commit {name}", lambda on, sha=sha: on.edit(INFO, how=lambda info: info.update(sha=sha)), HUB
        )
    other = "b" * 40
    yield Case(
        "commit is another than asked",
        lambda on: on.edit("/revision/", how=lambda info: info.update(sha=other)),
        HUB,
        f"{REPO}@{'a' * 40}",
    )
    for where, path in {"info": INFO, "tree": TREE}.items():
        texts = {
            "a list of numbers": b"[1,2]",
            "null": b"null",
            "no JSON": b"<html>",
            "half": b'{"sha": "',
            "no UTF-8": b"\xff\xfe{",
            "200,000 deep": b"[" * 200_000,
            "a string": b'"x"',
            "empty": b"",
        }
        for name, text in texts.items():
            yield Case(f"{where} is {name}", lambda on, p=path, t=text: on.body(p, data=t), HUB)
        yield Case(f"{where} never ends", lambda on, p=path: on.endless(p), HUB)
        yield Case(f"{where} is 100 MB", lambda on, p=path: on.body(p, data=b" " * 10**8 + b"[]"), HUB)
        yield Case(f"{where} is 100 MB zipped", lambda on, p=path: zipped(on, p), HUB)


def zipped(on: Stage, path: str) -> None:
    """A small answer that unpacks into 100 MB."""
    on.headers(path, Content_Encoding="gzip")
    on.body(path, data=bomb())


@cache
def bomb() -> bytes:
    """100 MB of zeros, packed."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(packer.compress(b"\0" * (1 << 24)) for _ in range(6)) + packer.flush()


def listings() -> Iterator[Case]:
    """What the Hub says is in a commit."""

    def each(
        change: Callable[[dict[str, Any]], Any], only: str = "mask.safetensors"
    ) -> Callable[[Stage], Any]:
        return lambda on: on.edit(
            TREE, how=lambda rows: [row for row in rows if row["path"] != only or change(row) is not False]
        )

    sizes = {"negative": -1, "2^60": 1 << 60, "a string": "many", "null": None, "a byte less": 1}
    for name, size in sizes.items():
        yield Case(
            f"a listed size is {name}", each(lambda row, size=size: row.update(size=size)), (*BAD, *HUB)
        )
    for name, sha in {"of other bytes": "0" * 64, "no hash": "../../x", "null": None}.items():
        yield Case(
            f"a listed sha256 is {name}",
            each(lambda row, sha=sha: row["lfs"].update(oid=sha)),
            (*BAD, *HUB, 0),
        )
    yield Case("a listed file is missing", each(lambda row: False), BAD)
    yield Case("the manifest is missing", each(lambda row: False, "ticket.json"), BAD)
    yield Case("the manifest has 2^60 bytes", each(lambda row: row.update(size=1 << 60), "ticket.json"), BAD)
    yield Case("rows without a path", lambda on: on.edit(TREE, how=lambda rows: [{"type": "file"}]), HUB)
    yield Case(
        "every file twice", lambda on: on.edit(TREE, how=lambda rows: rows + rows), (*DONE, *BAD, *HUB)
    )
    names = {
        "up": "../../../../x",
        "absolute": "/tmp/x",
        "backslash": "..\\..\\x",
        "NUL": "a\0b",
        "escape": ESC,
        "empty": "",
        "dots": "./ticket.json",
        "slashes": "a//b",
        "drive": "C:\\x",
        "newline": "a\nticketctl: all is well",
    }
    for name, path in names.items():
        yield Case(f"a file beside is called {name}", lambda on, p=path: on.hub.put(REPO, {p: b"evil"}), DONE)
    code = b"cos\nsystem\n"
    beside = dict.fromkeys(("model.pt", "a.pkl", "run.py", "x.sh", "setup.py", "conftest.py"), code)
    yield Case("pickles and code beside", lambda on: on.hub.put(REPO, beside), DONE)
    yield Case("100,000 files beside", many, DONE)
    yield Case("a page that leads to itself", circle, HUB)
    yield Case("a page for each file, without end", crumbs, HUB)


def many(on: Stage) -> None:
    """As a repository that nobody cleans."""
    on.hub.put(REPO, {f"d{number % 100}/f{number}": b"x" for number in range(100_000)})


def crumbs(on: Stage) -> None:
    """Another file on every page, and always another page."""
    number = count()
    on.edit(TREE, how=lambda rows: [{"type": "file", "oid": "0" * 40, "size": 1, "path": f"f{next(number)}"}])
    circle(on)


def circle(on: Stage) -> None:
    """The next page is this one."""
    link = f'<{on.hub.url}/api/models/{REPO}/tree/main>; rel="next"'
    on.headers(TREE, Link=link)


def manifests() -> Iterator[Case]:
    """What a ticket says of itself; all are sealed."""

    def path(name: str) -> Callable[[Stage], Any]:
        def change(fields: dict[str, Any]) -> None:
            fields["files"][0]["path"] = name
            fields["files"].sort(key=lambda file: file["path"])

        return lambda on: on.manifest(change, {name: on.files[sorted(on.files)[0]]})

    names = {
        "up": "../x",
        "far up": "../../../../x",
        "absolute": "/tmp/x",
        "backslash": "..\\x",
        "drive": "C:x",
        "NUL": "a\0b",
        "escape": ESC,
        "dots": "./x",
        "itself": "ticket.json",
        "hidden": ".git/config",
        "long": "a" * 5000,
        "home": "~/x",
    }
    for name, said in names.items():
        yield Case(f"a manifest lists {name}", path(said), BAD)
    yield Case("a manifest lists a pickle", path("weights.pkl"), BAD)
    yield Case(
        "a manifest of another version", lambda on: on.manifest(lambda f: f.update(format_version="2.0")), BAD
    )
    yield Case(
        "a manifest with a feature of tomorrow",
        lambda on: on.manifest(lambda f: f["features"].append("x")),
        BAD,
    )
    yield Case(
        "a manifest lists 2^50 bytes",
        lambda on: on.manifest(lambda f: f["files"][0].update(size=1 << 50)),
        BAD,
    )
    for name, text in {
        "200,000 deep": b"[" * 200_000,
        "5 MB": b" " * 5_000_000,
        "no JSON": b"\x80",
        "empty": b"",
    }.items():
        yield Case(f"a manifest is {name}", lambda on, t=text: on.hub.put(REPO, {"ticket.json": t}), BAD)
    yield Case("another ticket than expected", nothing, BAD, f"{REPO} --expect tk1{'a' * 29}", "holds ticket")


def sound(folder: Path) -> Path:
    """The ticket that every case begins with."""
    samples.ticket(folder)
    return folder
