"""push and pull from Python: a ticket goes to the Hub and comes back the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ticketctl
from tests.artifacts import samples
from tests.hub.fakehub import FakeHub
from ticketctl.errors import HubError, UsageError

# the client's own upload of large files uses an argument that its transport has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def test_a_ticket_that_is_pushed_is_pulled_the_same_and_loaded_by_its_address(
    hub: FakeHub, tmp_path: Path
) -> None:
    mine = samples.ticket(tmp_path / "mine/a/b/c/ticket")
    address = ticketctl.push(mine, "ada/first", workspace=tmp_path / "mine")
    assert address == f"hf://ada/first@{hub.repos['ada/first'].head.sha}"
    theirs = ticketctl.pull("ada/first", expect=mine.manifest.ticket_id, workspace=tmp_path / "theirs")
    assert theirs.manifest == mine.manifest
    again = ticketctl.load_ticket(address, workspace=tmp_path / "theirs")
    assert again.folder == theirs.folder
    assert hub.repos["ada/first"].private


def test_what_is_not_there_raises_what_the_command_says(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(HubError):
        ticketctl.pull("ada/nothing", workspace=tmp_path)
    hub.put("ada/run", {"run.json": b"{}"})
    samples.run(tmp_path / "run", sparse=False)
    ticketctl.push(tmp_path / "run", "ada/alone", workspace=tmp_path)
    with pytest.raises(UsageError, match="holds no ticket"):
        ticketctl.pull("ada/alone", runs=True, workspace=tmp_path / "theirs")


@pytest.mark.long
def test_spend_audit_and_export_take_names_on_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    drawn = ticketctl.draw(
        model="lenet-300-100", data="digits", rounds=1, epochs=1, workspace=tmp_path / "mine"
    )
    ticketctl.push(drawn, "ada/draw", runs=True, workspace=tmp_path / "mine")
    ticketctl.push(drawn.folder.parent / "levels/1", "ada/run", workspace=tmp_path / "mine")
    root, posted = tmp_path / "theirs", len(hub.asked("POST", "/commit/"))
    dense, sparse = ticketctl.spend("hf://ada/draw", level=1, workspace=root)
    assert sparse.manifest.ticket == drawn.ticket_id_at(1)
    assert (root / "hub/ada--draw") in sparse.folder.parents  # what was drawn there is not trained again
    report = ticketctl.audit("hf://ada/run", metrics=["ece"], workspace=root)
    assert report.subject.run_id == sparse.manifest.run_id
    plain, trained = (tmp_path / name for name in ("plain.npz", "trained.npz"))
    assert ticketctl.export("hf://ada/draw", "npz", plain, workspace=root) == plain
    ticketctl.export("hf://ada/draw", "npz", trained, weights="hf://ada/run", workspace=root)
    with np.load(plain) as one, np.load(trained) as other:
        assert (one["bits/fc1.weight"] == other["bits/fc1.weight"]).all()
        assert not (one["weights/fc1.weight"] == other["weights/fc1.weight"]).all()
    with pytest.raises(HubError, match="offline"):
        ticketctl.audit("hf://ada/another", workspace=root, offline=True)
    assert len(hub.asked("POST", "/commit/")) == posted
    assert dense.manifest.level == 0
