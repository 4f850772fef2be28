"""Where the Hub is, and to which addresses a request may go."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

from ticketctl.errors import UsageError

DEFAULT = "https://huggingface.co"
INSECURE = "TICKETCTL_INSECURE_ENDPOINT"
"""Environment variable: `1` lets an endpoint be plain http on another machine."""
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port: what a token belongs to."""

    scheme: str
    name: str
    port: int

    @property
    def host(self) -> str:
        """As it is shown."""
        return self.name if self.port == _PORTS.get(self.scheme) else f"{self.name}:{self.port}"


def endpoint() -> str:
    """The Hub's address: `HF_ENDPOINT`, or that of the public Hub; without a slash at its end.

    Raises:
        UsageError: plain http to another machine, or no address, or one with a name and password in it.
    """
    url = (os.environ.get("HF_ENDPOINT") or DEFAULT).rstrip("/")
    if "@" in url or "?" in url or "#" in url:  # not shown: it may be a password
        raise UsageError(
            "HF_ENDPOINT holds more than an address: write https://host, and log in with `hf auth login`"
        )
    origin = origin_of(url)
    if not allowed(origin, origin):
        raise UsageError(f"HF_ENDPOINT {url[:80]!r} is no https address ({INSECURE}=1 lets it be plain http)")
    return url


def other_host() -> str | None:
    """The host of `HF_ENDPOINT`, as what was pulled from there remembers it; None for the public Hub.

    Raises:
        UsageError: as `endpoint`.
    """
    url = endpoint()
    return None if url == DEFAULT else origin_of(url).host


def offline_wanted() -> bool:
    """Whether `HF_HUB_OFFLINE` forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def origin_of(url: str) -> Origin:
    """The origin of an address; an empty one of what is no address.

    >>> origin_of("https://huggingface.co/org/name").host
    'huggingface.co'
    """
    try:
        parts = urlsplit(url)
        return Origin(parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0))
    except ValueError:
        return Origin("", "", 0)


def allowed(origin: Origin, home: Origin) -> bool:
    """Whether a request may go there: https anywhere; plain http on this machine if the Hub is there too."""
    if not origin.name:
        return False
    if origin.scheme == "https":
        return True
    insecure = os.environ.get(INSECURE) == "1"
    return origin.scheme == "http" and (insecure or (_loopback(origin.name) and plain_here(home)))


def storage_allowed(url: str, home: Origin) -> bool:
    """Whether the Hub may name `url` as its storage; a folder of this machine is for a Hub on it, in tests."""
    if url.startswith("local://"):
        return os.environ.get(INSECURE) == "1" and plain_here(home)
    return allowed(origin_of(url), home)


def plain_here(origin: Origin) -> bool:
    """Whether it is plain http on this machine."""
    return origin.scheme == "http" and _loopback(origin.name)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_seconds() -> None:
    """Look at what the library reads when it is first imported, where it would end in a traceback.

    Raises:
        UsageError: a time that is no whole number.
    """
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        text = os.environ.get(name)
        if text and "huggingface_hub.constants" not in sys.modules and not re.fullmatch(r"\d{1,6}", text):
            raise UsageError(f"{name}={text[:20]!r}: write whole seconds, or unset it")
