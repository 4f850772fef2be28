"""What goes wrong between here and the Hub, each as one line and an exit code. Nothing here asks anybody.

A line quotes a server only where it says why it refuses, cut short and cleaned, and never a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ticketctl.errors import ArtifactError, HubError, ResourceError, TicketctlError, UsageError
from ticketctl.hub.names import HubName

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
LATER = "try again later"
QUOTED = 120
"""Signs of a server's own words that are shown at most."""
_TOKEN = re.compile(r"hf_[A-Za-z0-9]{4,}|(?i:bearer)\s+\S+")


def quoted(text: object) -> str:
    """A server's own words: one line of printable signs, cut short, without anything like a token.

    >>> quoted("no\\x1b[2J way, hf_abcdefgh")
    'no [2J way, (token)'
    """
    plain = "".join(sign if sign.isprintable() else " " for sign in str(text)[: 4 * QUOTED])
    cleaned = " ".join(_TOKEN.sub("(token)", plain).split())
    return cleaned if len(cleaned) <= QUOTED else f"{cleaned[: QUOTED - 1]}…"


class StaleError(HubError):
    """A commit on top of one that is no longer the newest: read anew, then it may go."""


@contextmanager
def explained(host: str, name: HubName | None = None, doing: str = "read") -> Iterator[None]:
    """Turn whatever the client raises inside into the error of ours that says what it means.

    Args:
        host: of the endpoint, for the line.
        name: the repository that is spoken of, if it is one.
        doing: what is done to it, `read` or `write`.

    Raises:
        HubError: the Hub, the network or a right.
        TicketctlError: one of ours passes through as it is.
    """
    try:
        yield
    except TicketctlError:
        raise
    except Exception as error:  # what a strange answer makes the client stumble over can be of any class
        raise explain(error, host, name, doing) from None


def explain(error: Exception, host: str, name: HubName | None = None, doing: str = "read") -> TicketctlError:
    """The error of ours that says what an exception of the client means; see `explained`."""
    import httpx2
    from huggingface_hub import errors as hub

    where = str(name) if name else host
    for cause in _causes(error):
        if isinstance(cause, TicketctlError):
            return cause
        if isinstance(cause, hub.HfHubHTTPError) and cause.response is not None:
            return _answered(cause, host, name, doing)
        if isinstance(cause, hub.OfflineModeIsEnabled):
            return offline(where)
        if isinstance(cause, httpx2.HTTPStatusError):  # refused in words that the client could not read
            return of_status(cause.response.status_code, where, doing=doing)
        if isinstance(cause, httpx2.HTTPError):
            return unreachable(cause, host)
    if isinstance(error, hub.HFValidationError):
        return UsageError(f"{where}: {quoted(error)}")
    if isinstance(error, hub.LocalTokenNotFoundError):
        return HubError(f"{where}: no token is at hand; {LOG_IN}")
    if isinstance(error, ConnectionError):  # the storage beside the Hub says no more than this
        return HubError(f"{where}: the Hub's storage does not answer ({quoted(error)}); {LATER}")
    if isinstance(error, OSError) and error.errno is not None:
        return ResourceError(f"{error.filename or where}: {error.strerror}")
    what = type(error).__name__
    return HubError(f"{host} answers what no Hub answers ({what}: {quoted(error)}); is HF_ENDPOINT right?")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, and what it was raised because of."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def offline(where: str) -> HubError:
    """The network is needed and may not be used."""
    return HubError(
        f"{where}: not here, and offline; pull it while online (without HF_HUB_OFFLINE and --offline)"
    )


def unreachable(error: Exception, host: str) -> HubError:
    """No connection, or one that broke."""
    import httpx2

    if isinstance(error, httpx2.TimeoutException):
        return HubError(f"{host} does not answer in time; {LATER}")
    if isinstance(error, httpx2.TooManyRedirects):
        return HubError(f"{host} redirects in a circle; is HF_ENDPOINT right?")
    if isinstance(error, httpx2.ConnectError):
        return HubError(f"{host} cannot be reached ({_reason(error)}); is this machine online?")
    if isinstance(error, httpx2.UnsupportedProtocol):
        return HubError(f"{host} leads to an address that is neither https nor http")
    return HubError(f"the connection to {host} broke ({_reason(error)}); {LATER}")


def _reason(error: Exception) -> str:
    return quoted(error) or type(error).__name__


def _answered(error: Exception, host: str, name: HubName | None, doing: str) -> TicketctlError:
    from huggingface_hub import errors as hub

    where, repo = (str(name), name.repo) if name else (host, "")
    if isinstance(error, hub.GatedRepoError):
        return HubError(f"{where} is gated: ask for access at https://{host}/{repo}, then {LOG_IN}")
    if isinstance(error, hub.RevisionNotFoundError):
        revision = name.revision if name else ""
        return HubError(
            f"{where}: the repository has no branch, tag or commit {revision!r}{_meant(revision or '')}"
        )
    if isinstance(error, hub.DisabledRepoError):
        return HubError(f"{where} was disabled by the Hub")
    if isinstance(error, hub.RemoteEntryNotFoundError):
        return ArtifactError("E_FILE_MISSING", f"{where}: a file that was listed is not there")
    response = getattr(error, "response", None)
    code = int(getattr(response, "status_code", 0))
    said = quoted(getattr(error, "server_message", None) or "")
    if isinstance(error, hub.RepositoryNotFoundError) and code != 401:
        return HubError(f"{where}: no such repository, or a private one of others; if it is yours, {LOG_IN}")
    return of_status(code, where, said, doing, known=isinstance(error, hub.RepositoryNotFoundError))


def _meant(revision: str) -> str:
    """What is right where a revision that is not there looks like a level, or like the beginning of a commit."""
    if re.fullmatch(r"[0-9]{1,3}|[01]?\.[0-9]+", revision):
        return f"; for a level of the ticket use --level {revision}"
    short = re.fullmatch(r"[0-9a-f]{4,39}", revision)
    return "; write all 40 digits of a commit" if short else ""


def of_status(
    code: int, where: str, said: str = "", doing: str = "read", *, known: bool = False
) -> TicketctlError:
    """The error of an answer by its status.

    Args:
        code: the status.
        where: a repository or a host.
        said: the server's own words, cleaned.
        doing: `read` or `write`.
        known: of 401, that it is how the Hub hides repositories from those who may not see them.
    """
    more = f" ({said})" if said else ""
    if code == 401 and known:
        return HubError(f"{where}: no such repository, or a private one: {LOG_IN}")
    if code == 401:
        return HubError(f"{where}: the Hub does not know the token{more}; {LOG_IN}")
    if code == 403:
        way = "a token that may write" if doing == "write" else "a token that may read it"
        return HubError(f"{where}: the token has no right to {doing} there{more}; use {way}")
    if code == 412:
        return StaleError(f"{where}: somebody else changed it meanwhile; push again")
    if code == 413:
        return HubError(f"{where}: too large for the Hub{more}")
    if code == 429:
        return HubError(f"{where}: the Hub asks for patience (429){more}; {LATER}")
    if code >= 500:
        return HubError(f"{where}: the Hub has trouble of its own ({code}){more}; {LATER}")
    return HubError(f"{where}: the Hub refuses ({code}){more}")
