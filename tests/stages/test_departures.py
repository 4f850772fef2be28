"""What runs of spends did otherwise than their draws, as `list runs` has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ask
from tests.pace import times_reference
from tests.stages.written import drawn, run
from ticketctl.artifacts.workspace import runs
from ticketctl.stages.departures import departures

NOISE = {"data": {"noise": {"kind": "symmetric", "rate": "2/5"}}}


def told_in(workspace: Path) -> dict[str, dict[str, str]]:
    found = runs(workspace)
    told = zip(found, departures(found), strict=True)
    return {folder.parent.name: changed for (folder, _), changed in told}


def test_only_what_differs_from_the_draw_and_took_effect_is_told(tmp_path: Path) -> None:
    here = tmp_path / "net/imp-0/seed-0"
    drawn(here / "ticket")
    changed: dict[str, Any] = {
        "same": {},
        "batch": {"train": {"batch": 64, "momentum": 0}},
        "noise": NOISE,
        "start": {"spend": {"start": "init"}},
        "idle": {"train": {"threads": 3}, "spend": {"attribution": True}},
    }
    for name, changes in changed.items():
        run(here / f"spends/{name}/10-seed-0", 0.5, changes=changes)
    run(here / "spends/dense/0-seed-0", 0.5, kept=None, changes=changed["start"])
    run(here / "levels/10", 0.5, changes=changed["batch"])
    assert told_in(tmp_path) == {
        "same": {},
        "batch": {"train.batch": "64", "train.momentum": "0.0"},
        "noise": {"data.noise.rate": "2/5"},
        "start": {"spend.start": "init"},
        "idle": {},
        "dense": {},
        "levels": {},
    }


def test_noise_that_the_draw_had_and_the_spend_has_not_is_told(tmp_path: Path) -> None:
    here = tmp_path / "net/imp-0/seed-0"
    drawn(here / "ticket", changes=NOISE)
    run(here / "spends/clean/10-seed-0", 0.5, changes={"data": {"noise": {"kind": "none"}}})
    run(here / "spends/kept/10-seed-0", 0.5, changes=NOISE)
    assert told_in(tmp_path) == {"clean": {"data.noise.kind": "none"}, "kept": {}}


def test_tweaks_have_their_own_column_and_a_lost_ticket_says_nothing(tmp_path: Path) -> None:
    here = tmp_path / "net/imp-0/seed-0"
    drawn(here / "ticket")
    run(here / "spends/a/10-seed-0", 0.5, tweaks=["sam"], changes={"tweaks": {"sam": {"rho": 0.1}}})
    run(tmp_path / "net/imp-1/seed-0/spends/b/10-seed-0", 0.5, changes={"train": {"batch": 64}})
    assert told_in(tmp_path) == {"a": {}, "b": {}}


def test_the_list_has_a_column_where_something_was_changed(tmp_path: Path) -> None:
    here = tmp_path / "runs/net/imp-0/seed-0"
    drawn(here / "ticket")
    run(here / "spends/a/10-seed-0", 0.5)
    assert "changed" not in ask(tmp_path, "list", "runs").out
    run(here / "spends/b/10-seed-0", 0.5, changes={"train": {"batch": 64}})
    assert "train.batch=64" in ask(tmp_path, "list", "runs").out
    records = ask(tmp_path, "list", "runs", "--json").json["result"]
    assert sorted((record["changed"] for record in records), key=len) == [{}, {"train.batch": "64"}]
    inside = ask(tmp_path, "inspect", "net/imp-0/seed-0/spends/b")
    assert "train.batch=64" in inside.out


@pytest.mark.parametrize("breakage", ["{}", ""])
def test_a_damaged_ticket_takes_no_run_out_of_the_list(tmp_path: Path, breakage: str) -> None:
    here = tmp_path / "runs/net/imp-0/seed-0"
    drawn(here / "ticket")
    run(here / "spends/b/10-seed-0", 0.5, changes={"train": {"batch": 64}})
    (here / "ticket/ticket.json").write_text(breakage)
    assert "10-seed-0" in ask(tmp_path, "list", "runs").out


def test_a_hundred_runs_are_told_in_a_moment(tmp_path: Path) -> None:
    for draw in range(10):
        here = tmp_path / f"net/imp-{draw}/seed-0"
        drawn(here / "ticket")
        for at in range(10):
            changes = {"train": {"batch": 32 + at, "lr": (draw + 1) / 100}}
            run(here / f"spends/{at}/10-seed-0", 0.5, changes=changes)
    found = runs(tmp_path)
    assert all(departures(found))
    assert times_reference(lambda: departures(found)) < 5
