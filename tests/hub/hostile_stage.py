"""A malicious Hub, a user's folders in which to look for what it did, and what must hold after every pull from it."""

from __future__ import annotations

import hashlib
import os
import ssl
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.cli.conftest import Answer, ask
from tests.hub.fakehub import FakeHub, hostile
from tests.hub.fakehub.hostile import REPO, Case, Stage
from ticketctl.hub import session

assert session  # and the Hub's client with it: what it reads of the environment below, it takes at its import

SECONDS = 10
"""How long a pull may take at the most, on a machine with other work to do."""
Hubs = tuple[FakeHub, FakeHub, Path]


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    """The hostile Hub, an origin of somebody else, and a sound ticket."""
    folder = tmp_path_factory.mktemp("hubs")
    with FakeHub(folder / "hub") as hub, FakeHub(folder / "other") as other:
        yield hub, other, hostile.sound(folder / "ticket")


@pytest.fixture
def sandbox(tmp_path: Path, hubs: Hubs, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user types: four folders below the top, so that `..` leads to where the test looks."""
    home = tmp_path / "a" / "b" / "home"
    (home / "work").mkdir(parents=True)
    for name in [name for name in os.environ if name.startswith("HF_")]:
        monkeypatch.delenv(name)
    for name, value in {"HF_ENDPOINT": hubs[0].url, "HF_TOKEN": hubs[0].token, "HF_HOME": str(home / "hf"),
                        "HOME": str(home)}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(session, "PAUSE", 0.01)
    # to read all authorities' certificates anew takes longer than all the rest of a pull
    monkeypatch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
    return home / "work"


@pytest.fixture
def stage(hubs: Hubs, tmp_path: Path) -> Iterator[Stage]:
    """Both Hubs as new, with the sound ticket on them."""
    hub, other, ticket = hubs
    for one in (hub, other):
        for kept in (one.faults, one.requests, one.repos, one.trees, one.moved):
            kept.clear()
    made = Stage(hub, other, ticket, tmp_path)
    made.plant()
    yield made
    hub.mend()


def tree(folder: Path) -> dict[str, str]:
    """Everything below a folder: what it is, and its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "/"
        for path in folder.rglob("*")
    }


def pulled(stage: Stage, sandbox: Path, case: Case) -> tuple[Answer, set[str]]:
    """The answer, and what is new in the folder of the repository; anywhere else nothing may be new or changed."""
    top, home = sandbox.parents[3], sandbox / "runs" / "hub" / REPO.replace("/", "--")
    case.spoil(stage)
    before, start = tree(top), time.monotonic()
    with patch.dict(os.environ, case.env):
        answer = ask(sandbox, "pull", *case.ask.split(" "))
    assert time.monotonic() - start < SECONDS
    after = tree(top)
    assert {name: after.get(name) for name in before} == before
    new = {top / name for name in after.keys() - before.keys()} - {home, *home.parents}
    assert [path for path in new if not path.is_relative_to(home)] == []
    return answer, {path.relative_to(home).as_posix() for path in new}


def held(stage: Stage, sandbox: Path, case: Case) -> None:
    """Let one case happen, and see that nothing came of it but its one line, or the ticket that was asked for."""
    answer, new = pulled(stage, sandbox, case)
    said = answer.out + answer.err
    assert answer.code in case.exits, said
    if answer.code:
        assert case.says in answer.complaint
        assert [name for name in new if not name.startswith(".")] == []
    else:
        (name,) = [name for name in new if name.endswith("ticket/ticket.json")]
        found = sandbox / "runs" / "hub" / "lab--first" / name
        assert found.read_bytes() == stage.files["ticket.json"]
    assert not {sign for sign in said if not sign.isprintable()} - {"\n"}
    assert [name for name in new if name.endswith((".pkl", ".pt", ".py", ".sh"))] == []
    assert stage.hub.token not in said
    assert stage.hub.leaks() == []
    assert [str(one) for one in stage.other.requests if one.holds(stage.hub.token)] == []
    assert [fault.kind for fault in stage.hub.faults if not fault.done] == []
