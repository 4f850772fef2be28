"""The other half: file contents. `resolve` on the Hub's own origin, large files on a second one, as on the real Hub."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.hub.fakehub.repos import Blob, Commit, Repo
from tests.hub.fakehub.wire import Reply, Request, answer, refusal

if TYPE_CHECKING:
    from tests.hub.fakehub.hub import FakeHub

KINDS = ("datasets", "spaces")


def serve(hub: FakeHub, request: Request) -> Reply:
    """`[KIND/]OWNER/NAME/resolve/REVISION/PATH` and `[KIND/]OWNER/NAME.git/info/lfs/objects/(batch|verify)`."""
    parts = request.parts
    kind, parts = (parts[0], parts[1:]) if parts[0] in KINDS else ("models", parts)
    match parts:
        case [owner, name, "resolve", revision, *path] if path:
            return resolve(hub, request, kind, f"{owner}/{name}", revision, "/".join(path))
        case [owner, name, "info", "lfs", "objects", ("batch" | "verify") as verb]:
            repo = hub.find(request, kind, f"{owner}/{name.removesuffix('.git')}")
            if isinstance(repo, Reply):
                return repo
            if not hub.writes(hub.account(request), repo):
                return refusal(403, "Forbidden: you don't have write access to this repository")
            return batch(hub, request, repo) if verb == "batch" else verify(hub, request)
    return refusal(404, "Not found")


def resolve(hub: FakeHub, request: Request, kind: str, name: str, revision: str, path: str) -> Reply:
    repo = hub.find(request, kind, name)
    if isinstance(repo, Reply):
        return repo
    if shut := hub.shut(request, repo):
        return shut
    commit = repo.at(revision)
    if commit is None:
        return refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    blob = commit.files.get(path)
    if blob is None:
        missing = refusal(404, "Entry not found", "EntryNotFound")
        missing.headers["X-Repo-Commit"] = commit.sha
        return missing
    repo.downloads += path == "config.json"
    return large(hub, repo, commit, blob) if blob.lfs else small(request, commit, path, blob)


def small(request: Request, commit: Commit, path: str, blob: Blob) -> Reply:
    """What git holds comes from the Hub itself."""
    headers = {
        "X-Repo-Commit": commit.sha,
        "ETag": f'"{blob.etag}"',
        "Content-Disposition": f'inline; filename="{quote(path.rpartition("/")[2])}"',
    }
    return ranged(request, blob.data, headers)


def large(hub: FakeHub, repo: Repo, commit: Commit, blob: Blob) -> Reply:
    """What LFS or Xet holds: the facts in the headers, the bytes elsewhere."""
    headers = {
        "X-Repo-Commit": commit.sha,
        "X-Linked-Etag": f'"{blob.etag}"',
        "X-Linked-Size": str(blob.size),
        "ETag": f'"{blob.etag}"',
        "Location": f"{hub.store_url}/blob/{blob.sha256}?signature=0",
    }
    if blob.xet:
        auth = f"{hub.url}/api/{repo.kind}/{repo.id}/xet-read-token/{commit.sha}"
        headers |= {"X-Xet-Hash": blob.xet, "X-Xet-Refresh-Route": auth, "Link": f'<{auth}>; rel="xet-auth"'}
    return Reply(302, headers)


def ranged(request: Request, data: bytes, headers: dict[str, str]) -> Reply:
    """The whole, or the one range that was asked for."""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if asked is None:
        return Reply(200, headers, data)
    first, last = asked.groups()
    start = int(first) if first else max(len(data) - int(last or 0), 0)
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if start > end:
        return Reply(416, {**headers, "Content-Range": f"bytes */{len(data)}"})
    return Reply(206, {**headers, "Content-Range": f"bytes {start}-{end}/{len(data)}"}, data[start : end + 1])


def batch(hub: FakeHub, request: Request, repo: Repo) -> Reply:
    """Where to put what is not there yet."""
    rows = []
    for wanted in request.json()["objects"]:
        row = {"oid": wanted["oid"], "size": wanted["size"]}
        if hub.stored(wanted["oid"]) is None:
            put = {"href": f"{hub.store_url}/upload/{wanted['oid']}?signature=0"}
            told = {"href": f"{hub.url}/{repo.id}.git/info/lfs/objects/verify"}
            row["actions"] = {"upload": put, "verify": told}
        rows.append(row)
    return answer({"transfer": "basic", "objects": rows})


def verify(hub: FakeHub, request: Request) -> Reply:
    wanted = request.json()
    data = hub.stored(wanted["oid"])
    good = data is not None and len(data) == wanted["size"]
    return answer({}) if good else refusal(422, "Size or content differs")


def serve_store(hub: FakeHub, request: Request) -> Reply:
    """The second origin: signed addresses, no tokens."""
    match request.parts:
        case ["blob", oid] if (data := hub.stored(oid)) is not None:
            return ranged(request, data, {"ETag": f'"{oid}"'})
        case ["upload", oid] if request.method == "PUT":
            if hashlib.sha256(request.body).hexdigest() != oid:
                return refusal(400, "The bytes are not those that were announced")
            hub.store_blob(request.body)
            return Reply(200)
    return refusal(404, "Not found")
