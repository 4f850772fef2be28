"""What the test Hub keeps: blobs, commits, repositories, and who may do what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import yaml

LFS_SUFFIXES = (
    ".safetensors",
    ".zip",
    ".npz",
    ".npy",
    ".pt",
    ".pth",
    ".bin",
    ".pkl",
    ".onnx",
    ".h5",
    ".gz",
    ".tar",
)
LFS_SIZE = 10 << 20
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


@dataclass(frozen=True)
class Blob:
    """One file's bytes. `lfs`: known by its sha256 and kept in the store beside git."""

    data: bytes
    lfs: bool = False
    xet: str | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data)

    @cached_property
    def sha256(self) -> str:
        """Of the bytes."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def oid(self) -> str:
        """Git's name of what git holds: the bytes, or the pointer of an LFS file."""
        return git_oid(self.pointer if self.lfs else self.data)

    @property
    def pointer(self) -> bytes:
        """What git holds of an LFS file."""
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n"
        ).encode()

    @property
    def etag(self) -> str:
        """The name under which the client caches it."""
        return self.sha256 if self.lfs else self.oid

    def described(self, path: str) -> dict[str, Any]:
        """As `tree` and `paths-info` say it."""
        said: dict[str, Any] = {"type": "file", "oid": self.oid, "size": self.size, "path": path}
        if self.lfs:
            said["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": len(self.pointer)}
        if self.xet:
            said["xetHash"] = self.xet
        return said


def git_oid(data: bytes) -> str:
    """Git's sha1 of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def goes_to_lfs(path: str, size: int, sample: bytes) -> bool:
    """By name, by size, or because the first bytes are no text."""
    return size > 0 and (path.endswith(LFS_SUFFIXES) or size > LFS_SIZE or b"\0" in sample)


@dataclass(frozen=True)
class Commit:
    """A whole tree and how it came about."""

    sha: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, Blob]


@dataclass
class Repo:
    """One repository. `granted`: the accounts that a gated one lets in."""

    id: str
    kind: str = "models"
    private: bool = True
    gated: bool | str = False
    granted: set[str] = field(default_factory=set)
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    downloads: int = 0

    @property
    def head(self) -> Commit:
        """The newest commit of main."""
        return self.commits[self.branches["main"]]

    @property
    def files(self) -> dict[str, bytes]:
        """The bytes of every file of main."""
        return {path: blob.data for path, blob in self.head.files.items()}

    @property
    def owner(self) -> str:
        """The user or organisation before the slash."""
        return self.id.partition("/")[0]

    def at(self, revision: str) -> Commit | None:
        """The commit of a branch, tag or (whole) sha."""
        revision = "main" if revision == "HEAD" else revision
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        return self.commits.get(sha)

    def lineage(self, commit: Commit) -> Iterator[Commit]:
        """A commit and all before it, newest first."""
        sha: str | None = commit.sha
        while sha is not None:
            yield self.commits[sha]
            sha = self.commits[sha].parent

    def commit(
        self,
        files: Mapping[str, Blob],
        title: str,
        *,
        author: str = "ada",
        message: str = "",
        branch: str = "main",
    ) -> Commit:
        """Put a whole tree on a branch."""
        parent = self.branches.get(branch)
        date = (FIRST + timedelta(minutes=len(self.commits))).isoformat().replace("+00:00", "Z")
        named = [
            self.kind,
            self.id,
            parent,
            title,
            len(self.commits),
            sorted((p, b.oid) for p, b in files.items()),
        ]
        sha = hashlib.sha1(json.dumps(named).encode(), usedforsecurity=False).hexdigest()
        made = Commit(sha, parent, title, message, author, date, dict(files))
        self.commits[sha], self.branches[branch] = made, sha
        return made

    @property
    def card(self) -> dict[str, Any]:
        """The YAML at the head of the README."""
        readme = self.head.files.get("README.md")
        return front_matter(readme.data.decode("utf-8", "replace")) if readme else {}


def front_matter(text: str) -> dict[str, Any]:
    """The YAML between the first two lines of dashes. Raises yaml.YAMLError."""
    if not text.startswith("---\n") or "\n---" not in text[3:]:
        return {}
    said = yaml.safe_load(text[4 : text.index("\n---", 3) + 1])
    return said if isinstance(said, dict) else {}


def hub_tags(card: Mapping[str, Any]) -> list[str]:
    """The tags of a repository as the Hub makes them from its card."""
    tags = [str(tag) for tag in card.get("tags") or []]
    tags += [str(card[key]) for key in ("library_name", "pipeline_tag") if card.get(key)]
    for key, prefix in (("license", "license"), ("base_model", "base_model"), ("datasets", "dataset")):
        said = card.get(key) or []
        tags += [f"{prefix}:{one}" for one in ([said] if isinstance(said, str) else said)]
    return list(dict.fromkeys([*tags, "region:us"]))


@dataclass(frozen=True)
class Account:
    """Who a token stands for; `role` is the token's: read or write."""

    name: str
    orgs: tuple[str, ...] = ()
    role: str = "write"

    def owns(self, namespace: str) -> bool:
        """Whether repositories under this name are theirs."""
        return namespace == self.name or namespace in self.orgs
