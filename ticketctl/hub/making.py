"""A repository is made for a push, and goes again where the push comes to nothing; what stays is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

from ticketctl.errors import HubError, StoppedError, TicketctlError
from ticketctl.hub.client import Hub, RemoteFile
from ticketctl.hub.names import HubName
from ticketctl.hub.standing import look

LATE = 1.0
"""Seconds of clearing away after which it is said."""
WAITS = (0.0, 0.5, 1.5)
"""Seconds before each look for a repository whose making was broken off: the Hub may be at it still."""
GATEWAY = 500
"""Statuses from here on say of what was asked neither that it was done nor that it was not."""
MADE_BY_HUB = {".gitattributes"}


def make(hub: Hub, name: HubName, *, public: bool) -> None:
    """Make an empty repository; if that is broken off, look whether it is there, and remove it.

    Raises:
        HubError: it cannot be made, or was made by somebody meanwhile.
        StoppedError: somebody asked to stop; says so where it cannot be known whether it will be there.
    """
    from huggingface_hub.errors import HfHubHTTPError

    if look(hub, name).commit is not None:
        raise HubError(f"{name} was made by somebody meanwhile; push again")
    answered = False
    try:
        with hub.explained(name, "write"):
            try:
                hub.api.create_repo(name.repo, visibility="public" if public else "private")
            except (
                HfHubHTTPError
            ) as refused:  # what is there now is not of this push, unless a gateway gave up
                answered = refused.response is not None and refused.response.status_code < GATEWAY
                raise
    except BaseException as problem:  # raised again: Ctrl-C, too, leaves nothing half-made behind
        if not answered:
            clear(hub, name, lambda one: False, problem, known=False)
        raise


def clear(
    hub: Hub,
    name: HubName,
    ours: Callable[[RemoteFile], bool],
    problem: BaseException,
    *,
    known: bool = True,
) -> None:
    """Remove a repository that was made for nothing, unless somebody has put something there meanwhile.

    Args:
        hub: the connection.
        name: of the repository; it was not there before.
        ours: whether a file there is to the byte one of the push.
        problem: why it was for nothing.
        known: whether it is certain that it was made.

    Raises:
        HubError: it is still there, or may be; says so.
        StoppedError: likewise, where somebody asked to stop.
    """
    with _said_when_late(hub, name):
        left = _left(hub, name, ours, known)
    if not left:
        return
    if isinstance(problem, StoppedError | KeyboardInterrupt):
        raise StoppedError(f"stopped: {left}", getattr(problem, "exit_code", 130)) from None
    if isinstance(problem, HubError):
        raise HubError(f"{problem}; {left}") from None
    hub.reporter.remark(left)


def _left(hub: Hub, name: HubName, ours: Callable[[RemoteFile], bool], known: bool) -> str:
    """What is left there when all is done, or nothing."""
    said = f"{name} was made" if known else f"{name} may have been made"
    try:
        for wait in (0.0,) if known else WAITS:
            time.sleep(wait)
            there = look(hub, name)
            if there.commit is not None:
                break
        if there.commit is None:
            late = "its making was broken off, and it is not there now; if it appears yet, it is empty"
            return "" if known else f"{name}: {late}: delete it on the Hub, or push again"
        if not all(path in MADE_BY_HUB or ours(one) for path, one in there.files.items()):
            return f"{name} was made and stays, for somebody has put files there"
        said = f"{name} was made"
        with hub.explained(name, "write"):
            hub.api.delete_repo(name.repo, missing_ok=True)
    except (TicketctlError, OSError, KeyboardInterrupt):
        return f"{said} and could not be removed again: delete it on the Hub, or push again"
    return ""


@contextmanager
def _said_when_late(hub: Hub, name: HubName) -> Iterator[None]:
    timer = Timer(LATE, hub.reporter.remark, [f"cleaning up: {name} is removed again …"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
