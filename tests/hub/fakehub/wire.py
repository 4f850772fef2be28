"""HTTP as the test Hub needs it: requests that are kept, replies that can be cut, slow or lying, and a server that ends
with every thread and every socket closed."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

KEPT_BODY = 1 << 20
"""Of a longer request body only this much is kept for the tests to look at."""


@dataclass
class Request:
    """What one client asked: `path` is as it came, without the query; `received` and `sent` count all bytes."""

    origin: str
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes = b""
    body_size: int = 0
    received: int = 0
    sent: int = 0
    status: int = 0
    raw: bytes = b""

    @property
    def parts(self) -> list[str]:
        """The unquoted segments of the path."""
        return [unquote(part) for part in self.path.strip("/").split("/")]

    @property
    def token(self) -> str | None:
        """What follows `Bearer` in the request."""
        kind, _, rest = self.headers.get("authorization", "").partition(" ")
        return rest if kind.lower() == "bearer" else None

    def asked(self, name: str) -> list[str]:
        """All values of one key of the query."""
        return [value for key, value in self.query if key == name]

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def holds(self, secret: str) -> bool:
        """Whether the bytes of a secret came with it, anywhere."""
        return secret.encode() in self.raw or secret.encode() in self.body

    def __str__(self) -> str:
        query = "&".join(f"{key}={value}" for key, value in self.query)
        return f"{self.method} {self.path}{'?' if query else ''}{query}"


@dataclass
class Reply:
    """An answer, and how it is sent.

    `length` replaces the true Content-Length (0 sends none); `pause` waits before anything is sent; `piece` bytes are
    sent every `every` seconds; after `cut` bytes of the body the connection is dropped (-1: before the first byte
    of the answer); `endless` sends the body over and over; `raw` is sent instead of all this.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""
    length: int | None = None
    pause: float = 0.0
    piece: int = 0
    every: float = 0.0
    cut: int | None = None
    endless: bool = False
    raw: bytes | None = None

    @property
    def data(self) -> bytes:
        """The body in one piece."""
        if not isinstance(self.body, bytes):
            self.body = b"".join(self.body)
        return self.body


def answer(value: Any, status: int = 200, **headers: str) -> Reply:
    """JSON."""
    named = {key.replace("_", "-"): said for key, said in headers.items()}
    return Reply(
        status, {"Content-Type": "application/json; charset=utf-8", **named}, json.dumps(value).encode()
    )


def refusal(status: int, message: str, code: str | None = None) -> Reply:
    """An error as the Hub says it: in two headers and in the body."""
    reply = answer({"error": message}, status)
    reply.headers["X-Error-Message"] = message
    if code is not None:
        reply.headers["X-Error-Code"] = code
    return reply


Serve = Callable[[Request], Reply]


class Server(ThreadingHTTPServer):
    """One origin on the loopback. Threads are joined and connections shut when it closes."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, origin: str, serve: Serve, kept: list[Request], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.origin, self.serve, self.kept = origin, serve, kept
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}, name=origin
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""

    def close(self) -> None:
        """End all connections, then all threads."""
        self.closing.set()
        self.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server
    timeout = 60

    def log_message(self, *args: Any) -> None:
        """Says nothing."""

    def _one(self) -> None:
        request = self._read()
        self.server.kept.append(request)
        try:
            reply = self.server.serve(request)
        except Exception as error:  # the test must see it, and the client must not hang
            reply = refusal(500, f"the test Hub failed: {type(error).__name__}: {error}")
        self._send(request, reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _one  # noqa: N815 (http.server names them)

    def _read(self) -> Request:
        path, _, query = self.path.partition("?")
        raw = self.raw_requestline + bytes(self.headers)
        body = b"".join(self._body())
        return Request(
            self.server.origin,
            self.command,
            path,
            parse_qsl(query, keep_blank_values=True),
            {key.lower(): value for key, value in self.headers.items()},
            body=body,
            body_size=len(body),
            received=len(raw) + len(body),
            raw=raw,
        )

    def _body(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        elif length := int(self.headers.get("Content-Length") or 0):
            yield self.rfile.read(length)

    def _send(self, request: Request, reply: Reply) -> None:
        if reply.pause:
            self.server.closing.wait(reply.pause)
        request.status = reply.status
        request.body = request.body[:KEPT_BODY]
        if reply.raw is not None:
            self.wfile.write(reply.raw)
        if reply.cut == -1 or reply.raw is not None:
            self._hang_up()
            return
        length = len(reply.data) if reply.length is None else reply.length
        head = self._head(reply, length)
        request.sent = len(head)  # counted first: the client may be done before the next line runs
        self.wfile.write(head)
        if request.method != "HEAD":
            self._pour(request, reply)
        while reply.endless and not self.server.closing.is_set():
            self._pour(request, reply)
        if reply.length is not None or reply.cut is not None:
            self._hang_up()

    def _head(self, reply: Reply, length: int) -> bytes:
        """By hand, since a hostile answer may hold what http.server would refuse to send."""
        reason = self.responses.get(reply.status, ("Odd", ""))[0]
        lines = [
            f"HTTP/1.1 {reply.status} {reason}",
            *(f"{key}: {value}" for key, value in reply.headers.items()),
        ]
        if reply.length != 0:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")

    def _pour(self, request: Request, reply: Reply) -> None:
        data = reply.data if reply.cut is None else reply.data[: reply.cut]
        step = reply.piece or max(len(data), 1)
        for start in range(0, len(data), step):
            request.sent += len(data[start : start + step])
            self.wfile.write(data[start : start + step])
            if reply.every and self.server.closing.wait(reply.every):
                break

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
