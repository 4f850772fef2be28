"""The HTTP session under the Hub's client: quick to give up, and strict about where a token goes and what comes back.

The client's own patience is 23 s of silence; here a request is tried three times within seconds, or fails by the error
that the user is shown. Every request and every answer of the client passes the checks below, redirects too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Timer
from typing import Any
from urllib.parse import urljoin

import httpx2
from huggingface_hub import hf_raise_for_status

from ticketctl.errors import HubError
from ticketctl.hub.endpoints import Origin, allowed, origin_of, plain_here, storage_allowed
from ticketctl.hub.errors import LATER, explain, of_status
from ticketctl.progress import Reporter

TRIES = 3
PAUSE = 0.5
"""Seconds before the second try, doubled before the third."""
LONGEST = 5.0
"""Seconds that a server may ask us to wait, by `Retry-After`."""
MOST = 16 << 20
"""Bytes of an answer that is no file."""
MOST_ASIDE = 1 << 20
"""Bytes of a refusal, and of an answer that leads elsewhere."""
FILE = "ticketctl.file"
"""Extension of a request for a file: whoever asks counts its bytes."""
MOST_PAGES = 1000
"""Pages of lists that lead to a next one, in a session: a page may lead to itself."""
SLOWEST = 1000
"""Bytes a second, on average, below which an answer that is older than the timeout is given up."""
HEAD_WAITS, BODY_WAITS = 3, 12
"""How often the patience for a byte the head of an answer may take in all, and the body of one that is no file."""
CONNECT = 4.0
"""Seconds within which a connection is made."""
_ETAG = re.compile(r'(W/)?"?[0-9A-Za-z_+=-]{1,128}"?')
_BUSY = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Rules:
    """What holds in a session.

    `endpoint` is where tokens go, and nowhere else; `token` is looked for in headers; `patience` are the seconds
    without a byte after which a server is given up.
    """

    endpoint: Origin
    reporter: Reporter
    token: str | None = field(default=None, repr=False)
    patience: float = 10.0


class Session(httpx2.Client):
    """The client's HTTP session under our rules."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        timeout = httpx2.Timeout(rules.patience, connect=min(CONNECT, rules.patience))
        super().__init__(
            follow_redirects=True, max_redirects=10, timeout=timeout, mounts=_direct(rules.endpoint)
        )
        self.pages = 0
        self.event_hooks = {"request": [self._before], "response": [self._after]}

    def send(self, request: httpx2.Request, **how: object) -> httpx2.Response:
        """Send, up to three times where that changes nothing on the server.

        Raises:
            HubError: no connection, or an answer that says to try again, after the last try.
        """
        host = self.rules.endpoint.host
        for attempt in range(TRIES):
            last = attempt == TRIES - 1
            try:
                response = super().send(request, **how)  # type: ignore[arg-type]  # passed on as it came
            except httpx2.TransportError as error:
                if self.is_closed:
                    raise HubError(f"{host} does not come to the end of an answer's head; {LATER}") from None
                fresh = isinstance(error, httpx2.ConnectError) or _safe(request)
                if last or not fresh or isinstance(error, httpx2.TimeoutException):
                    raise explain(error, host) from None
                wait = PAUSE * 2**attempt
            else:
                if response.status_code not in _BUSY:
                    return response
                wait = self._wait(response, attempt)
                if last or wait > LONGEST or not (_safe(request) or response.status_code == 429):
                    raise _refused(response, request, host)
                response.close()
            self.rules.reporter.note(f"{host} is busy or away; trying again in {wait:g} s")
            time.sleep(wait)
        raise AssertionError  # the last try returns or raises

    def _wait(self, response: httpx2.Response, attempt: int) -> float:
        asked = response.headers.get("retry-after", "")
        return float(asked) if re.fullmatch(r"\d{1,6}", asked) else PAUSE * 2**attempt

    def _before(self, request: httpx2.Request) -> None:
        """Nothing leaves unless its address is allowed, and no token leaves for another origin than the endpoint's."""
        origin, ours = origin_of(str(request.url)), self.rules.endpoint
        if not allowed(origin, ours):
            raise HubError(f"{ours.host} leads to {origin.host or 'nowhere'}, which is not https")
        token = self.rules.token
        carried = token is not None and any(token in value for value in request.headers.values())
        if origin != ours and (carried or (token is not None and token in str(request.url))):
            raise HubError(f"{ours.host} leads to {origin.host}, which would be told your token: refused")
        request.headers["Accept-Encoding"] = "identity"
        # the client asks for most things without any limit of time
        limits = self._limits(request)
        watch = _Head(HEAD_WAITS * (limits["read"] or self.rules.patience), self.close)
        request.extensions = {**request.extensions, "timeout": limits, "trace": watch}

    def _limits(self, request: httpx2.Request) -> dict[str, float | None]:
        limits: dict[str, float | None] = self.timeout.as_dict()
        return (
            limits if _safe(request) else {**limits, "read": 6 * self.rules.patience}
        )  # a commit takes its time

    def _after(self, response: httpx2.Response) -> None:
        """What comes back names no path and no storage that the client must not go to; and it has an end."""
        headers, host = response.headers, self.rules.endpoint.host
        for name in ("etag", "x-linked-etag"):
            if name in headers and not _ETAG.fullmatch(headers[name]):
                raise HubError(f"{host} names a file by an {name} that is none: refused")
        if not re.fullmatch(r"[0-9a-f]{40}|", headers.get("x-repo-commit", "")):
            raise HubError(f"{host} names a commit that is none: refused")
        self.pages += "next" in response.links
        if self.pages > MOST_PAGES:
            raise HubError(f"{host} has page after page of one list: refused")
        if "x-xet-cas-url" in headers and not storage_allowed(headers["x-xet-cas-url"], self.rules.endpoint):
            raise HubError(f"{host} names a storage that is neither https nor its own: refused")
        routes = [headers.get("x-xet-refresh-route"), response.links.get("xet-auth", {}).get("url")]
        for route in filter(None, routes):
            if origin_of(urljoin(str(response.url), route)) != self.rules.endpoint:
                raise HubError(f"{host} would have the token brought elsewhere: refused")
        if headers.get("content-encoding", "identity") != "identity":
            if response.status_code < 300:
                raise HubError(f"{host} packs its answers although nobody asked for that: refused")
            del headers["content-encoding"]  # a refusal's words are not worth unpacking what may be a bomb
        response.stream = _Watched(response.stream, self.rules, _limit(response))  # type: ignore[arg-type]  # sync


