"""The one HTTP request behind `fetch`: https only, redirects watched, no answer awaited for ever."""

from __future__ import annotations

import ipaddress
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO, cast
from urllib.parse import urlsplit

TIMEOUT = 30.0
"""Seconds without a byte after which a server is given up."""


class RefusedError(Exception):
    """The server, or our rules, said no: trying again changes nothing."""


class BrokenError(Exception):
    """The connection failed or broke: trying again may help."""


def request(url: str, start: int) -> HTTPResponse:
    """Ask for the bytes of `url` from `start` on.

    Raises:
        RefusedError: an address that is not https, a redirect away from https, or an error answer.
        BrokenError: no connection, no answer in time, or a server error (5xx).
    """
    if not _allowed(url):
        raise RefusedError("only https addresses are fetched")
    headers = {"User-Agent": "ticketctl", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    opener = urllib.request.build_opener(_Redirects)
    try:
        return cast(HTTPResponse, opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT))
    except urllib.error.HTTPError as error:
        error.close()
        kind = BrokenError if error.code >= 500 else RefusedError
        raise kind(f"the server answered {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise BrokenError(reason(error)) from None


def reason(error: Exception) -> str:
    """One short line for a failed connection, with nothing in it that a server wrote."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(cause).__name__ if isinstance(cause, Exception) else "no connection"


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not _allowed(newurl) or (urlsplit(req.full_url).scheme == "https" != urlsplit(newurl).scheme):
            fp.close()
            raise RefusedError(f"the server redirects away from https, to {newurl[:80]!r}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _allowed(url: str) -> bool:
    """https anywhere; plain http only to this machine, where there is no wire to listen on."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    return parts.scheme == "http" and _loopback(host)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
