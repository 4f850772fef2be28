"""For all tests: no network beyond this machine, a cache of their own, one thread, and the long ones on request."""

from __future__ import annotations

import gc
import ipaddress
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.pop("COLUMNS", None)  # xdist tells its workers how wide a terminal is; tests write to pipes


MEMORY, ROOM = Path("/dev/shm"), 4 << 30
"""Where Linux has files in memory, and the free bytes there with which tests write to it: 2 GB in all."""


class NetworkUsedError(RuntimeError):
    """A test went beyond this machine. Not an OSError, so that no code under test mistakes it for bad weather."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="also run the tests that take seconds each, as CI does"
    )
    parser.addoption(
        "--pretend-gpu",
        action="store_true",
        help="run what needs a GPU on one that is not there (tests/pretend_gpu.py)",
    )
    parser.addoption("--slow", action="store_true", help="also run those and the tests that take minutes")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """`-n 2` alone gives each worker half of the tests in their order, so that a module is set up once, not twice.

    Files lie in memory where there is room: 50,000 small ones cost a disk minutes, most of them when they go.
    """
    if _has_room():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


def _has_room() -> bool:
    return MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Modules and tests live to the end: to look for garbage among them took a third of the collection."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()  # for good: pytest looks for garbage ten times before it ends
        gc.set_threshold(10_000, 20, 20)  # what a test leaves is small
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = bool(config.getoption("--slow"))
    wanted = slow or bool(config.getoption("--long"))
    for item in items:
        if item.get_closest_marker("slow") and not slow:
            item.add_marker(pytest.mark.skip(reason="slow: takes minutes; give --slow"))
        if item.get_closest_marker("long") and not wanted:
            item.add_marker(pytest.mark.skip(reason="long: takes seconds; give --long, as CI does"))
        needs = item.get_closest_marker("gpu")
        if needs and not _has_cuda():
            real, pretend = needs.kwargs.get("real", ""), config.getoption("--pretend-gpu")
            if real or not pretend:
                why = f": {real}" if real and pretend else ""
                item.add_marker(pytest.mark.skip(reason=f"gpu: no CUDA device here{why}"))


@pytest.fixture(autouse=True)
def _pretended_gpu(request: pytest.FixtureRequest) -> Iterator[None]:
    """Under `--pretend-gpu`, for what needs a GPU, where there is none."""
    if not request.node.get_closest_marker("gpu") or _has_cuda():
        yield
        return
    from tests.pretend_gpu import pretended

    with pretended():
        yield


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session", autouse=True)
def _stays_here() -> Iterator[None]:
    """Refuse every connection and every name but those of this machine."""
    connect, connect_ex, lookup = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def checked(self: socket.socket, address: Any) -> None:
        _must_be_here(address[0] if isinstance(address, tuple) else None)
        return connect(self, address)

    def checked_ex(self: socket.socket, address: Any) -> int:
        _must_be_here(address[0] if isinstance(address, tuple) else None)
        return connect_ex(self, address)

    def looked_up(host: Any, *rest: Any, **more: Any) -> Any:
        _must_be_here(host)
        return lookup(host, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", checked)
        patch.setattr(socket.socket, "connect_ex", checked_ex)
        patch.setattr(socket, "getaddrinfo", looked_up)
        yield


def _must_be_here(host: Any) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost", socket.gethostname()):
        return
    try:
        here = ipaddress.ip_address(str(name).partition("%")[0]).is_loopback
    except ValueError:
        here = False
    if not here:
        raise NetworkUsedError(f"a test wanted to reach {name}")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Decoded data sets of the tests are not those of the user."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TICKETCTL_CACHE", str(cache))
        yield cache


@pytest.fixture(scope="session", autouse=True)
def _nobody_pulls_the_plug() -> Iterator[None]:
    """To wait until the disk has thousands of small files tells nothing: what was written is read from memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _timed_at_a_glance() -> None:
    """The timing of nets took more than all trainings together. Tests without torch do not import it."""
    if "torch" in sys.modules:
        from tests.glance import glance

        glance()


@pytest.fixture(scope="session", autouse=True)
def _let_the_warm_process_go() -> Iterator[None]:
    yield
    if "tests.warm" in sys.modules:
        sys.modules["tests.warm"].Warm.close()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """The thread count belongs to the bits, and a test may have changed it. Tests without torch do not import it."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
