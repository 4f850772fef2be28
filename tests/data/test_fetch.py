"""Fetching from a server on this machine that behaves, misbehaves, stops and lies."""

import socket
import threading

import pytest
from serving import CONTENT, MD5, SHA, Server

from ticketctl.data import _network
from ticketctl.data import fetch as module
from ticketctl.data.fetch import fetch
from ticketctl.errors import ResourceError, UnavailableError


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    monkeypatch.delenv("TICKETCTL_MIRROR", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def get(tmp_path, notes):
    def get(url, checksum=SHA, size=None, offline=False):
        target = tmp_path / "downloads" / "set" / "set.bin"
        return fetch(url, target, size=size, checksum=checksum, offline=offline, reporter=notes)

    return get


@pytest.fixture
def part(tmp_path):
    folder = tmp_path / "downloads" / "set"
    folder.mkdir(parents=True)
    return folder / "set.bin.part"


def refused(get, *args, **more):
    with pytest.raises(UnavailableError) as caught:
        get(*args, **more)
    assert "\n" not in str(caught.value)
    assert "put set.bin into a folder and give it with --data-dir" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("checksum", [SHA, MD5])
@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_file_arrives_whole_and_alone(server, get, checksum, size, notes):
    path = get(server.url, checksum, size)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["set.bin"]
    assert notes.downloads[-1] == ("set.bin", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in notes.downloads] == sorted({done for _, done, _ in notes.downloads})


def test_a_file_without_a_length_arrives_too(server, get):
    server.plan = [lambda request: server.send(request, 200, CONTENT, -1)]
    assert get(server.url).read_bytes() == CONTENT


def test_what_is_there_is_not_fetched_again(server, get):
    get(server.url)
    get(server.url)
    get(server.url, offline=True)
    assert len(server.ranges) == 1


def test_a_file_that_was_damaged_since_is_fetched_again(server, get):
    get(server.url).write_bytes(b"damaged")
    assert get(server.url).read_bytes() == CONTENT


def test_offline_asks_nobody(server, get):
    assert refused(get, server.url, offline=True) == (
        "set.bin is not here and --offline forbids to fetch it; "
        "put set.bin into a folder and give it with --data-dir, or drop --offline"
    )
    assert server.ranges == []


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (500, 3), (503, 3)])
def test_an_error_answer_is_told_and_only_the_servers_own_faults_are_tried_again(server, get, status, tries):
    server.plan = [lambda request: server.send(request, status, b"\x1b[31mgo away")]
    line = refused(get, server.url)
    assert f"the server answered {status}" in line
    assert "\x1b" not in line
    assert len(server.ranges) == tries


def test_no_server_is_told(get):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "Connection refused" in refused(get, f"http://127.0.0.1:{port}/set.bin")


def test_no_such_host_is_told(get, monkeypatch):
    def fail(*args, **more):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert "Name or service not known" in refused(get, "https://nowhere.invalid/set.bin")


def test_a_break_is_continued_where_it_happened(server, get):
    server.plan = ["half", "ranged"]
    assert get(server.url).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_partial_file_of_an_earlier_run_is_continued(server, get, part):
    part.write_bytes(CONTENT[:1000])
    server.plan = ["ranged"]
    assert get(server.url).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_a_server_that_cannot_continue_sends_it_all(server, get, part):
    part.write_bytes(b"x" * 1000)
    assert get(server.url).read_bytes() == CONTENT


