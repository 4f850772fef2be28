"""The Xet transport of the test Hub: the real client, hf_xet's own store on disk, and what is pinned of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.utils import disable_progress_bars
from huggingface_hub.utils._xet import abort_xet_session

from tests.hub.fakehub import FakeHub
from tests.hub.fakehub.xet import files_of

LARGE = b"".join(hashlib.sha256(bytes([one, two])).digest() for one in range(40) for two in range(256))
SMALL = b'{"a": 1}\n'


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    for name, value in {
        "HF_HOME": tmp_path / "home",
        "HF_XET_CACHE": tmp_path / "home" / "xet",
        "HF_XET_CLIENT_RETRY_MAX_DURATION": "1s",
        "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, str(value))  # fmt: skip
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    disable_progress_bars()
    with FakeHub(tmp_path / "hub", xet=True) as made:
        yield made
    abort_xet_session()
    assert made.leaks() == []


def push(hub: FakeHub, name: str = "a.npz", data: bytes = LARGE) -> str:
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_repo("ada/t", exist_ok=True)
    adds = [CommitOperationAdd(name, data), CommitOperationAdd("s.json", SMALL)]
    return str(api.create_commit("ada/t", adds, commit_message="push").oid)


def test_a_push_goes_into_the_store_and_comes_out_the_same(hub: FakeHub, tmp_path: Path) -> None:
    sha = push(hub)
    assert hub.asked("PUT") == hub.asked(path="lfs") == []
    assert len(hub.asked("GET", "xet-write-token")) == 1
    blob = hub.repos["ada/t"].head.files["a.npz"]
    assert (blob.data, hub.repos["ada/t"].files["s.json"]) == (LARGE, SMALL)
    assert blob.xet == hub.xet_hash(hashlib.sha256(LARGE).hexdigest()) is not None
    api = HfApi(endpoint=hub.url, token=hub.token)
    folder = Path(api.snapshot_download("ada/t", revision=sha, cache_dir=tmp_path / "cache"))
    assert (folder / "a.npz").read_bytes() == LARGE
    assert len(hub.asked("GET", "xet-read-token")) == 1
    assert hub.asked(path="a.npz") == hub.asked(path="/blob/") == []
    (row,) = api.get_paths_info("ada/t", "a.npz")
    assert row.xet_hash == blob.xet


def test_what_is_there_already_is_not_sent_again(hub: FakeHub) -> None:
    push(hub)
    assert hub.xet is not None
    first = hub.xet.size()
    push(hub, "b.npz")
    assert len(LARGE) <= first <= 1.02 * len(LARGE)
    assert hub.xet.size() - first < 2000


def test_planted_files_are_in_the_store(hub: FakeHub, tmp_path: Path) -> None:
    hub.put("ada/t", {"a.npz": LARGE})
    got = HfApi(endpoint=hub.url, token=hub.token).hf_hub_download(
        "ada/t", "a.npz", cache_dir=tmp_path / "cache"
    )
    assert Path(got).read_bytes() == LARGE
    assert hub.asked(path="/blob/") == []


def test_a_client_without_xet_reads_what_came_by_xet(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(hub)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    got = HfApi(endpoint=hub.url, token=hub.token).hf_hub_download(
        "ada/t", "a.npz", cache_dir=tmp_path / "cache"
    )
    assert Path(got).read_bytes() == LARGE
    assert len(hub.asked("GET", "/blob/")) == 1


def test_shards_name_each_file_by_both_hashes(hub: FakeHub) -> None:
    push(hub)
    push(hub, "b.npz", LARGE[:99])
    assert hub.xet is not None
    shards = [path.read_bytes() for path in (hub.xet.folder / "xet" / "xorbs" / "shards").glob("*.mdb")]
    named = dict(pair for shard in shards for pair in files_of(shard))
    assert set(named) == {hashlib.sha256(data).hexdigest() for data in (LARGE, LARGE[:99])}
    assert all(len(name) == 64 for name in named.values())


def test_a_refused_token_is_a_broken_connection(hub: FakeHub, tmp_path: Path) -> None:
    hub.fault("403", "xet-write-token")
    with pytest.raises(ConnectionError):
        push(hub)
    assert list(hub.repos["ada/t"].files) == [".gitattributes"]


def test_a_store_that_nobody_serves_fails_soon(hub: FakeHub) -> None:
    there = {"casUrl": "http://127.0.0.1:9", "accessToken": "x", "exp": 1 << 32}
    hub.fault("edit", "xet-write-token", how=lambda _: there)
    with pytest.raises(ConnectionError):
        push(hub)
    assert list(hub.repos["ada/t"].files) == [".gitattributes"]
