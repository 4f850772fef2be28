"""Fetch one published file: checked before it takes its name, continued where it broke off."""

from __future__ import annotations

import hashlib
import os
import re
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from ticketctl.data import _network
from ticketctl.data._network import BrokenError, RefusedError, reason, request
from ticketctl.errors import OfflineError, ResourceError, UnavailableError
from ticketctl.progress import Reporter
from ticketctl.store.files import make_folder, sync_folder

MIRROR = "TICKETCTL_MIRROR"
"""Environment variable: the base address of a mirror, laid out as the cache's folder `downloads`."""

LIMIT = 4 << 30
"""Bytes taken at most where the size is not known beforehand."""

_ATTEMPTS = 3
_PAUSE = 1.0
_SLOWEST = 100
"""Bytes a second, on average, below which a connection is given up once it is older than the timeout."""

_BLOCK = 1 << 18


@dataclass(frozen=True)
class _Order:
    """What is wanted: `checksum` is `sha256:…` or `md5:…` in hex."""

    url: str
    target: Path
    size: int | None
    checksum: str
    reporter: Reporter

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")


def fetch(
    url: str, target: Path, *, size: int | None = None, checksum: str, offline: bool, reporter: Reporter
) -> Path:
    """Bring the file at `url` to `target`, and return `target`; what is there already and is right stays.

    Args:
        url: https, or http on this machine. `$TICKETCTL_MIRROR/FOLDER/FILE` is asked instead if that is set,
            FOLDER and FILE being the last two components of `target`.
        target: a path whose folder is made if need be; the caller holds a lock on it.
        size: exact bytes, if published.
        checksum: `sha256:…` or `md5:…`, as published.
        offline: do not use the network.
        reporter: told how much has arrived.

    Raises:
        OfflineError: it is not here, and `offline` forbids to fetch it.
        UnavailableError: it cannot be had; the line says why and where to put which file.
        ResourceError: it cannot be written.
    """
    mirror = os.environ.get(MIRROR)
    address = f"{mirror.rstrip('/')}/{target.parent.name}/{target.name}" if mirror else url
    order = _Order(address, target, size, checksum, reporter)
    try:
        if not (target.is_file() and digest(target, checksum) == checksum):
            _download(order, offline)
    except (RefusedError, BrokenError) as error:
        raise UnavailableError(
            f"{target.name} cannot be had from {address}: {error}; {_way_out(target.name)}"
        ) from None
    except OSError as error:
        raise ResourceError(f"{order.part}: cannot be written: {error.strerror}") from None
    return target


def digest(path: Path, checksum: str) -> str:
    """The checksum of the file at `path`, of the kind that `checksum` is."""
    kind = checksum.partition(":")[0]
    with open(path, "rb") as file:
        return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"


def _way_out(name: str, offline: bool = False) -> str:
    return f"put {name} into a folder and give it with --data-dir" + (
        ", or drop --offline" if offline else ""
    )


def _download(order: _Order, offline: bool) -> None:
    if offline:
        name = order.target.name
        raise OfflineError(f"{name} is not here and --offline forbids to fetch it; {_way_out(name, True)}")
    make_folder(order.target.parent)
    order.reporter.note(f"fetching {order.target.name} from {order.url}")
    for attempt in range(_ATTEMPTS):
        try:
            resumed = _continue(order)
            if digest(order.part, order.checksum) == order.checksum:
                break
            order.part.unlink()
            if not resumed:  # else the old part may have been at fault
                raise RefusedError(
                    f"what arrived does not have the published {order.checksum.partition(':')[0]}"
                )
        except BrokenError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE * 2**attempt)
    else:
        raise BrokenError(f"{_ATTEMPTS} attempts failed")
    _finish(order)


def _finish(order: _Order) -> None:
    with open(order.part, "rb") as file:
        os.fsync(file.fileno())
    os.replace(order.part, order.target)
    sync_folder(order.target.parent)


def _continue(order: _Order) -> bool:
    """Fetch what the partial file lacks; tell whether there was one to continue."""
    start = order.part.stat().st_size if order.part.is_file() else 0
    if order.size is not None and start >= order.size:
        if start == order.size:
            return True
        order.part.unlink()
        start = 0
    try:
        response = request(order.url, start)
    except RefusedError:
        if not start:
            raise
        order.part.unlink()  # 416: the server has nothing from there on
        start, response = 0, request(order.url, 0)
    with response:
        if start and not _continues(response, start):
            start = 0
        _stream(response, order, start)
    return start > 0


def _continues(response: HTTPResponse, start: int) -> bool:
    """Whether the answer begins at `start`; a server may send the whole file instead."""
    found = re.match(r"bytes (\d{1,15})-", response.headers.get("Content-Range", ""))
    return response.status == 206 and found is not None and int(found[1]) == start


def _stream(response: HTTPResponse, order: _Order, start: int) -> None:
    """Append the answer's body to the partial file, from `start` on."""
    announced = response.headers.get("Content-Length", "")
    total = order.size or (start + int(announced) if re.fullmatch(r"\d{1,15}", announced) else None)
    limit = order.size or LIMIT
    if total is not None and total > limit:
        raise RefusedError(f"the server offers {total} bytes, more than {limit}")
    done, began, told = start, time.monotonic(), -1
    with open(order.part, "ab" if start else "wb") as file:
        while block := _block(response):
            done += len(block)
            if done > limit:
                _drop(order, f"the server sends more than {limit} bytes")
            file.write(block)
            age = time.monotonic() - began
            if age > _network.TIMEOUT and done - start < _SLOWEST * age:
                raise BrokenError(f"slower than {_SLOWEST} bytes a second")
            order.reporter.alive()
            if (tenth := 10 * done // total if total else done // _BLOCK) != told:
                told = tenth
                order.reporter.download(order.target.name, done, total)
    if total is not None and done < total:
        raise BrokenError(f"the connection broke after {done} of {total} bytes, which are kept")


def _block(response: HTTPResponse) -> bytes:
    try:
        return response.read1(_BLOCK)  # returns what is there, so that a slow drip is noticed
    except (OSError, HTTPException, ValueError) as error:
        raise BrokenError(reason(error)) from None


def _drop(order: _Order, why: str) -> None:
    order.part.unlink(missing_ok=True)
    raise RefusedError(why)
