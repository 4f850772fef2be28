"""Readers that we did not write, in another language: the Hub's JavaScript client, and zarrita for the ladder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import samples
from tests.hub.fakehub import FakeHub

JS = Path(__file__).parent / "js"
NODE = shutil.which("node")
INSTALL = "npm install --prefix tests/hub/js --no-package-lock --no-audit --no-fund"

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="node is not installed here"),
    pytest.mark.skipif(not (JS / "node_modules").is_dir(), reason=f"no tests/hub/js/node_modules: {INSTALL}"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("js") / "ticket"
    samples.ticket(made)
    return made


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator[FakeHub]:
    """A Hub to which `ticketctl push` brought the ticket, and later something else."""
    home = folder.parent / "home"
    home.mkdir()
    with FakeHub(folder.parent / "hub") as made:
        push = [sys.executable, "-m", "ticketctl", "push", str(folder), "--to", "ada/first", "--yes"]
        done = subprocess.run(push, env=made.env(home), cwd=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        made.put("ada/first", {"late.json": b"{}"})
        yield made
    assert made.leaks() == []


@pytest.fixture
def tag(hub: FakeHub) -> str:
    """The one that the push gave."""
    (name,) = hub.repos["ada/first"].tags
    return str(name)


def node(script: str, *args: str, **env: str) -> Any:
    assert NODE is not None
    done = subprocess.run(
        [NODE, str(JS / script), *args],
        env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_javascript_client_reads_a_ticket_that_was_pushed(hub: FakeHub, folder: Path, tag: str) -> None:
    said = node("read_ticket.mjs", "ada/first", tag, HUB_URL=hub.url, HF_TOKEN=hub.token)
    there = hub.repos["ada/first"]
    commit = there.commits[there.tags[tag]]
    assert said["sha"] == commit.sha
    assert said["files"] == {
        path: {"listed": blob.size, "size": blob.size, "sha256": hashlib.sha256(blob.data).hexdigest()}
        for path, blob in commit.files.items()
    }
    assert {"ticketctl", "lottery-ticket"} <= set(said["tags"])
    assert said["ticket"] == json.loads((folder / "ticket.json").read_bytes())["ticket_id"]
    keep = samples.ladder().mask(samples.ROUNDS)
    assert said["declared"] == len(keep)
    assert said["kept"] == {name: int(kept.sum()) for name, kept in keep.items()}


@pytest.mark.parametrize("form", ["address", "zip", "folder"])
def test_zarrita_counts_the_ladder_as_we_do(
    hub: FakeHub, folder: Path, tmp_path: Path, form: str, tag: str
) -> None:
    source, token = str(folder / "ladder.zarr.zip"), {}
    if form == "address":
        source, token = f"{hub.url}/ada/first/resolve/{tag}/ladder.zarr.zip", {"HF_TOKEN": hub.token}
    elif form == "folder":
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                archive.extract(name, tmp_path)
        source = str(tmp_path)
    rungs = samples.ladder()
    said = node("read_ladder.mjs", source, *rungs.death, **token)
    assert said["format"] == "ticketctl.ladder"
    assert said["rounds"] == rungs.rounds
    assert said["kept"] == [
        sum(int((death >= level).sum()) for death in rungs.death.values())
        for level in range(rungs.rounds + 1)
    ]


def test_the_token_stays_with_the_hub(hub: FakeHub) -> None:
    """Of the scripts above as much as of the client."""
    node("read_ticket.mjs", "ada/first", HUB_URL=hub.url, HF_TOKEN=hub.token)
    stored = [one for one in hub.requests if one.origin == "store"]
    assert stored
    assert not any(one.holds(hub.token) for one in stored)
