"""Fixtures of the data tests: a loader, a reporter that remembers, real data where a machine has them."""

import os
import sys
from pathlib import Path

import pytest

from ticketctl.data.load import load
from ticketctl.progress import Silent

SHARED = Path(
    os.environ.get("TICKETCTL_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data"
)


class Notes(Silent):
    """Remembers what it is told."""

    def __init__(self):
        self.lines = []
        self.downloads = []

    def note(self, text):
        self.lines.append(text)

    def download(self, name, done, total):
        self.downloads.append((name, done, total))


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def opened(tmp_path, notes, monkeypatch):
    """Opens a data set offline, with a cache of its own."""
    monkeypatch.delenv("TICKETCTL_MIRROR", raising=False)

    def opened(name, folder=None, options=None, offline=True, cache=tmp_path / "cache"):
        return load(name, cache=cache, folder=folder, offline=offline, reporter=notes, options=options)

    return opened


@pytest.fixture(scope="session")
def shared():
    """Gives a file of the real data, or skips."""

    def shared(name):
        if not (SHARED / name).exists():
            pytest.skip(f"no {SHARED / name} on this machine (TICKETCTL_TEST_DATA names another folder)")
        return SHARED / name

    return shared


@pytest.fixture(scope="session")
def unpacker(shared):
    """The module that unpacks the real data into torchvision's layouts."""
    path = shared("unpack.py")
    sys.path.insert(0, str(path.parent))
    try:
        import unpack
    finally:
        sys.path.remove(str(path.parent))
    return unpack
