"""`ticketctl draw`: what it prints, and that the line it prints repeats it."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import DRAW, Program, ask


def test_table_of_a_draw(cli: Program) -> None:
    answer = cli(*DRAW)
    lines = answer.out.splitlines()
    assert lines[0] == "level   kept  density %  val %  test %"
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["0", "50200", "100.00"],
        ["1", "40160", "80.00"],
        ["2", "32128", "64.00"],
    ]
    assert re.fullmatch(r"ticket tk1[a-z2-7]{29}", lines[4])
    assert re.fullmatch(r"in     runs/lenet-300-100-digits/imp-[0-9a-f]{8}/seed-0/ticket", lines[5])
    assert len(lines) == 6


def test_choices_are_said(cli: Program) -> None:
    assert cli(*DRAW).err.splitlines() == [
        "method imp: none was named",
        "model lenet-300-100: none was named",
        "data digits: none was named",
        "recipe base/lenet-300-100-digits: the base of lenet-300-100 on digits",
        "recipe draw/imp: what imp takes where nothing else is said",
        "seed 0: none was named",
        "repeat with: ticketctl draw --method imp --model lenet-300-100 --data digits --seed 0 --workspace runs"
        " --set train.epochs=1 --set draw.rounds=2 --set draw.controls=true",
        "this ticket is already drawn",
    ]


def test_quiet_and_json_of_a_finished_draw(cli: Program) -> None:
    answer = cli(*DRAW, "--quiet", "--json")
    assert answer.err == ""
    (result,) = answer.json["result"]
    assert set(result) == {"ticket_id", "folder", "method", "level", "kept", "prunable", "levels"}
    assert (result["method"], result["level"], result["kept"], result["prunable"]) == ("imp", 2, 32128, 50200)
    assert [level["level"] for level in result["levels"]] == [0, 1, 2]
    assert set(result["levels"][0]) == {"level", "kept", "empty_layers", "cut", "effective", "metrics"}


@pytest.mark.long
@pytest.mark.parametrize(
    "words",
    [
        ("--epochs", "1", "--rounds", "1"),
        ("--method", "omp", "--sparsity", "2/3", "--epochs", "1", "--set", "train.lr=0.03",
         "--set", "model.init=torch"),
        ("--method", "ltr", "--rewind", "1it", "--rounds", "1", "--epochs", "1", "--set", "draw.rate=0.5",
         "--set", "draw.scope=layer", "--set", "train.milestones=['1ep']", "--set", "keep.epochs=[0, 1]"),
        ("--density", "0.9", "--scale", "0.02", "--seed", "7", "--out", "else where"),
    ],
)  # fmt: skip
def test_the_printed_line_repeats_it(words: tuple[str, ...], tmp_path: Path) -> None:
    first = ask(tmp_path, "draw", "--json", *words)
    assert first.code == 0, first.err
    line = shlex.split(first.repeat)
    assert line[:2] == ["ticketctl", "draw"]
    again = ask(tmp_path, *line[1:], "--json")
    assert "this ticket is already drawn" in again.err
    assert again.out == first.out
    assert again.repeat == first.repeat
    (tmp_path / "anew").mkdir()
    anew = ask(tmp_path / "anew", *line[1:], "--json")
    assert anew.json["result"][0]["ticket_id"] == first.json["result"][0]["ticket_id"]


@pytest.mark.long
def test_a_recipe_file_without_a_base_is_named_again(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'model = { name = "resnet20", init = "torch" }\ndata = { name = "digits" }\n'
        "train = { epochs = 1, batch = 16 }\n"
    )
    answer = ask(tmp_path, "draw", "--recipe", "mine.toml", "--rounds", "1", "--dry-run", "--json")
    assert answer.code == 0, answer.err
    assert "--model resnet20 --data digits --recipe mine.toml --seed 0" in answer.repeat
    assert "--set train" not in answer.repeat


def test_recipe_of_a_ticket_draws_it_again(home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(ask(home, "inspect", "--show-recipe").out)
    answer = ask(tmp_path, "draw", "--recipe", "mine.toml", "--json")
    drawn = ask(home, "inspect", "--json").json["result"]["ticket_id"]
    assert answer.json["result"][0]["ticket_id"] == drawn


def test_several_seeds(tmp_path: Path) -> None:
    answer = ask(tmp_path, "draw", "--epochs", "1", "--rounds", "1", "--seed", "3,5", "--out", "o", "--json")
    folders = [result["folder"] for result in answer.json["result"]]
    assert folders == ["o/seed-3/ticket", "o/seed-5/ticket"]
    assert "--seed 3,5 --workspace runs --out o" in answer.repeat


def test_dry_run_writes_nothing(bare: Program) -> None:
    answer = bare("draw", "--rounds", "3", "--epochs", "2", "--dry-run")
    assert answer.code == 0
    assert "trainings   4, 8 epochs and 168 steps in all" in answer.out
    assert "prunable    50200 of 50610 parameters; the ticket keeps 25702" in answer.out
    assert answer.out.startswith("[model]\n") or answer.out.startswith("\n[model]\n")
    result = bare("draw", "--rounds", "3", "--dry-run", "--json").json["result"][0]
    assert {"recipe", "trainings", "steps", "kept", "seconds", "bytes", "folder", "seed"} <= set(result)


def test_a_dry_run_prints_a_recipe_that_draws_the_same_with_the_methods_keys_where_users_write_them(
    tmp_path: Path,
) -> None:
    words = ("draw", "--rounds", "3", "--epochs", "2", "--set", "draw.params.rate=0.3", "--dry-run")
    first = ask(tmp_path, *words)
    text = first.out.partition("\ntrainings")[0]
    assert tomllib.loads(text)["draw"]["rate"] == 0.3
    assert "params" not in text
    (tmp_path / "mine.toml").write_text(text)
    again = ask(tmp_path, "draw", "--recipe", "mine.toml", "--dry-run", "--json")
    (ours,) = again.json["result"]
    (theirs,) = ask(tmp_path, *words, "--json").json["result"]
    assert (ours["recipe"], ours["kept"]) == (theirs["recipe"], theirs["kept"])
    assert ours["recipe"]["draw"]["params"]["rate"] == 0.3


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("tweaks.ls.alhpa=0.2", "tweaks.ls.alhpa: ls has no such key; did you mean 'alpha'?"),
        ("tweaks.LS.alpha=0.2", "[tweaks.LS]: no such tweak; did you mean 'ls'?"),
        ("tweaks.ls.alpha=7", "tweaks.ls.alpha = 7 must lie in [0, 1)"),
        ("tweaks.ls.alpha=some", "tweaks.ls.alpha: must be a number, not 'some'"),
        ("tweaks.ls.form=new", "tweaks.ls.form: must be 'torch' or 'tost', not 'new'"),
        ('spend.tweaks=["sikp"]', "no tweak named 'sikp'; did you mean 'skip'?"),
        ("draw.params.rate=some", "draw.rate: write a number"),
        ("draw.params=3", "draw.params: must be a table"),
    ],
)
def test_what_a_later_spend_would_refuse_is_refused_before_the_draw(
    bare: Program, item: str, says: str
) -> None:
    answer = bare("draw", "--set", item)
    assert (answer.code, answer.out) == (2, "")
    assert says in answer.complaint


def test_keys_of_a_later_spend_are_kept_in_the_tickets_recipe(tmp_path: Path) -> None:
    answer = ask(tmp_path, "draw", "--epochs", "1", "--rounds", "1", "--set", "tweaks.ls.alpha=0.2")
    assert answer.code == 0, answer.err
    recipe = ask(tmp_path, "inspect", "--show-recipe", "--json").json["result"]
    assert recipe["tweaks"] == {"ls": {"alpha": "0.2"}}


def test_rounds_that_count_for_nothing_are_said(bare: Program) -> None:
    answer = bare("draw", "--density", "0.5", "--rounds", "3", "--dry-run", "--json")
    assert "rounds 3: not used, the density says how far to prune" in answer.err
    assert "--set draw.density=0.5" in answer.repeat or "--set draw.density=1/2" in answer.repeat
