"""What can go wrong on the way: each fault looks at a request and answers, spoils the true answer, or lets it pass."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.hub.fakehub.wire import Reply, Request, refusal

if TYPE_CHECKING:
    from tests.hub.fakehub.hub import FakeHub

Proceed = Callable[[Request], Reply]
Act = Callable[[Request, Proceed], Reply]


@dataclass
class Fault:
    """`act` for requests whose path matches, the first `skip` passed over, at most `times` times."""

    kind: str
    act: Act
    path: str = ""
    method: str = ""
    origin: str = ""
    skip: int = 0
    times: int | None = None
    met: int = field(default=0, init=False)
    done: int = field(default=0, init=False)

    def meets(self, request: Request) -> bool:
        """Whether this request is one of them; counts it."""
        wanted = (
            re.search(self.path, request.path) is not None
            and re.fullmatch(self.method or ".*", request.method) is not None
            and self.origin in request.origin
        )
        self.met += wanted
        if not wanted or self.met <= self.skip or (self.times is not None and self.done >= self.times):
            return False
        self.done += 1
        return True


def through(faults: list[Fault], request: Request, proceed: Proceed) -> Reply:
    """The request past all faults in their order, the first one outermost."""
    for number, fault in enumerate(faults):
        if fault.meets(request):
            return fault.act(request, partial(through, faults[number + 1 :], proceed=proceed))
    return proceed(request)


STATUSES: dict[str, tuple[int, str, str | None]] = {
    "400": (400, "Bad request", None),
    "401": (401, "Invalid username or password.", None),
    "bad token": (401, "Invalid credentials in Authorization header", None),
    "403": (403, "Forbidden: you don't have the rights", None),
    "404": (404, "Repository not found", "RepoNotFound"),
    "revision": (404, "Invalid rev id", "RevisionNotFound"),
    "entry": (404, "Entry not found", "EntryNotFound"),
    "gated": (403, "Access to this model is restricted.", "GatedRepo"),
    "disabled": (403, "Access to this resource is disabled.", None),
    "stale": (412, "A commit has happened since. Please refresh and try again.", None),
    "413": (413, "Payload too large", None),
    "429": (429, "Too many requests", None),
    "500": (500, "Internal Error - We're working hard to fix this as soon as possible!", None),
    "502": (502, "Bad gateway", None),
    "503": (503, "Service unavailable", None),
    "504": (504, "Gateway timeout", None),
}


def _says(status: int, message: str, code: str | None = None, retry_after: int | str | None = None) -> Act:
    def act(request: Request, proceed: Proceed) -> Reply:
        reply = refusal(status, message, code)
        if retry_after is not None:
            reply.headers["Retry-After"] = str(retry_after)
        return reply

    return act


def _spoils(spoil: Callable[[Reply], Any]) -> Act:
    """Change the true answer."""

    def act(request: Request, proceed: Proceed) -> Reply:
        reply = proceed(request)
        if reply.status < 300:
            spoil(reply)
        return reply

    return act


def slow(hub: FakeHub, seconds: float = 60.0) -> Act:
    """Say nothing for so long."""
    return _spoils(lambda reply: setattr(reply, "pause", seconds))


def drip(hub: FakeHub, piece: int = 1, every: float = 0.2) -> Act:
    """So many bytes, and then again after so many seconds."""

    def spoil(reply: Reply) -> None:
        reply.piece, reply.every = piece, every

    return _spoils(spoil)


def drop(hub: FakeHub, after: int = -1) -> Act:
    """Hang up after so many bytes of the body; -1: before any answer (even to what would be refused)."""

    def act(request: Request, proceed: Proceed) -> Reply:
        reply = proceed(request) if after >= 0 else Reply()
        reply.cut = after
        return reply

    return act


def wrong(hub: FakeHub) -> Act:
    """Same size, other bytes."""
    return _spoils(lambda reply: setattr(reply, "body", bytes(byte ^ 1 for byte in reply.data)))


def longer(hub: FakeHub, by: int = 100) -> Act:
    """More bytes than were announced anywhere."""
    return _spoils(lambda reply: setattr(reply, "body", reply.data + b"\0" * by))


def shorter(hub: FakeHub, by: int = 1) -> Act:
    """Fewer bytes, with a Content-Length that says so."""
    return _spoils(lambda reply: setattr(reply, "body", reply.data[:-by]))


def lying(hub: FakeHub, length: int) -> Act:
    """A Content-Length that is not that of the body; 0: none at all."""
    return _spoils(lambda reply: setattr(reply, "length", length))


def headers(hub: FakeHub, **said: str | None) -> Act:
    """Other headers, `X_Repo_Commit="…"`, or (None) without one; redirects too."""

    def act(request: Request, proceed: Proceed) -> Reply:
        reply = proceed(request)
        for name, value in ((key.replace("_", "-"), value) for key, value in said.items()):
            for there in [one for one in reply.headers if one.lower() == name.lower()]:
                del reply.headers[there]
            if value is not None:
                reply.headers[name] = value
        return reply

    return act


def edit(hub: FakeHub, how: Callable[[Any], Any]) -> Act:
    """Change the JSON of the answer, in place or by what `how` returns."""

    def spoil(reply: Reply) -> None:
        value = json.loads(reply.data)
        changed = how(value)
        reply.body = json.dumps(value if changed is None else changed).encode()

    return _spoils(spoil)


def body(hub: FakeHub, data: bytes) -> Act:
    """Another body altogether."""
    return _spoils(lambda reply: setattr(reply, "body", data))


def endless(hub: FakeHub, data: bytes = b"[" * 65536, status: int = 200) -> Act:
    """The same bytes again and again, until the client hangs up."""
    return lambda request, proceed: Reply(status, {}, data, length=0, endless=request.method != "HEAD")


def raw(hub: FakeHub, data: bytes) -> Act:
    """Bytes that need be no HTTP."""
    return lambda request, proceed: Reply(raw=data)


def redirect(hub: FakeHub, to: str, status: int = 307) -> Act:
    """Elsewhere; `{path}` in it is the path that was asked for."""

    def act(request: Request, proceed: Proceed) -> Reply:
        return Reply(status, {"Location": to.replace("{path}", request.path)})

    return act


def between(hub: FakeHub, do: Callable[[], Any]) -> Act:
    """Something happens on the Hub before this request is answered: a push by somebody else, a deletion."""

    def act(request: Request, proceed: Proceed) -> Reply:
        do()
        return proceed(request)

    return act


KINDS: dict[str, Callable[..., Act]] = {
    "slow": slow, "drip": drip, "drop": drop, "wrong": wrong, "longer": longer, "shorter": shorter, "lying": lying,
    "endless": endless, "raw": raw, "headers": headers, "edit": edit, "body": body, "redirect": redirect,
    "between": between,
}  # fmt: skip


def make(
    hub: FakeHub, kind: str, path: str = "", *, method: str = "", origin: str = "", skip: int = 0,
    times: int | None = None, retry_after: int | str | None = None, **details: Any,
) -> Fault:  # fmt: skip
    """A fault by its name: one of STATUSES (with `retry_after`), of KINDS (with that function's details)."""
    if kind in STATUSES:
        status, message, code = STATUSES[kind]
        act = _says(status, details.pop("message", message), code, retry_after)
    else:
        act = KINDS[kind](hub, **details)
    return Fault(kind, act, path, method, origin, skip, times)
