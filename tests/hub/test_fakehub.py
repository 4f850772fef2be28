"""The test Hub speaks to the real huggingface_hub client: each row of what that client was seen to ask."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import disable_progress_bars

from tests.hub.fakehub import FakeHub

SMALL, LARGE = b'{"a": 1}\n', bytes(range(256)) * 5000
CARD = """---
library_name: ticketctl
license: mit
datasets: mnist
tags: [lottery-ticket, "method:imp"]
---
# A ticket
"""


# The client's own LFS upload uses an argument that its transport has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nonexistent")
    disable_progress_bars()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub(tmp_path / "hub") as made:
        yield made
    assert made.leaks() == []


@pytest.fixture
def api(hub: FakeHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.token)


def pushed(api: HfApi, **files: bytes) -> Any:
    api.create_repo("ada/t", private=True, exist_ok=True)
    adds = [CommitOperationAdd(name.replace("__", "."), data) for name, data in files.items()]
    return api.create_commit("ada/t", adds, commit_message="push")


def test_a_token_has_a_name(api: HfApi, hub: FakeHub) -> None:
    assert api.whoami()["name"] == "ada"
    assert [org["name"] for org in api.whoami()["orgs"]] == ["lab"]
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        HfApi(endpoint=hub.url, token="hf_wrong").whoami()


def test_a_repository_is_made_once(api: HfApi, hub: FakeHub) -> None:
    assert api.create_repo("ada/t", visibility="private").repo_id == "ada/t"
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("ada/t")
    api.create_repo("lab/t", exist_ok=True, visibility="public")
    assert hub.repos["ada/t"].private
    assert not hub.repos["lab/t"].private
    with pytest.raises(HfHubHTTPError, match="403"):
        api.create_repo("bob/t")
    with pytest.raises(HfHubHTTPError, match="403"):
        HfApi(endpoint=hub.url, token=hub.reader).create_repo("ada/u")


def test_a_commit_brings_small_and_large_files(api: HfApi, hub: FakeHub) -> None:
    done = pushed(api, a__json=SMALL, b__safetensors=LARGE, README__md=CARD.encode())
    repo = hub.repos["ada/t"]
    assert done.oid == repo.head.sha
    assert repo.files | {".gitattributes": b""} == {
        ".gitattributes": b"",
        "a.json": SMALL,
        "b.safetensors": LARGE,
        "README.md": CARD.encode(),
    }
    assert [path for path, blob in repo.head.files.items() if blob.lfs] == ["b.safetensors"]
    assert hub.asked("PUT") == [f"PUT /upload/{hashlib.sha256(LARGE).hexdigest()}?signature=0"]
    assert hub.traffic()["store in"] > len(LARGE)


def test_the_same_again_is_no_commit_and_no_upload(api: HfApi, hub: FakeHub) -> None:
    first = pushed(api, a__json=SMALL, b__safetensors=LARGE)
    hub.requests.clear()
    assert pushed(api, a__json=SMALL, b__safetensors=LARGE).oid == first.oid
    assert hub.asked("POST", "/commit/") == hub.asked("PUT") == []


def test_a_stale_parent_is_refused(api: HfApi, hub: FakeHub) -> None:
    first, second = pushed(api, a=b"1"), pushed(api, a=b"2")
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit(
            "ada/t", [CommitOperationAdd("a", b"3")], commit_message="x", parent_commit=first.oid
        )
    api.create_commit("ada/t", [CommitOperationDelete("a")], commit_message="x", parent_commit=second.oid)
    assert list(hub.repos["ada/t"].files) == [".gitattributes"]


def test_tags_refs_commits_and_revisions(api: HfApi, hub: FakeHub) -> None:
    first, second = pushed(api, a=b"1"), pushed(api, a=b"2")
    api.create_tag("ada/t", tag="v/1", revision=first.oid)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag("ada/t", tag="v/1")
    refs = api.list_repo_refs("ada/t")
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v/1", first.oid)]
    assert [(ref.name, ref.target_commit) for ref in refs.branches] == [("main", second.oid)]
    assert [one.title for one in api.list_repo_commits("ada/t")] == ["push", "push", "initial commit"]
    assert api.repo_info("ada/t", revision="v/1").sha == first.oid
    assert api.repo_exists("ada/t")
    assert not api.revision_exists("ada/t", "v2")
    assert api.file_exists("ada/t", "a")
    assert not api.file_exists("ada/t", "b")
    api.delete_tag("ada/t", tag="v/1")
    assert hub.repos["ada/t"].tags == {}


def test_trees_and_paths_tell_sizes_and_hashes(api: HfApi, hub: FakeHub) -> None:
    hub.put("ada/t", {"x/y/a.json": SMALL, "x/b.npz": LARGE, "c": b""})
    hub.page = 2
    tree = {row.path: row for row in api.list_repo_tree("ada/t", recursive=True)}
    assert set(tree) == {".gitattributes", "x", "x/y", "x/y/a.json", "x/b.npz", "c"}
    assert [row.path for row in api.list_repo_tree("ada/t", "x")] == ["x/y", "x/b.npz"]
    (one,) = api.get_paths_info("ada/t", ["x/b.npz", "none"])
    assert one.lfs is not None
    assert (one.size, one.lfs.sha256) == (len(LARGE), hashlib.sha256(LARGE).hexdigest())
    assert tree["x/y/a.json"].blob_id == hashlib.sha1(b"blob 9\0" + SMALL).hexdigest()
    info = api.model_info("ada/t", files_metadata=True)
    assert {row.rfilename: row.size for row in info.siblings}["x/b.npz"] == len(LARGE)


def test_files_come_back_the_same(api: HfApi, hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.put("ada/t", {"x/a.json": SMALL, "b.npz": LARGE, "e": b""})
    for path, data in hub.repos["ada/t"].files.items():
        got = api.hf_hub_download("ada/t", path, cache_dir=tmp_path)
        assert Path(got).read_bytes() == data
    hub.requests.clear()
    api.hf_hub_download("ada/t", "b.npz", revision=commit.sha, cache_dir=tmp_path)
    assert hub.requests == []


def test_a_snapshot_is_the_whole_commit(api: HfApi, hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.put("ada/t", {"x/a.json": SMALL, "b.npz": LARGE}, tag="v1")
    hub.put("ada/t", {"late": b"1"})
    folder = Path(api.snapshot_download("ada/t", revision="v1", cache_dir=tmp_path))
    assert folder.name == commit.sha
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {
        ".gitattributes",
        "a.json",
        "b.npz",
    }
    hub.requests.clear()
    api.snapshot_download("ada/t", revision=commit.sha, cache_dir=tmp_path)
    assert hub.requests == []


def test_a_search_is_by_all_filters(api: HfApi, hub: FakeHub) -> None:
    for name, tag in [("ada/one", "a"), ("ada/two", "b"), ("lab/one", "a"), ("eve/one", "a")]:
        card = CARD.replace("method:imp", f"method:{tag}")
        hub.put(name, {"README.md": card.encode(), "config.json": b"{}"}, private=name.startswith("eve"))

    def found(**asked: Any) -> set[str]:
        return {one.id for one in api.list_models(**asked)}

    assert found(filter="ticketctl") == {"ada/one", "ada/two", "lab/one"}
    assert found(filter=["ticketctl", "method:a"]) == {"ada/one", "lab/one"}
    assert found(filter=["ticketctl", "license:mit", "dataset:mnist"], author="lab") == {"lab/one"}
    assert found(search="TWO") == {"ada/two"}
    assert found(filter="ticketctl", limit=1) < found(filter="ticketctl")
    hub.page = 1
    (one,) = [one for one in api.list_models(cardData=True) if one.id == "ada/two"]
    assert one.card_data is not None
    assert one.card_data.to_dict()["tags"] == ["lottery-ticket", "method:b"]
    assert one.library_name == "ticketctl"


def test_a_card_is_checked_before_the_commit(api: HfApi, hub: FakeHub) -> None:
    with pytest.raises(ValueError, match="Invalid metadata"):
        pushed(api, README__md=b"---\na: [\n---\n")
    with pytest.raises(UserWarning, match="empty or missing yaml"):
        pushed(api, README__md=b"# None")
    assert hub.asked("POST", "/commit/") == []


def test_private_means_nobody_else(hub: FakeHub, tmp_path: Path) -> None:
    hub.put("ada/t", {"a": b"1"}, private=True)
    for token in (False, hub.stranger):
        other = HfApi(endpoint=hub.url, token=token)
        with pytest.raises(RepositoryNotFoundError):
            other.repo_info("ada/t")
        with pytest.raises(RepositoryNotFoundError):
            other.hf_hub_download("ada/t", "a", cache_dir=tmp_path)
        assert list(other.list_models()) == []
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
        HfApi(endpoint=hub.url, token="hf_wrong").repo_info("ada/t")
    HfApi(endpoint=hub.url, token=hub.token).update_repo_settings("ada/t", visibility="public")
    assert HfApi(endpoint=hub.url, token=False).repo_info("ada/t").private is False


def test_who_may_only_read_cannot_write(hub: FakeHub) -> None:
    hub.put("ada/t", {"a": b"1"}, private=False)
    for token in (hub.reader, hub.stranger):
        other = HfApi(endpoint=hub.url, token=token)
        with pytest.raises(HfHubHTTPError, match="403"):
            other.create_commit("ada/t", [CommitOperationAdd("a", b"2")], commit_message="x")
        with pytest.raises(HfHubHTTPError, match="403"):
            other.create_tag("ada/t", tag="v")
        with pytest.raises(HfHubHTTPError, match="403"):
            other.delete_repo("ada/t")
    assert hub.repos["ada/t"].files["a"] == b"1"


def test_a_gated_repository_shows_its_name_only(hub: FakeHub, tmp_path: Path) -> None:
    hub.put("ada/t", {"a": b"1"}, private=False, gated="manual")
    for token in (False, hub.stranger):
        other = HfApi(endpoint=hub.url, token=token)
        assert other.repo_info("ada/t").gated == "manual"
        with pytest.raises(GatedRepoError):
            other.hf_hub_download("ada/t", "a", cache_dir=tmp_path)
    hub.repos["ada/t"].granted.add("bob")
    HfApi(endpoint=hub.url, token=hub.stranger).hf_hub_download("ada/t", "a", cache_dir=tmp_path)


def test_what_is_not_there(api: HfApi, hub: FakeHub, tmp_path: Path) -> None:
    hub.put("ada/t", {"a": b"1"})
    with pytest.raises(RepositoryNotFoundError):
        api.repo_info("ada/none")
    with pytest.raises(RevisionNotFoundError):
        api.repo_info("ada/t", revision="none")
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download("ada/t", "none", cache_dir=tmp_path)
    api.delete_repo("ada/t")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("ada/t")


def test_a_renamed_repository_is_still_found(api: HfApi, hub: FakeHub, tmp_path: Path) -> None:
    hub.put("ada/old", {"a": b"1"})
    hub.rename("ada/old", "ada/new")
    assert api.repo_info("ada/old").id == "ada/new"
    assert Path(api.hf_hub_download("ada/old", "a", cache_dir=tmp_path)).read_bytes() == b"1"


def test_an_upload_of_a_folder_is_one_commit(api: HfApi, hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "f" / "sub").mkdir(parents=True)
    (tmp_path / "f" / "a").write_bytes(SMALL)
    (tmp_path / "f" / "sub" / "b.npz").write_bytes(LARGE)
    api.create_repo("ada/t")
    api.upload_folder(repo_id="ada/t", folder_path=tmp_path / "f")
    assert set(hub.repos["ada/t"].files) == {".gitattributes", "a", "sub/b.npz"}
    assert len(hub.repos["ada/t"].commits) == 2


def test_another_process_is_led_there(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_user")
    code = "from huggingface_hub import HfApi; print(HfApi().whoami()['name'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=hub.env(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout == "ada\n"
    assert "HF_TOKEN" not in hub.env(tmp_path, token="")


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = threading.active_count()
    with FakeHub(tmp_path) as hub:
        port = hub.url
        HfApi(endpoint=hub.url, token=hub.token).whoami()
        with hub.offline(), pytest.raises(httpx2.ConnectError):
            httpx2.get(hub.url)
        assert httpx2.get(f"{hub.url}/api/agent-harnesses").json() == []
        assert hub.url == port
    assert threading.active_count() == before
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(hub.url)
