"""From the command line, as a new user would: pushed, found, pulled elsewhere, verified and spent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.artifacts import samples
from tests.cli.conftest import ask
from tests.hub.fakehub import FakeHub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
DRAW = ("draw", "--epochs", "1", "--rounds", "1", "--seed", "0")


def files(folder: Path) -> dict[str, bytes]:
    listed = [one["path"] for one in json.loads((folder / "ticket.json").read_text())["files"]]
    return {name: (folder / name).read_bytes() for name in ("ticket.json", "chain.json", *listed)}


@pytest.mark.long
def test_a_ticket_goes_round_and_is_the_same(hub: FakeHub, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    assert ask(here, *DRAW).code == 0
    (ticket,) = here.glob("runs/*/*/seed-0/ticket")
    name = json.loads((ticket / "ticket.json").read_text())["ticket_id"]
    done = ask(here, "push", "--yes", "--runs", "--json", "-q").json["result"]
    repo = done["repo"]
    assert repo == f"ada/lenet-300-100-digits-imp-{name[:8]}"
    assert name in [one["id"] for one in done["things"]]
    (hit,) = ask(there, "search", "--method", "imp", "--data", "digits", "--json").json["result"]
    assert (hit["repo"], hit["net"]) == (repo, "lenet-300-100")
    got = ask(there, "pull", f"{repo}@{done['tag']}", "--expect", name, "--json", "-q").json["result"]
    assert {one["id"] for one in got["things"]} == {one["id"] for one in done["things"]}
    (pulled,) = there.glob("runs/hub/*/*/ticket")
    assert files(pulled) == files(ticket)
    sound = ask(there, "verify", "--deep", str(pulled), "--json")
    assert sound.json["result"]["sound"]
    spent = ask(there, "spend", f"hf://{repo}@{done['commit']}", "--seed", "1", "-q", "--json")
    assert spent.code == 0, spent.err
    assert list(pulled.parent.glob("spends/*/1-seed-1/run.json"))


def test_without_a_yes_nothing_leaves(hub: FakeHub, tmp_path: Path) -> None:
    samples.ticket(tmp_path / "runs/toy-digits/imp-1/seed-0/ticket")
    answer = ask(tmp_path, "push", "--to", "ada/x", "--json")
    assert (answer.code, answer.json["error"]["code"]) == (2, "E_USAGE")
    assert "--yes" in answer.complaint
    assert "ticket.json" in answer.err
    assert hub.repos == {}
    dry = ask(tmp_path, "push", "--to", "ada/x", "--dry-run", "--json").json["result"]
    assert (dry["commit"], dry["public"]) == (None, False)
    assert {one["path"] for one in dry["files"]} >= {"README.md", "ticket.json"}
