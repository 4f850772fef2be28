"""The Hub as we use it: a few questions over the Hub's own client, each answered within seconds or by one line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ticketctl.errors import ArtifactError, HubError
from ticketctl.hub.endpoints import check_seconds, endpoint, offline_wanted, origin_of
from ticketctl.hub.errors import LOG_IN, explained, of_status, offline
from ticketctl.hub.names import HubName, is_commit, is_repo
from ticketctl.progress import Reporter, Silent

SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_XET_CLIENT_RETRY_MAX_DURATION": "3s",
    "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1",
}
"""What the Hub's client reads when it is imported, set unless the user did: no telemetry, no minutes of silence."""
MOST_FILES = 200_000
"""Files of a repository that are looked through at most."""


SAID = ("tags", "downloads", "lastModified")
"""What a search asks of each repository, and no lists of files."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its path there, its bytes, and their sha256 in hex where the Hub states it.

    `blob` is git's name of what git holds, where it is known: the file, or what stands for a large one.
    """

    path: str
    size: int
    sha256: str | None
    blob: str | None = None


@dataclass(frozen=True)
class Found:
    """A repository that a search found; `tags` are those of its card."""

    repo: str
    tags: tuple[str, ...]
    downloads: int
    updated: str


@dataclass(frozen=True)
class Hub:
    """A connection; `api` is the Hub's own client, for what stands not here."""

    api: Any
    endpoint: str
    reporter: Reporter
    token: str | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """As it is shown."""
        return origin_of(self.endpoint).host

    def explained(self, name: HubName | None = None, doing: str = "read") -> AbstractContextManager[None]:
        """What goes wrong inside becomes a line and an exit code: `ticketctl.hub.errors.explained`."""
        return explained(self.host, name, doing)

    def whoami(self) -> str:
        """The name of whose token it is.

        Raises:
            HubError: no token, or one that the Hub does not know; no connection.
        """
        if self.token is None:
            raise HubError(f"{self.host}: no token is at hand; {LOG_IN}")
        with self.explained():
            found = self.api.whoami()["name"]
            return HubName(f"{found}/x").repo.removesuffix("/x")

    def commit(self, name: HubName) -> str:
        """The commit, 40 hex digits, that the name stands for now; asked for once, so that a branch may move meanwhile.

        Raises:
            HubError: no such repository or revision, no right, no connection.
        """
        with self.explained(name):
            found = self.api.model_info(name.repo, revision=name.revision, expand=["sha"]).sha
        if not is_commit(found) or (is_commit(name.revision) and found != name.revision):
            raise HubError(f"{name}: {self.host} answers with a commit that is none, or another one")
        return str(found)

    def is_public(self, repo: str) -> bool:
        """Whether everybody may know of a repository; False also where the Hub does not say."""
        with suppress(HubError), self.explained():
            return self.api.model_info(repo, expand=["private"]).private is False
        return False

    def files(self, name: HubName) -> dict[str, RemoteFile]:
        """The files of a commit by their paths, as the Hub lists them.

        Raises:
            HubError: see `commit`; or more files than anyone should look through.
        """
        found: dict[str, RemoteFile] = {}
        with self.explained(name):
            rows = self.api.list_repo_tree(name.repo, revision=name.revision, recursive=True)
            for count, entry in enumerate(rows):
                if count >= MOST_FILES or entry.path in found:
                    what = f"more than {MOST_FILES} files" if count >= MOST_FILES else "a file twice"
                    raise HubError(f"{name}: {self.host} lists {what}: refused")
                if (size := getattr(entry, "size", None)) is None:
                    continue  # a folder
                stored = entry.lfs.sha256 if entry.lfs else None
                path, blob = str(entry.path), str(getattr(entry, "blob_id", ""))
                found[path] = RemoteFile(path, int(size), _digest(stored, name), blob)
        return found

    def blocks(self, name: HubName, path: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file of a commit from `start` on; the first block is empty if they begin at 0 instead.

        Args:
            name: with a commit for its revision.
            path: as `files` has it.
            start: 0 or more, less than the file has.

        Raises:
            HubError: see `commit`.
            ArtifactError: E_FILE_MISSING.
        """
        from huggingface_hub import get_session, hf_raise_for_status

        from ticketctl.hub.session import FILE

        url = f"{self.endpoint}/{name.repo}/resolve/{name.revision}/{quote(path)}"
        with self.explained(name):
            more = {"Range": f"bytes={start}-"} if start else {}
            headers = {**self._headers(), **more}
            with get_session().stream("GET", url, headers=headers, extensions={FILE: True}) as answer:
                hf_raise_for_status(answer)
                if not 200 <= answer.status_code < 300:
                    raise of_status(answer.status_code, str(name))
                if start and not (
                    answer.status_code == 206 and _begins(answer.headers.get("content-range", ""), start)
                ):
                    yield b""
                yield from answer.iter_bytes()  # in blocks of a size would keep the last ones back

    def count(self, name: HubName) -> None:
        """Let the Hub count a download, which it does at requests for this file; nothing depends on it."""
        from huggingface_hub import get_session

        url = f"{self.endpoint}/{name.repo}/resolve/{name.revision}/config.json"
        with suppress(HubError), self.explained(name):
            get_session().head(url, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        from huggingface_hub.utils._headers import build_hf_headers

        said: dict[str, str] = build_hf_headers(token=self.token or False, **_library())
        return {**said, "X-HF-Download-Counter": "1"}

    def search(
        self, tags: Sequence[str], *, words: str | None, author: str | None, most: int
    ) -> Iterator[Found]:
        """Repositories with all of these tags, the newest first, `most` at the most.

        Raises:
            HubError: see `commit`.
        """
        asked = {"filter": list(tags), "search": words, "author": author, "sort": "last_modified"}
        with self.explained():
            for one in self.api.list_models(**asked, limit=most, expand=SAID):
                if not is_repo(one.id):  # its name is shown in a command to be typed
                    continue
                when = one.last_modified
                yield Found(
                    str(one.id),
                    tuple(str(tag) for tag in one.tags or ()),
                    int(one.downloads or 0),
                    when.strftime("%Y-%m-%d") if when else "",
                )


@contextmanager
def connect(
    *,
    token_allowed: bool = True,
    offline: bool = False,
    reporter: Reporter | None = None,
    patience: float | None = None,
) -> Iterator[Hub]:
    """The Hub at `HF_ENDPOINT`, with the token of the Hub's own login or of `HF_TOKEN` if there is one.

    Args:
        token_allowed: False: ask as a stranger.
        offline: the network may not be used, which `HF_HUB_OFFLINE` says too.
        reporter: told when a request is tried again; asked at every block whether to go on.
        patience: seconds without a byte after which the Hub is given up; `HF_HUB_DOWNLOAD_TIMEOUT` if None, or 10.

    Raises:
        HubError: offline; a token that is none.
        UsageError: an endpoint that is not safe.
    """
    url = endpoint()
    host, told = origin_of(url).host, reporter or Silent()
    if offline or offline_wanted():
        raise _offline(host)
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    check_seconds()
    from huggingface_hub import HfApi

    with explained(host):
        token = _token() if token_allowed else None
    with _session(url, token, told, patience):
        yield Hub(HfApi(endpoint=url, token=token or False, **_library()), url, told, token)


_offline = offline  # `offline` is an argument above


@contextmanager
def _session(url: str, token: str | None, reporter: Reporter, patience: float | None) -> Iterator[None]:
    """The Hub's client under our rules, and as it was afterwards."""
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import _http, logging

    from ticketctl.hub.session import Rules, Session

    before, loud = _http._GLOBAL_CLIENT_FACTORY, logging.get_verbosity()
    silent, constants.HF_HUB_DISABLE_TELEMETRY = constants.HF_HUB_DISABLE_TELEMETRY, True
    limit = patience or _number(os.environ.get("HF_HUB_DOWNLOAD_TIMEOUT"))
    set_client_factory(lambda: Session(Rules(origin_of(url), reporter, token, limit)))
    logging.set_verbosity(50)  # critical: it would print a server's words as they come
    try:
        with _without_bars():
            yield
    finally:
        set_client_factory(before)
        constants.HF_HUB_DISABLE_TELEMETRY = silent
        logging.set_verbosity(loud)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Our own reporter tells how far it is; who asked for the client's bars by its variable has both."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if constants.HF_HUB_DISABLE_PROGRESS_BARS is not None or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _number(text: str | None) -> float:
    return float(text) if text and re.fullmatch(r"\d{1,4}(\.\d{1,3})?", text) and float(text) > 0 else 10.0


def _token() -> str | None:
    from huggingface_hub import get_token

    token = get_token()
    if token is not None and not re.fullmatch(r"[!-~]{1,2000}", token):
        raise HubError(f"the token of the Hub holds signs that no token has; {LOG_IN}")
    return token


def _library() -> Mapping[str, Any]:
    from ticketctl import __version__

    return {"library_name": "ticketctl", "library_version": __version__}


def _digest(sha256: Any, name: HubName) -> str | None:
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", str(sha256)):
        raise ArtifactError("E_FILE_DIGEST", f"{name}: the Hub lists a sha256 that is none")
    return None if sha256 is None else str(sha256)


def _begins(said: str, start: int) -> bool:
    found = re.match(r"bytes (\d{1,15})-", said)
    return found is not None and int(found[1]) == start
