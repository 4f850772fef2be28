"""The JSON half of the Hub: who am I, repositories, commits, tags, trees, searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import yaml

from tests.hub.fakehub import changes
from tests.hub.fakehub.repos import Commit, Repo, front_matter, hub_tags
from tests.hub.fakehub.wire import Reply, Request, answer, refusal

if TYPE_CHECKING:
    from tests.hub.fakehub.hub import FakeHub

Action = Callable[["FakeHub", Request, Repo, Commit, str], Reply]


def serve(hub: FakeHub, request: Request) -> Reply:
    """Everything below /api."""
    match request.parts[1:]:
        case ["whoami-v2"]:
            return whoami(hub, request)
        case ["agent-harnesses"]:
            return answer([])
        case ["validate-yaml"]:
            return validate_yaml(request)
        case ["repos", ("create" | "delete") as verb]:
            return create(hub, request) if verb == "create" else delete(hub, request)
        case ["models" | "datasets" | "spaces" as kind]:
            return search(hub, request, kind)
        case ["models" | "datasets" | "spaces" as kind, owner, name, *rest]:
            return one_repo(hub, request, kind, f"{owner}/{name}", rest)
    return refusal(404, "Not found")


def whoami(hub: FakeHub, request: Request) -> Reply:
    account = hub.account(request)
    if account is None:
        return refusal(401, "Invalid username or password.")
    orgs = [{"type": "org", "name": name, "roleInOrg": "write"} for name in account.orgs]
    token = {"displayName": "test", "role": account.role}
    said = {"type": "user", "id": account.name, "name": account.name, "fullname": account.name.title()}
    return answer({**said, "orgs": orgs, "auth": {"type": "access_token", "accessToken": token}})


def validate_yaml(request: Request) -> Reply:
    try:
        card = front_matter(request.json()["content"])
    except yaml.YAMLError as error:
        return answer({"errors": [{"message": str(error).splitlines()[0]}], "warnings": []}, 400)
    if not isinstance(card.get("tags", []), list):
        return answer({"errors": [{"message": '"tags" must be an array'}], "warnings": []}, 400)
    empty = "empty or missing yaml metadata in repo card"
    return answer({"errors": [], "warnings": [] if card else [{"message": empty}]})


def create(hub: FakeHub, request: Request) -> Reply:
    account, wanted = hub.account(request), request.json()
    if account is None:
        return refusal(401, "Invalid username or password.")
    kind, owner = f"{wanted.get('type', 'model')}s", wanted.get("organization") or account.name
    name = f"{owner}/{wanted['name']}"
    if account.role == "read" or not account.owns(owner):
        return refusal(
            403, f'You don\'t have the rights to create a {kind[:-1]} under the namespace "{owner}"'
        )
    url = f"{hub.url}/{'' if kind == 'models' else kind + '/'}{name}"
    if hub.key(kind, name) in hub.repos:
        return answer({"error": f"You already created this {kind[:-1]} repo", "url": url}, 409)
    private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
    hub.create(name, kind=kind, private=private)
    return answer({"url": url, "name": name, "id": name})


def delete(hub: FakeHub, request: Request) -> Reply:
    account, wanted = hub.account(request), request.json()
    kind = f"{wanted.get('type', 'model')}s"
    name = f"{wanted.get('organization') or (account.name if account else '')}/{wanted['name']}"
    repo = hub.repos.get(hub.key(kind, name))
    if repo is None or not hub.sees(account, repo):
        return refusal(404, "Repository not found", "RepoNotFound")
    if not hub.writes(account, repo):
        return refusal(403, "You don't have the rights to delete this repository")
    del hub.repos[hub.key(kind, name)]
    return answer({})


def search(hub: FakeHub, request: Request, kind: str) -> Reply:
    account = hub.account(request)
    found = [repo for repo in hub.repos.values() if repo.kind == kind and hub.sees(account, repo)]
    tags, words = set(request.asked("filter")), [word.lower() for word in request.asked("search")]
    found = [repo for repo in found if tags <= set(hub_tags(repo.card))]
    found = [repo for repo in found if all(word in repo.id.lower() for word in words)]
    if authors := request.asked("author"):
        found = [repo for repo in found if repo.owner in authors]
    found.sort(key=lambda repo: repo.head.date, reverse=True)
    limit = int((request.asked("limit") or [str(hub.page)])[0])
    return paged(hub, request, [listed(repo, request) for repo in found], min(limit, hub.page))


def listed(repo: Repo, request: Request) -> dict[str, Any]:
    whole = expanded(request, info(repo, repo.head, blobs=False))
    if wanted(request):
        return whole
    if "true" not in [value.lower() for value in request.asked("full")]:
        whole.pop("siblings")
    if "true" not in [value.lower() for value in request.asked("cardData")]:
        whole.pop("cardData")
    return whole


def wanted(request: Request) -> set[str]:
    """The fields that `expand` names."""
    return {*request.asked("expand"), *request.asked("expand[]")}


def expanded(request: Request, whole: dict[str, Any]) -> dict[str, Any]:
    """Who asks for some fields gets these, and the name."""
    fields = wanted(request)
    return {key: whole[key] for key in whole if key in fields | {"_id", "id", "modelId"}} if fields else whole


def paged(hub: FakeHub, request: Request, rows: list[Any], size: int) -> Reply:
    """One page, with a link to the next."""
    start = int((request.asked("cursor") or ["0"])[0])
    reply = answer(rows[start : start + size])
    if start + size < len(rows):
        query = [pair for pair in request.query if pair[0] != "cursor"] + [("cursor", str(start + size))]
        reply.headers["Link"] = f'<{hub.url}{request.path}?{urlencode(query)}>; rel="next"'
    return reply


def info(repo: Repo, commit: Commit, *, blobs: bool) -> dict[str, Any]:
    """What /api/models/{id} says."""
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in commit.files]
    if blobs:
        for one, blob in zip(siblings, commit.files.values(), strict=True):
            one |= {"blobId": blob.oid, "size": blob.size}
            if blob.lfs:
                one["lfs"] = {"sha256": blob.sha256, "size": blob.size, "pointerSize": len(blob.pointer)}
    card = repo.card
    return {
        "_id": repo.id, "id": repo.id, "modelId": repo.id, "author": repo.owner, "sha": commit.sha,
        "lastModified": commit.date, "createdAt": next(iter(repo.commits.values())).date,
        "private": repo.private, "gated": repo.gated, "disabled": False, "downloads": repo.downloads, "likes": 0,
        "tags": hub_tags(card), "library_name": card.get("library_name"), "pipeline_tag": card.get("pipeline_tag"),
        "cardData": card, "siblings": siblings,
        "usedStorage": sum(blob.size for blob in commit.files.values()),
    }  # fmt: skip


def one_repo(hub: FakeHub, request: Request, kind: str, name: str, rest: list[str]) -> Reply:
    """Look up the repository, the rights and the revision, then do what is asked."""
    repo = hub.find(request, kind, name)
    if isinstance(repo, Reply):
        return repo
    verb, revision, path = rest[0] if rest else "", rest[1] if len(rest) > 1 else "main", "/".join(rest[2:])
    if (request.method, verb) in WRITES and not hub.writes(hub.account(request), repo):
        return refusal(403, "Forbidden: you don't have write access to this repository")
    if verb in ("tag", "branch", "settings"):
        return {"tag": changes.tag, "branch": changes.branch, "settings": changes.settings}[verb](
            hub, request, repo, revision
        )
    commit = repo.at(revision)
    if commit is None:
        return refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    action = ACTIONS.get((request.method, verb))
    return (
        refusal(404, "Not found") if action is None else action(hub, request, repo, commit, path or revision)
    )


def _info(hub: FakeHub, request: Request, repo: Repo, commit: Commit, _: str) -> Reply:
    return answer(expanded(request, info(repo, commit, blobs="blobs" in dict(request.query))))


def _refs(hub: FakeHub, request: Request, repo: Repo, commit: Commit, _: str) -> Reply:
    def rows(kind: str, names: dict[str, str]) -> list[dict[str, str]]:
        return [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": sha} for n, sha in names.items()]

    return answer({"branches": rows("heads", repo.branches), "tags": rows("tags", repo.tags), "converts": []})


def _commits(hub: FakeHub, request: Request, repo: Repo, commit: Commit, _: str) -> Reply:
    rows = [
        {
            "id": one.sha,
            "title": one.title,
            "message": one.message,
            "date": one.date,
            "authors": [{"user": one.author}],
        }
        for one in repo.lineage(commit)
    ]
    return paged(hub, request, rows, hub.page)


def _tree(hub: FakeHub, request: Request, repo: Repo, commit: Commit, _: str) -> Reply:
    below = "/".join(request.parts[6:]).strip("/")
    whole = "true" in [value.lower() for value in request.asked("recursive")]
    if (key := (commit.sha, below, whole)) not in hub.trees:  # 100,000 files come in 100 pages
        hub.trees[key] = tree_rows(commit, below, whole=whole)
    rows = hub.trees[key]
    if below and not rows:
        return refusal(404, f"{below} does not exist on {commit.sha}", "EntryNotFound")
    return paged(hub, request, rows, hub.page)


def tree_rows(commit: Commit, below: str, *, whole: bool) -> list[dict[str, Any]]:
    """Folders first, then files; of `below` alone, or of all that is under it."""
    inside = {path: blob for path, blob in commit.files.items() if not below or path.startswith(below + "/")}
    start = len(below) + 1 if below else 0
    folders = {path[: start + i] for path in inside for i, sign in enumerate(path[start:]) if sign == "/"}
    rows = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(folders)]
    rows += [blob.described(path) for path, blob in inside.items()]
    return [row for row in rows if whole or "/" not in row["path"][start:]]


def _paths_info(hub: FakeHub, request: Request, repo: Repo, commit: Commit, _: str) -> Reply:
    if "json" in request.headers.get("content-type", ""):
        wanted = request.json()["paths"]
    else:
        wanted = [value for key, value in parse_qsl(request.body.decode()) if key == "paths"]
    return answer([commit.files[path].described(path) for path in wanted if path in commit.files])


WRITES = {
    (method, verb)
    for method in ("POST", "PUT", "DELETE")
    for verb in ("preupload", "commit", "tag", "branch", "settings")
} | {("GET", "xet-write-token")}


def _xet_token(hub: FakeHub, request: Request, repo: Repo, commit: Commit, _: str) -> Reply:
    return hub.xet_token()


ACTIONS: dict[tuple[str, str], Action] = {
    ("GET", ""): _info,
    ("GET", "revision"): _info,
    ("GET", "refs"): _refs,
    ("GET", "commits"): _commits,
    ("GET", "tree"): _tree,
    ("POST", "paths-info"): _paths_info,
    ("POST", "preupload"): changes.preupload,
    ("POST", "commit"): changes.commit_files,
    ("GET", "xet-read-token"): _xet_token,
    ("GET", "xet-write-token"): _xet_token,
}