def test_a_range_that_begins_elsewhere_is_not_appended(server, get, part):
    part.write_bytes(CONTENT[:1000])
    server.plan = [
        lambda r: server.send(r, 206, CONTENT, Content_Range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
    ]
    assert get(server.url).read_bytes() == CONTENT


def test_a_damaged_partial_file_is_thrown_away(server, get, part):
    part.write_bytes(b"x" * 1000)
    server.plan = ["ranged"]
    assert get(server.url).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", None]


@pytest.mark.parametrize("size", [None, len(CONTENT)])
@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more", b"x" * len(CONTENT)])
def test_a_partial_file_of_full_length_is_checked_or_replaced(server, get, part, size, left):
    part.write_bytes(left)

    def unsatisfiable(request):
        server.send(request, *((416, b"") if request.headers["Range"] else (200, CONTENT)))

    server.plan = [unsatisfiable]
    assert get(server.url, size=size).read_bytes() == CONTENT


def test_a_file_cut_short_every_time_is_told_and_its_part_kept(server, get, tmp_path):
    server.plan = ["half"]
    line = refused(get, server.url)
    assert f"broke after {len(CONTENT) // 2} of {len(CONTENT)} bytes, which are kept" in line
    assert not (tmp_path / "downloads" / "set" / "set.bin").exists()


def test_a_changed_file_never_takes_the_name(server, get, tmp_path):
    server.plan = ["lying"]
    assert "does not have the published sha256" in refused(get, server.url)
    assert list((tmp_path / "downloads" / "set").iterdir()) == []


@pytest.mark.parametrize("length", [None, -1])
def test_more_than_the_published_size_is_not_taken(server, get, tmp_path, length):
    server.plan = [lambda request: server.send(request, 200, CONTENT * 2, length)]
    assert "more than 512000 bytes" in refused(get, server.url, size=len(CONTENT))
    assert list((tmp_path / "downloads" / "set").iterdir()) == []


def test_without_a_published_size_there_is_a_limit_all_the_same(server, get, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 1000)
    assert "more than 1000" in refused(get, server.url)


def test_a_silent_server_is_given_up(server, get, monkeypatch):
    monkeypatch.setattr(_network, "TIMEOUT", 0.2)
    stop = threading.Event()
    server.plan = [lambda request: stop.wait(5)]
    assert "no answer within 0.2 s" in refused(get, server.url)
    stop.set()


def test_a_server_that_falls_silent_is_given_up(server, get, monkeypatch):
    monkeypatch.setattr(_network, "TIMEOUT", 0.2)
    stop = threading.Event()

    def stall(request):
        server.send(request, 200, CONTENT[:5000], len(CONTENT))
        stop.wait(5)

    server.plan = [stall]
    assert "no answer within 0.2 s" in refused(get, server.url)
    stop.set()


def test_a_drip_is_given_up(server, get, monkeypatch):
    monkeypatch.setattr(_network, "TIMEOUT", 0.3)
    monkeypatch.setattr(module, "_ATTEMPTS", 1)
    stop = threading.Event()

    def drip(request):
        server.send(request, 200, b"", len(CONTENT))
        while not stop.wait(0.05):
            request.wfile.write(b"x")
            request.wfile.flush()

    server.plan = [drip]
    assert "slower than" in refused(get, server.url)
    stop.set()


def test_a_redirect_on_this_machine_is_followed(server, get):
    server.plan = [lambda r: server.send(r, 302, b"", Location=server.url + "2"), "whole"]
    assert get(server.url).read_bytes() == CONTENT
    assert server.paths[-1] == "/set.bin2"


@pytest.mark.parametrize(
    "goal",
    [
        "file:///etc/passwd",
        "http://example.org/set.bin",
        "ftp://127.0.0.1/x",
        "http://127.0.0.1@example.org/",
        "//example.org/x",
    ],
)
def test_a_redirect_elsewhere_is_refused(server, get, goal):
    server.plan = [lambda request: server.send(request, 302, b"", Location=goal)]
    line = refused(get, server.url)
    assert "redirects away from https" in line or "answered 302" in line  # urllib itself refuses file://
    assert len(server.ranges) == 1


def test_a_redirect_loop_ends(server, get):
    server.plan = [lambda request: server.send(request, 302, b"", Location=server.url)]
    assert "302" in refused(get, server.url)


def test_https_may_not_be_left_even_for_this_machine():
    request = _network.urllib.request.Request("https://example.org/x")
    import io

    with pytest.raises(_network.RefusedError):
        _network._Redirects().redirect_request(request, io.BytesIO(), 302, "", {}, "http://127.0.0.1/x")
    assert _network._Redirects().redirect_request(request, io.BytesIO(), 302, "", {}, "https://example.com/x")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/set.bin",
        "file:///etc/passwd",
        "ftp://example.org/x",
        "http://localhost.evil.org/x",
        "https:///x",
        "data:,x",
        "http://[::1/x",
    ],
)
def test_only_https_and_this_machine_are_asked(get, url, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", None)
    assert "only https addresses are fetched" in refused(get, url)


def test_a_mirror_is_asked_for_set_and_file(server, get, monkeypatch):
    monkeypatch.setenv("TICKETCTL_MIRROR", server.url.replace("/set.bin", "/base/"))
    assert get("https://www.example.org/other/name.bin").read_bytes() == CONTENT
    assert server.paths == ["/base/set/set.bin"]


def test_a_mirror_cannot_change_the_content(server, get, monkeypatch):
    monkeypatch.setenv("TICKETCTL_MIRROR", server.url.replace("/set.bin", ""))
    server.plan = ["lying"]
    assert "does not have the published" in refused(get, "https://www.example.org/set.bin")


def test_a_folder_that_cannot_be_written_is_told(server, get, tmp_path):
    (tmp_path / "downloads").write_text("a file")
    with pytest.raises(ResourceError, match="downloads"):
        get(server.url)


def test_a_full_disk_is_told(server, get, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_stream", full)
    with pytest.raises(ResourceError, match="No space left on device"):
        get(server.url)
