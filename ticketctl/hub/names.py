"""Names of repositories on the Hub, as they are typed: `hf://org/name[@revision]`, or without `hf://`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ticketctl.errors import UsageError

SCHEME = "hf://"
MAX_REPO, MAX_REVISION = 96, 200
"""Signs of a repository's id, as the Hub has it, and of a branch, tag or commit."""
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FORM = "write hf://org/name or hf://org/name@revision"


@dataclass(frozen=True)
class HubName:
    """A repository of models, and the branch, tag or commit of it that is asked for (None: `main`)."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}{f'@{self.revision}' if self.revision else ''}"

    @property
    def folder(self) -> str:
        """How its folder in a workspace is called; no id holds `--`, so that no two share one."""
        return self.repo.replace("/", "--")

    def at(self, commit: str) -> HubName:
        """The same repository at a commit."""
        return HubName(self.repo, commit)


def is_hub(text: object) -> bool:
    """Whether this is meant as a name on the Hub.

    >>> is_hub("hf://org/name"), is_hub("org/name"), is_hub(None)
    (True, False, False)
    """
    return isinstance(text, str) and text.startswith(SCHEME)


def is_commit(text: object) -> bool:
    """Whether this is a commit in full: 40 lower-case hex digits, and safe as a part of a path."""
    return isinstance(text, str) and _COMMIT.fullmatch(text) is not None


def is_repo(text: object) -> bool:
    """Whether the Hub would take this as the id of a repository: `org/name`."""
    plain = isinstance(text, str) and len(text) <= MAX_REPO and _REPO.fullmatch(text) is not None
    return plain and not _odd(str(text)) and not str(text).endswith(".git")


def parse(text: str) -> HubName:
    """The name in `hf://org/name[@revision]`; `hf://` may be missing.

    Raises:
        UsageError: anything that the Hub would not take as the id of a repository or as a revision, or more than that.

    >>> parse("hf://org/lenet@v1")
    HubName(repo='org/lenet', revision='v1')
    """
    repo, at, revision = text.removeprefix(SCHEME).partition("@")
    shown = repr(text[:MAX_REPO])
    if repo.count("/") > 1:
        raise UsageError(f"{shown}: a repository is named by two words, and no file in it; {_FORM}")
    if not is_repo(repo):
        raise UsageError(f"{shown} is no name of a repository on the Hub; {_FORM}")
    if not at:
        return HubName(repo)
    if len(revision) > MAX_REVISION or not _REVISION.fullmatch(revision) or _odd(revision, ("..",)):
        raise UsageError(f"{shown}: {revision[:40]!r} is no branch, tag or commit; {_FORM}")
    if revision.endswith((".", ".lock")):
        raise UsageError(f"{shown}: no branch or tag may end so; {_FORM}")
    return HubName(repo, revision)


def _odd(text: str, signs: tuple[str, ...] = ("..", "--")) -> bool:
    return any(sign in text for sign in signs)
