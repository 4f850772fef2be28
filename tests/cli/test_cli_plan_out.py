"""`plan --out` and the number of places: what it writes a sweep takes, and what it counts collect counts too."""

from __future__ import annotations

import json
import shlex
from contextlib import chdir
from pathlib import Path

import pytest

from tests.cli.conftest import ask
from ticketctl.cli.plan import _places
from ticketctl.stages.plan_wanted import Wanted, plan_meant
from ticketctl.stages.sweep_entries import entries_of

GRID = """
[axes]
model = "lenet-300-100"
data = "digits"
method = ["snip", "random"]
density = [0.25, 0.3]
spend = ["none", "train.lr=0.2"]
[sets]
"train.epochs" = 1
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "g.toml").write_text(GRID)
    return tmp_path


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("g.toml", "a file that no plan made lies there; name another"),
        (".", "this is a folder; name a file, such as plan.jsonl"),
        ("p.txt", "sweep takes a plan whose name ends in .jsonl; name a file, such as plan.jsonl"),
        ("runs/", "sweep takes a plan whose name ends in .jsonl; name a file, such as plan.jsonl"),
        (".jsonl", "sweep takes a plan whose name ends in .jsonl; name a file, such as plan.jsonl"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(home: Path, out: str, said: str) -> None:
    answer = ask(home, "plan", "g.toml", "--list", "--out", out)
    assert answer.code == 2
    assert answer.complaint == f"ticketctl: --out {out.rstrip('/')}: {said}"
    assert [path.name for path in home.iterdir()] == ["g.toml"]
    assert (home / "g.toml").read_text() == GRID


def test_the_command_that_is_printed_takes_the_file_and_a_plan_is_replaced(home: Path) -> None:
    for density in ("0.25", "0.3"):
        answer = ask(
            home, "plan", "g.toml", "--only", f"density={density}", "--list", "--out", "new/my plan.jsonl"
        )
        assert answer.code == 0, answer.err
    line = shlex.split(answer.err.partition("carry it out with: ")[2])
    assert line == ["ticketctl", "sweep", "new/my plan.jsonl"]
    with chdir(home):
        plan = plan_meant(Wanted(line[2], Path("runs"))).plan  # as sweep does
    assert {place.labels["density"] for place in plan.places} == {"0.3", "1"}, "1 is of the dense net"


def test_the_command_that_is_printed_names_the_workspace_that_was_named(home: Path) -> None:
    answer = ask(home, "plan", "g.toml", "--list", "--out", "p.jsonl", "--workspace", "w 2")
    assert answer.err.endswith("carry it out with: ticketctl sweep p.jsonl --workspace 'w 2'\n"), answer.err


def test_the_places_of_a_plan_are_those_of_its_table(home: Path) -> None:
    with chdir(home):
        found = plan_meant(Wanted("g.toml", Path("runs"))).plan
        # 2 methods by 2 densities by 2 recipes, and of each recipe a dense net, which no method or density has apart
        assert _places(found) == len(entries_of(found).entries) == 8 + 2


@pytest.mark.long
def test_a_place_is_one_thing_in_text_in_json_and_in_collect(home: Path) -> None:
    told = ask(home, "plan", "g.toml", "--json", "--quiet").json["result"]
    text = ask(home, "plan", "g.toml", "--quiet").out
    collected = ask(home, "collect", "g.toml", "--json")
    assert told["places"] == 10
    assert f"plan        {told['plan']} g: 10 places\n" in text
    assert ": 10 places: 0 done" in collected.err
    assert len(json.loads(collected.out)["result"]["rows"]) == 10
    assert "however many places need it" in text
