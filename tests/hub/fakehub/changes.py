"""What changes a repository: uploads announced, commits, tags, branches, settings."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from tests.hub.fakehub.repos import Blob, Commit, Repo, goes_to_lfs
from tests.hub.fakehub.wire import Reply, Request, answer, refusal

if TYPE_CHECKING:
    from tests.hub.fakehub.hub import FakeHub


def preupload(hub: FakeHub, request: Request, repo: Repo, commit: Commit, _: str) -> Reply:
    rows = []
    for file in request.json()["files"]:
        path, there = file["path"], commit.files.get(file["path"])
        mode = "lfs" if goes_to_lfs(path, file["size"], base64.b64decode(file["sample"])) else "regular"
        row = {"path": path, "uploadMode": mode, "shouldIgnore": False}
        rows.append(row if there is None else {**row, "oid": there.etag})
    return answer({"files": rows})


def commit_files(hub: FakeHub, request: Request, repo: Repo, commit: Commit, revision: str) -> Reply:
    lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    if revision not in repo.branches:
        return refusal(400, f"{revision} is not a branch")
    with hub.lock:
        if header.get("parentCommit") not in (None, repo.branches[revision]):
            return refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repo.commits[repo.branches[revision]].files)
        for line in lines:
            if fault := _apply(hub, files, line["key"], line["value"]):
                return fault
        account = hub.account(request)
        made = repo.commit(
            files, header["summary"], author=account.name if account else "", message=header.get("description", ""),
            branch=revision,
        )  # fmt: skip
    url = f"{hub.url}/{repo.id}/commit/{made.sha}"
    return answer({"success": True, "commitUrl": url, "commitOid": made.sha, "hookOutput": ""})


def _apply(hub: FakeHub, files: dict[str, Blob], key: str, value: dict[str, Any]) -> Reply | None:
    path = value.get("path", "")
    if key == "file":
        files[path] = Blob(base64.b64decode(value["content"]))
    elif key == "lfsFile":
        data = hub.stored(value["oid"])
        if data is None:
            return refusal(400, f"LFS pointer pointed to a file that does not exist: {path}")
        files[path] = Blob(data, lfs=True, xet=hub.xet_hash(value["oid"]))
    elif key == "deletedFile":
        if files.pop(path, None) is None:
            return refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
    elif key == "deletedFolder":
        for inside in [one for one in files if one.startswith(path.rstrip("/") + "/")]:
            del files[inside]
    return None


def tag(hub: FakeHub, request: Request, repo: Repo, named: str) -> Reply:
    if request.method == "DELETE":
        gone = repo.tags.pop(named, None)
        return answer({}) if gone else refusal(404, f"Tag {named} does not exist", "RevisionNotFound")
    commit, name = repo.at(named), request.json()["tag"]
    if commit is None:
        return refusal(404, f"Invalid rev id: {named}", "RevisionNotFound")
    if name in repo.tags:
        return refusal(409, f"Tag {name} already exists")
    repo.tags[name] = commit.sha
    return answer({})


def branch(hub: FakeHub, request: Request, repo: Repo, name: str) -> Reply:
    if request.method == "DELETE":
        repo.branches.pop(name, None)
        return answer({})
    start = repo.at(request.json().get("startingPoint", "main"))
    if start is None:
        return refusal(404, "Invalid starting point", "RevisionNotFound")
    if name in repo.branches:
        return refusal(409, f"Branch {name} already exists")
    repo.branches[name] = start.sha
    return answer({})


def settings(hub: FakeHub, request: Request, repo: Repo, _: str) -> Reply:
    said = request.json()
    if "visibility" in said or "private" in said:
        repo.private = said.get("visibility") == "private" or bool(said.get("private"))
    repo.gated = said.get("gated", repo.gated)
    return answer({"private": repo.private, "gated": repo.gated})
