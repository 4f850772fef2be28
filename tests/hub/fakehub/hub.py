"""The test Hub itself: two origins, its repositories, its accounts, its faults."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.hub.fakehub import api, faults, files
from tests.hub.fakehub.repos import ATTRIBUTES, Account, Blob, Commit, Repo, goes_to_lfs
from tests.hub.fakehub.wire import Reply, Request, Server, refusal
from tests.hub.fakehub.xet import XetStore


class FakeHub:
    """See the package's docstring."""

    token = "hf_CanaryOfTheTestHubThatNobodyMaySee00"
    """Ada's, may write under `ada` and `lab`."""
    reader = "hf_CanaryThatMayOnlyReadOfTheTestHub000"
    """Ada's too, may only read."""
    stranger = "hf_CanaryOfSomebodyElseOnTheTestHub00000"
    """Bob's, who sees nothing of Ada's private repositories."""

    def __init__(self, folder: Path, xet: bool = False) -> None:
        self.folder = Path(folder)
        self.requests: list[Request] = []
        self.repos: dict[str, Repo] = {}
        self.moved: dict[str, str] = {}
        self.page = 1000
        self.trees: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
        self.tokens = {
            self.token: Account("ada", ("lab",)),
            self.reader: Account("ada", ("lab",), "read"),
            self.stranger: Account("bob"),
        }
        self.lock = threading.RLock()
        self.faults: list[faults.Fault] = []
        self.xet = XetStore(self.folder / "cas") if xet else None
        self._blobs: dict[str, bytes] = {}
        self._hub, self._store = self._start("hub"), self._start("store")

    def _start(self, origin: str, port: int = 0) -> Server:
        return Server(origin, self._serve, self.requests, port)

    def _serve(self, request: Request) -> Reply:
        return faults.through(self.faults, request, self._proceed)

    def _proceed(self, request: Request) -> Reply:
        if request.origin == "store":
            return files.serve_store(self, request)
        return (api if request.parts[0] == "api" else files).serve(self, request)

    @property
    def url(self) -> str:
        """Of the Hub: what HF_ENDPOINT wants."""
        return self._hub.url

    @property
    def store_url(self) -> str:
        """Of the large files: another origin, to which no token may travel."""
        return self._store.url

    def env(self, home: Path, token: str | None = None) -> dict[str, str]:
        """A whole environment for a subprocess whose Hub this is; `token`: another than Ada's, "" for none."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("HF_", "HUGGING", "TICKETCTL_INSECURE"))
            and not key.lower().endswith("_proxy")
        }
        kept |= {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
        # a store in a folder is nothing that ticketctl would take from a Hub it does not know
        kept |= {"HF_HUB_DISABLE_XET": "1"} if self.xet is None else {"TICKETCTL_INSECURE_ENDPOINT": "1"}
        if token != "":
            kept["HF_TOKEN"] = token or self.token
        return kept

    # -- repositories -------------------------------------------------------------------------------------------

    @staticmethod
    def key(kind: str, name: str) -> str:
        """Models go by their name alone."""
        return name if kind == "models" else f"{kind}/{name}"

    def create(self, name: str, *, kind: str = "models", private: bool = True) -> Repo:
        """An empty repository: one commit with .gitattributes."""
        repo = self.repos[self.key(kind, name)] = Repo(name, kind, private)
        repo.commit({".gitattributes": Blob(ATTRIBUTES)}, "initial commit", author="system")
        return repo

    def put(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        private: bool = True,
        gated: bool | str = False,
        tag: str | None = None,
        whole: bool = False,
        lfs: bool | None = None,
        branch: str = "main",
    ) -> Commit:
        """Plant files in a model repository (made if new) as one commit, beside what is there or (`whole`) instead.

        `private` and `gated` are for a new one. Names are taken as they are, `..` and all. `lfs`: for these all or
        none, instead of by the Hub's own rule.
        """
        if name not in self.repos:
            self.create(name, private=private).gated = gated
        repo = self.repos[name]
        there = {} if whole else dict(repo.head.files)
        for path, data in files.items():
            large = goes_to_lfs(path, len(data), data[:512]) if lfs is None else lfs
            there[path] = self.large(data) if large else Blob(data)
        commit = repo.commit(there, f"plant {len(files)} files", branch=branch)
        if tag is not None:
            repo.tags[tag] = commit.sha
        return commit

    def rename(self, old: str, new: str) -> None:
        """As the Hub does: the old name redirects."""
        self.repos[new] = self.repos.pop(old)
        self.repos[new].id, self.moved[old] = new, new

    # -- large files --------------------------------------------------------------------------------------------

    def store_blob(self, data: bytes) -> None:
        """Keep one large file."""
        self._blobs[hashlib.sha256(data).hexdigest()] = data
        if self.xet is not None:
            self.xet.write(data)

    def large(self, data: bytes) -> Blob:
        """Keep one large file, and speak of it as this Hub does."""
        self.store_blob(data)
        return Blob(data, True, self.xet_hash(hashlib.sha256(data).hexdigest()))

    def stored(self, oid: str) -> bytes | None:
        """One large file by its sha256."""
        if oid not in self._blobs and self.xet is not None and (data := self.xet.read(oid)) is not None:
            self._blobs[oid] = data
        return self._blobs.get(oid)

    def xet_hash(self, oid: str) -> str | None:
        """The Xet name of a large file, if it came that way."""
        return self.xet.names().get(oid) if self.xet else None

    def xet_token(self) -> Reply:
        """Where the Xet store is and until when."""
        return self.xet.token() if self.xet else refusal(404, "Xet is not enabled")

    # -- rights -------------------------------------------------------------------------------------------------

    def account(self, request: Request) -> Account | None:
        """Whose token the request has."""
        return self.tokens.get(request.token or "")

    def sees(self, account: Account | None, repo: Repo) -> bool:
        """Whether the repository exists for them."""
        return not repo.private or (account is not None and account.owns(repo.owner))

    def writes(self, account: Account | None, repo: Repo) -> bool:
        """Whether they may change it."""
        return account is not None and account.owns(repo.owner) and account.role == "write"

    def find(self, request: Request, kind: str, name: str) -> Repo | Reply:
        """The repository, or what the Hub says instead: 401 to nobody and wrong tokens, 404 to others, 307 if moved."""
        account = self.account(request)
        if request.token is not None and account is None:
            return refusal(401, "Invalid credentials in Authorization header")
        if name in self.moved:
            return Reply(307, {"Location": request.path.replace(name, self.moved[name], 1)})
        repo = self.repos.get(self.key(kind, name))
        if repo is not None and self.sees(account, repo):
            return repo
        return refusal(401 if account is None else 404, "Repository not found", "RepoNotFound")

    def shut(self, request: Request, repo: Repo) -> Reply | None:
        """The refusal of a gated repository's files."""
        account = self.account(request)
        if not repo.gated or (
            account is not None and (account.owns(repo.owner) or account.name in repo.granted)
        ):
            return None
        said = f"Access to model {repo.id} is restricted. You must have access to it and be authenticated."
        return refusal(401 if account is None else 403, said, "GatedRepo")

    # -- faults and ends ----------------------------------------------------------------------------------------

    def fault(self, kind: str, path: str = "", **details: Any) -> faults.Fault:
        """Let something go wrong from now on: see faults.KINDS and faults.make."""
        made = faults.make(self, kind, path, **details)
        self.faults.append(made)
        return made

    def mend(self) -> None:
        """No more faults."""
        self.faults.clear()

    @contextmanager
    def offline(self) -> Iterator[None]:
        """Nobody listens meanwhile, on the same port."""
        port = self._hub.server_port
        self._hub.close()
        try:
            yield
        finally:
            self._hub = self._start("hub", port)

    def asked(self, method: str = "", path: str = "") -> list[str]:
        """The requests so far as lines, those with this method and this in their path."""
        return [str(one) for one in self.requests if method in one.method and path in one.path]

    def traffic(self) -> dict[str, int]:
        """Bytes to and from each origin: `hub in`, `hub out`, `store in`, `store out`."""
        sums = {f"{origin} {way}": 0 for origin in ("hub", "store") for way in ("in", "out")}
        for one in self.requests:
            sums[f"{one.origin} in"] += one.received
            sums[f"{one.origin} out"] += one.sent
        return sums

    def leaks(self) -> list[str]:
        """Requests that brought a token to the second origin. Must be empty."""
        tokens = [*self.tokens]
        return [str(one) for one in self.requests if one.origin != "hub" and any(map(one.holds, tokens))]

    def close(self) -> None:
        """End both origins, and the connections that this process's own client keeps."""
        self._hub.close()
        self._store.close()
        if "huggingface_hub" in sys.modules:
            sys.modules["huggingface_hub"].close_session()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()
