"""The test Hub and its faults are what they say, as any HTTP client sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.hub.fakehub import FakeHub
from tests.hub.fakehub.faults import STATUSES

DATA = b"0123456789"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub(tmp_path / "hub") as made:
        made.put("ada/t", {"a": DATA, "l.bin": DATA * 9}, private=False)
        yield made


def get(hub: FakeHub, path: str = "/ada/t/resolve/main/a", **more: Any) -> httpx2.Response:
    return httpx2.get(f"{hub.url}{path}", **{"timeout": 5, "follow_redirects": True, **more})


@pytest.mark.parametrize("kind", STATUSES)
def test_refusals_have_their_status_and_code(hub: FakeHub, kind: str) -> None:
    hub.fault(kind)
    said = get(hub)
    status, message, code = STATUSES[kind]
    assert said.status_code == status
    assert said.headers.get("X-Error-Code") == code
    assert said.headers["X-Error-Message"] == message == said.json()["error"]


def test_a_limit_tells_when_to_come_back(hub: FakeHub) -> None:
    hub.fault("429", "/resolve/", retry_after=2, times=1)
    assert get(hub).headers["Retry-After"] == "2"
    assert get(hub).content == DATA


def test_a_fault_can_wait_and_pick(hub: FakeHub) -> None:
    fault = hub.fault("500", "l[.]bin", method="GET", skip=1, times=1)
    assert [get(hub, "/ada/t/resolve/main/l.bin").status_code for _ in range(3)] == [200, 500, 200]
    assert (fault.met, fault.done) == (3, 1)
    hub.fault("503", origin="store")
    assert get(hub).status_code == 200
    assert get(hub, "/ada/t/resolve/main/l.bin").status_code == 503
    hub.mend()
    assert get(hub, "/ada/t/resolve/main/l.bin").content == DATA * 9


def test_a_silent_server_does_not_keep_anybody_at_the_end(hub: FakeHub) -> None:
    hub.fault("slow", seconds=50)
    with pytest.raises(httpx2.ReadTimeout):
        get(hub, timeout=0.05)
    start = time.monotonic()
    hub.close()
    assert time.monotonic() - start < 10


def test_a_drip_comes_in_pieces(hub: FakeHub) -> None:
    hub.fault("drip", piece=4, every=0.05)
    start = time.monotonic()
    assert get(hub).content == DATA
    assert 0.1 < time.monotonic() - start < 10


@pytest.mark.parametrize("after", [-1, 0, 3])
def test_a_dropped_connection_is_no_answer(hub: FakeHub, after: int) -> None:
    hub.fault("drop", after=after, times=1)
    with pytest.raises(httpx2.RemoteProtocolError):
        get(hub)
    assert get(hub).content == DATA


@pytest.mark.parametrize(
    ("kind", "how", "got"),
    [("wrong", {}, bytes(byte ^ 1 for byte in DATA)), ("longer", {"by": 2}, DATA + b"\0\0"),
     ("shorter", {"by": 2}, DATA[:-2]), ("body", {"data": b"x"}, b"x"), ("lying", {"length": 4}, DATA[:4]),
     ("lying", {"length": 0}, DATA)],
)  # fmt: skip
def test_other_bytes_than_were_asked(hub: FakeHub, kind: str, how: dict[str, Any], got: bytes) -> None:
    hub.fault(kind, **how)
    assert get(hub).content == got


def test_a_length_that_is_too_long_is_a_broken_answer(hub: FakeHub) -> None:
    hub.fault("lying", length=1 << 40)
    with pytest.raises(httpx2.RemoteProtocolError):
        get(hub)


def test_headers_and_documents_are_changed(hub: FakeHub) -> None:
    hub.fault("headers", "/resolve/", X_Repo_Commit=None, ETag='"../x"')
    said = get(hub)
    assert "X-Repo-Commit" not in said.headers
    assert said.headers["ETag"] == '"../x"'
    hub.fault("edit", "/api/", how=lambda info: info.update(sha="../.."))
    assert get(hub, "/api/models/ada/t").json()["sha"] == "../.."


def test_a_redirect_goes_where_it_is_told(hub: FakeHub, tmp_path: Path) -> None:
    with FakeHub(tmp_path / "other") as other:
        hub.fault("redirect", "/resolve/", to=other.url + "{path}")
        assert get(hub).status_code == 401
        assert other.asked() == ["GET /ada/t/resolve/main/a"]
    hub.mend()
    hub.fault("redirect", to="{path}")
    with pytest.raises(httpx2.TooManyRedirects):
        get(hub)


def test_somebody_else_pushes_in_between(hub: FakeHub) -> None:
    hub.fault("between", "/resolve/", times=1, do=lambda: hub.put("ada/t", {"a": b"new"}))
    assert get(hub).content == b"new"
    assert len(hub.repos["ada/t"].commits) == 3


def test_a_fault_of_the_test_hub_is_no_silence(hub: FakeHub) -> None:
    hub.fault("edit", "/api/", how=lambda info: info["none"])
    said = get(hub, "/api/models/ada/t")
    assert (said.status_code, said.headers["X-Error-Message"]) == (
        500,
        "the test Hub failed: KeyError: 'none'",
    )


@pytest.mark.parametrize(
    ("asked", "status", "got"),
    [("bytes=2-4", 206, b"234"), ("bytes=7-", 206, b"789"), ("bytes=-2", 206, b"89"), ("bytes=5-99", 206, b"56789"),
     ("bytes=10-", 416, b"")],
)  # fmt: skip
@pytest.mark.parametrize("lfs", [False, True])
def test_parts_of_a_file(hub: FakeHub, asked: str, status: int, got: bytes, lfs: bool) -> None:
    hub.put("ada/t", {"a": b"0123456789"}, private=False, lfs=lfs)
    said = httpx2.get(f"{hub.url}/ada/t/resolve/main/a", headers={"Range": asked}, follow_redirects=True)
    assert (said.status_code, said.content) == (status, got)