def _direct(endpoint: Origin) -> Mapping[str, None]:
    """Past all proxies: plain http to this machine, or the token would reach them in the open."""
    name = f"[{endpoint.name}]" if ":" in endpoint.name else endpoint.name
    return {f"http://{name}:{endpoint.port}": None} if plain_here(endpoint) else {}


def _limit(response: httpx2.Response) -> int | None:
    """Bytes that an answer may have; None: those who ask for a file count for themselves."""
    if not 200 <= response.status_code < 300:
        return MOST_ASIDE
    return None if response.request.extensions.get(FILE) else MOST


class _Head:
    """Ends what drips: the head of an answer, or the first words of TLS, by `end` after so many seconds.

    The client times each read alone, and would wait for ever for one header after another. It tells of each step.
    """

    def __init__(self, seconds: float, end: Any) -> None:
        self.seconds, self.end = seconds, end
        self.timer: Timer | None = None

    def __call__(self, name: str, _: Mapping[str, Any]) -> None:
        step, what = name.rsplit(".", 1)
        if not step.endswith(("receive_response_headers", "start_tls")):
            return
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if what == "started":
            self.timer = Timer(self.seconds, self.end)
            self.timer.daemon = True
            self.timer.start()


def _safe(request: httpx2.Request) -> bool:
    return request.method in ("GET", "HEAD")


def _refused(response: httpx2.Response, request: httpx2.Request, host: str) -> Exception:
    doing = "read" if _safe(request) else "write"
    try:
        hf_raise_for_status(response)
    except Exception as error:  # the client's own, or what a strange body makes it stumble over
        return explain(error, host, doing=doing)
    finally:
        response.close()
    return of_status(response.status_code, host, doing=doing)


class _Watched(httpx2.SyncByteStream):
    """The bytes of an answer, as long as they are not too many and do not drip."""

    def __init__(self, stream: httpx2.SyncByteStream, rules: Rules, limit: int | None) -> None:
        self.stream, self.rules, self.limit = stream, rules, limit

    def __iter__(self) -> Iterator[bytes]:
        host, done, began = self.rules.endpoint.host, 0, time.monotonic()
        for block in self.stream:
            done += len(block)
            if self.limit is not None and done > self.limit:
                raise HubError(f"{host} answers with more than {self.limit} bytes: refused")
            age = time.monotonic() - began
            if age > self.rules.patience and done < SLOWEST * age:
                raise HubError(f"{host} sends less than {SLOWEST} bytes a second; {LATER}")
            if self.limit is not None and age > BODY_WAITS * self.rules.patience:
                raise HubError(f"{host} does not come to the end of an answer; {LATER}")
            self.rules.reporter.alive()
            yield block

    def close(self) -> None:
        self.stream.close()
