"""The guards around all tests do guard."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from ticketctl.data.load import default_cache


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org", "2001:db8::1", "10.0.0.1"])
def test_nobody_reaches_beyond_this_machine(host: str) -> None:
    with pytest.raises(RuntimeError, match="wanted to reach"):
        socket.create_connection((host, 80), timeout=1)
    with socket.socket() as bare, pytest.raises(RuntimeError, match="wanted to reach"):
        bare.connect_ex((host, 80))


def test_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = threading.Thread(target=lambda: server.accept()[0].close())
        answer.start()
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()
        answer.join()


def test_the_users_cache_is_left_alone() -> None:
    assert default_cache() == Path(os.environ["TICKETCTL_CACHE"])
    assert default_cache() != Path.home() / ".cache" / "ticketctl"
