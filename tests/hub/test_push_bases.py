"""A card names the repository on the Hub that its ticket or run follows from, where the workspace knows it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.artifacts import samples
from tests.hub.fakehub import FakeHub
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.stages import lineage
from ticketctl.stages.origin import ORIGIN
from ticketctl.stages.pull import pull
from ticketctl.stages.push import Asked, push

# the client's own upload of large files uses an argument that its transport has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def pulled(hub: FakeHub, tmp_path: Path) -> Path:
    """The folder of a public ticket that was pulled into a workspace."""
    mine = samples.ticket(tmp_path / "mine/ticket")
    lineage.drew(mine)
    push(Asked([str(mine.folder)], "ada/first", public=True), tmp_path / "mine")
    return pull("ada/first", tmp_path / "runs").folders[0]


def base_of(hub: FakeHub, repo: str) -> object:
    return yaml.safe_load(hub.repos[repo].files["README.md"].decode().split("---\n")[1]).get("base_model")


def test_a_run_of_a_pulled_ticket_follows_from_where_it_was_pulled(
    hub: FakeHub, pulled: Path, tmp_path: Path
) -> None:
    ticket = open_ticket(pulled)
    run = samples.run(pulled.parent / "spends/abcd1234/3-seed-0", ticket_id=ticket.manifest.ticket_id)
    push(Asked([str(run.folder)], "lab/run"), tmp_path / "runs")
    assert base_of(hub, "lab/run") == "ada/first"
    assert b"- from the repository `ada/first`" in hub.repos["lab/run"].files["README.md"]
    elsewhere = samples.run(tmp_path / "runs/elsewhere", ticket_id=ticket.ticket_id_at(2))
    lineage.trained(elsewhere, ticket)  # of a level: its chain alone knows of which ticket
    push(Asked([str(elsewhere.folder)], "lab/level"), tmp_path / "runs")
    assert base_of(hub, "lab/level") == "ada/first"


def test_of_what_is_unknown_private_or_the_same_repository_nothing_is_said(
    hub: FakeHub, pulled: Path, tmp_path: Path
) -> None:
    other = samples.ticket(tmp_path / "runs/own/ticket", level=1, with_ladder=False)
    push(Asked([str(other.folder)], "lab/own"), tmp_path / "runs")
    push(Asked([str(pulled)], "ada/first", public=True, message="again"), tmp_path / "runs")
    hub.repos["ada/first"].private = True
    push(Asked([str(pulled)], "lab/again"), tmp_path / "runs")
    assert [base_of(hub, repo) for repo in ("lab/own", "ada/first", "lab/again")] == [None, None, None]
    origin = pulled.parent / ORIGIN
    origin.write_bytes(
        origin.read_bytes().replace(b"ada/first", b"../../x")
    )  # nobody vouches for a workspace
    push(Asked([str(pulled)], "lab/odd"), tmp_path / "runs")
    assert base_of(hub, "lab/odd") is None
    del hub.repos["ada/first"]
    assert not push(Asked([str(pulled)], "lab/again"), tmp_path / "runs").changed
