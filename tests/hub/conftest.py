"""A desk before the test Hub: this process asks it, as Ada, and nobody else."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.hub.fakehub import FakeHub


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """An empty Hub, with the environment of this process led to it; pauses between tries are short."""
    from ticketctl.hub import session

    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "TICKETCTL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(session, "PAUSE", 0.01)
    # to read all authorities' certificates anew takes longer than all the rest
    monkeypatch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
    with FakeHub(tmp_path / "hub") as hub:
        told = {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HOME": str(tmp_path / "hf")}
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        yield hub


@pytest.fixture
def hub(desk: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The desk, where large files go the plain way, and no sign of a token goes elsewhere."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    yield desk
    assert desk.leaks() == []
