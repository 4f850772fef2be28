"""`ticketctl spend`: tables, levels, the line that repeats it, and unfinished work."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Program, ask
from ticketctl.stages.pace import Speed
from ticketctl.stages.unfinished import remembered, remembering


def test_table_of_a_spend(cli: Program) -> None:
    answer = cli("spend", "--level", "all")
    lines = answer.out.splitlines()
    assert lines[0] == "net     level  density %  n  val %  test %  ± sd  vs dense  winning"
    assert [line.split()[:4] for line in lines[1:4]] == [
        ["dense", "0", "100.00", "1"],
        ["ticket", "1", "80.00", "1"],
        ["ticket", "2", "64.00", "1"],
    ]
    assert lines[4].startswith("winning: 003 = not below dense; 004 =") or lines[4].startswith("runs in ")
    assert lines[-1].startswith("runs in runs/lenet-300-100-digits/imp-")
    assert lines[-1].endswith("/seed-0/levels")


def test_choices_are_said(cli: Program) -> None:
    lines = cli("spend", "--dry-run").err.splitlines()
    assert lines[0].endswith("/seed-0/ticket: the newest")
    assert lines[1:3] == ["level 2: the deepest", "seed 0: the draw's"]
    assert lines[3].endswith("/seed-0/ticket --level 2 --seed 0 --workspace runs")


@pytest.mark.long
def test_the_printed_line_repeats_it(cli: Program) -> None:
    first = cli("spend", "--json", "--level", "0.2,2", "--seed", "1-2", "--set", "train.lr=0.03",
                "--set", "train.schedule=constant", "--controls")  # fmt: skip
    assert first.code == 0, first.err
    assert "--level 1,2 --seed 1,2" in first.repeat
    assert first.repeat.endswith("--controls --set train.lr=0.03 --set train.schedule=constant")
    again = cli(*shlex.split(first.repeat)[1:], "--json")
    assert again.out == first.out
    kinds = [(row["kind"], row["level"], row["n"]) for row in first.json["result"]]
    assert kinds[:3] == [("dense", 0, 2), ("ticket", 1, 2), ("ticket", 2, 2)]
    assert {kind for kind, _, _ in kinds} == {
        "dense",
        "ticket",
        "shuffled",
        "reinit",
        "random-erk",
        "inverted",
    }
    keys = {"kind", "level", "kept", "prunable", "density", "n", "diverged", "gap", "winning", "runs"}
    assert keys <= set(first.json["result"][0])


def test_plan_says_where_the_run_lies(cli: Program) -> None:
    plan = cli("spend", "--dry-run", "--json").json["result"]["runs"]
    assert [(run["ready"], run["folder"].split("/")[-2:]) for run in plan] == [
        (True, ["levels", "0"]),
        (True, ["levels", "2"]),
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["NAME@9"], "no level 9; there is 0 (sparsity 0.0000), 1 (sparsity 0.2000), 2 (sparsity 0.3600)"),
        (["NAME@0.9"], "no level at sparsity 0.9"),
        (["NAME@1", "--level", "1"], "says a level, and so does --level"),
        (["--level", "9"], "there is 0 (sparsity 0.0000), 1 (sparsity 0.2000), 2 ("),
        (["--level", "1-1000"], "there is 0 (sparsity 0.0000)"),
        (["--level", "x"], "write 12, 3,8-10, 0.9648 (a sparsity) or all"),
        (["--level", "0,2-1"], "2-1 runs backwards; write 1-2"),
        (["--level", ""], "write 12"),
        (["--seed", "x"], "write 0, 0-2 or 42,1099"),
        (["--set", "train.lrr=1"], "did you mean 'lr'?"),
        (["--set", "draw.rate=0.3"], "the ticket is drawn already"),
        (["--set", "model.name=resnet20"], "the ticket is for lenet-300-100"),
        (["--recipe", "base/lenet-300-100-digit"], "did you mean 'base/lenet-300-100-digits'?"),
        (["--device", "gpu"], "no device named 'gpu'"),
        (["--epochs", "2", "--scale", "2"], "give one of them"),
        (["nope"], "no ticket 'nope' here or below runs"),
        (["tk1zzzz"], "no ticket 'tk1zzzz'"),
        (["tk1"], "tk1 is too short for an id: give at least 6 signs; so begins tk1"),
        (["NAME/levels/1"], "is a run, not a ticket; its ticket is NAME@1"),
        (["seed-0"], "seed-0 is a part of the names of several: tk1"),
        (
            ["--data", "cifar100"],
            "(300, 64) there (drawn on digits), (300, 3072) in lenet-300-100 on cifar100",
        ),
        (["--set", "model.width=2"], "there (drawn on digits), (600,) in lenet-300-100 on digits"),
        (["--data", "digit"], "no data set named 'digit'; did you mean 'digits'?"),
        (
            ["--controls", "--set", "spend.start=trained"],
            "spend them without spend.start, or the ticket alone without",
        ),
        (
            ["--controls", "--tweaks", "pools"],
            "spend pools without --controls, or the controls without pools",
        ),
        (["--set", "spend.attribution=true"], "name some with --tweaks"),
        (["/etc/passwd"], "no ticket '/etc/passwd'"),
    ],
)
def test_what_cannot_be_spent(read: Program, drawn: Path, words: list[str], says: str) -> None:
    name = next(drawn.glob("runs/*/*/seed-0")).relative_to(drawn / "runs").as_posix()
    before = sorted(drawn.rglob("*"))
    answer = read("spend", *(word.replace("NAME", name) for word in words), "--json")
    assert answer.code == 2
    assert answer.json["error"]["code"] == "E_USAGE"
    assert says.replace("NAME", name) in answer.complaint
    planned = read("spend", *(word.replace("NAME", name) for word in words), "--dry-run")
    assert planned.complaint == answer.complaint
    assert sorted(drawn.rglob("*")) == before


def test_names_of_one_ticket(read: Program, drawn: Path) -> None:
    folder = next(drawn.glob("runs/*/*/seed-0/ticket"))
    ident = read("inspect", "--json").json["result"]["ticket_id"]
    short = folder.parent.relative_to(drawn / "runs").as_posix()
    for name in (str(folder), f"{folder}/ticket.json", f"runs/{short}", short, ident, ident[:9]):
        assert read("spend", name, "--dry-run").repeat.split()[2].endswith("/seed-0/ticket"), name
    assert " --level 1 " in read("spend", f"{short}@1", "--dry-run").repeat
    assert " --level 1 " in read("spend", f"{short}@0.2", "--dry-run").repeat


def test_all_diverged_is_exit_4(cli: Program) -> None:
    answer = cli("spend", "--set", "train.lr=1e30", "--json")
    assert answer.code == 4
    assert answer.json["error"]["code"] == "E_DIVERGED"
    assert [row["diverged"] for row in answer.json["result"]] == [1, 1]


def test_unfinished_wins_over_newest(home: Path) -> None:
    """A spend is refused for want of its folder; meanwhile another ticket is drawn; the same command goes on."""
    old = next(home.glob("runs/*/*/seed-0"))
    words = ("spend", "--set", "train.lr=0.02")
    (old / "spends").write_text("a file in the way")
    stopped = ask(home, *words)
    assert stopped.code == 10, stopped.err
    assert "spends" in stopped.complaint
    (note,) = (home / "runs" / ".unfinished").iterdir()
    assert json.loads(note.read_text()) == {
        "argv": list(words),
        "ticket": old.relative_to(home / "runs").as_posix() + "/ticket",
    }
    assert ask(home, "draw", "--method", "random", "--density", "0.5", "--epochs", "1").code == 0
    (old / "spends").unlink()
    assert "random-" in ask(home, "spend", "--dry-run").err.splitlines()[0]
    planned = ask(home, *words, "--dry-run", "--json").err.splitlines()[0]
    assert planned.endswith(f"{old.name}/ticket: this command's own, which it has not finished")
    done = ask(home, *words)
    assert done.code == 0, done.err
    assert f"runs in {(old / 'spends').relative_to(home)}/" in done.out
    assert not (home / "runs" / ".unfinished").exists()
    assert "random-" in ask(home, *words, "--dry-run").err.splitlines()[0]


def test_notes_that_lead_nowhere_are_passed_over(home: Path, ticket: Path) -> None:
    runs, argv = home / "runs", ("spend", "\udcff")
    with pytest.raises(OSError, match="stopped"), remembering(runs, argv, ticket):
        raise OSError("stopped")
    assert remembered(runs, argv) == ticket
    (note,) = (runs / ".unfinished").iterdir()
    sound = json.loads(note.read_text())
    for content in ("", "[]", "{}", json.dumps({**sound, "ticket": "../../etc"}), json.dumps({**sound, "argv": ["x"]}),
                    json.dumps({**sound, "ticket": 3}), "\x00"):  # fmt: skip
        note.write_text(content)
        assert remembered(runs, argv) is None, content
    note.write_text(json.dumps(sound))
    shutil.rmtree(ticket)
    assert remembered(runs, argv) is None
    note.unlink()
    note.mkdir()
    assert remembered(runs, argv) is None


def test_a_refused_spend_leaves_no_note(cli: Program, home: Path) -> None:
    assert cli("spend", "--data", "mnistt").code == 2
    assert not (home / "runs" / ".unfinished").exists()


def test_a_ladder_under_noise_ends_with_what_was_memorised_and_without_ranges_if_that_is_nothing(
    cli: Program,
) -> None:
    noisy = ("--set", "data.noise.rate=0.4", "--out", "noisy", "--rounds", "4", "--epochs", "2", "-q")
    assert cli("draw", *noisy).code == 0
    answer = cli("spend", "noisy/ticket", "--level", "all", "-q")
    assert answer.code == 0, answer.err
    assert "net     level  train.eval %  permuted %  restored %  unpermuted %  oracle.test %" in answer.out
    (said,) = [line for line in answer.out.splitlines() if line.startswith("the dense net has not learned")]
    assert re.search(
        r"train accuracy \d\d\.\d\d % of the given labels; .* % of those drawn.*: no ranges$", said
    )
    assert "sweet spots" not in answer.out
    few = cli("spend", "noisy/ticket", "-q").out
    assert "permuted %" in few
    assert "no ranges" not in few


def test_tickets_of_other_seeds_are_named_when_the_newest_is_taken(home: Path) -> None:
    for seed in ("2", "11"):
        assert (
            ask(home, "draw", "--epochs", "1", "--rounds", "2", "--controls", "--seed", seed, "-q").code == 0
        )
    lines = ask(home, "spend", "--dry-run").err.splitlines()
    draw = next(home.glob("runs/*/*/seed-0")).parent.relative_to(home)
    assert lines[0] == f"ticket {draw}/seed-11/ticket: the newest"
    assert lines[1] == (
        "seed-11 is one of 3 seeds of this draw; the others (seed-0, seed-2) are spent by name: "
        f"ticketctl spend {draw}/seed-0"
    )
    named = ask(home, *shlex.split(lines[1].rpartition(": ")[2])[1:], "--dry-run")
    assert f"{draw}/seed-0/ticket " in named.repeat
    assert "one of 3 seeds" not in named.err
    for seed in range(20, 29):
        (draw_of := home / draw / f"seed-{seed}" / "ticket").mkdir(parents=True)
        (draw_of / "ticket.json").touch()
        os.utime(draw_of / "ticket.json", (0, 0))
    assert (
        "(seed-0, seed-2, seed-20, seed-21, seed-22, seed-23 and 5 more)"
        in ask(home, "spend", "--dry-run").err
    )


def test_tweaks_over_a_recipe_that_has_some_are_the_ones_planned_and_repeated(
    cli: Program, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is typed wins: the dry run shows it in the recipe's place, and the line that repeats it says it once."""
    monkeypatch.setattr("ticketctl.stages.price.speed_of", lambda setting: Speed(1000.0, 1000.0))
    (home / "own.toml").write_text('[spend]\ntweaks = ["mish", "sam"]\n[tweaks.ls]\nalpha = 0.2\n')
    plain = cli("spend", "--recipe", "own.toml", "--dry-run", "--json")
    assert plain.json["result"]["recipe"]["spend"]["tweaks"] == ["mish", "sam"]
    assert plain.json["result"]["tweak_sets"] == [[], ["mish", "sam"]]
    one = cli("spend", "--recipe", "own.toml", "--tweaks", "swish,ls", "--dry-run")
    assert 'tweaks = ["swish", "ls"]' in one.out
    assert "mish" not in one.out + one.repeat.replace("swish", "")
    assert "\ntweak sets: none; swish,ls\n" in one.out
    several = cli(
        "spend",
        "--recipe",
        "own.toml",
        "--tweaks",
        "swish",
        "--tweaks",
        "none",
        "--tweaks",
        "ls",
        "--dry-run",
    )
    assert "tweaks = " not in several.out
    assert "\ntweak sets: none; swish; ls\n" in several.out
    for answer in (plain, one, several):
        again = cli(*shlex.split(answer.repeat)[1:], "--dry-run")
        assert again.repeat == answer.repeat
        if answer is not plain:
            assert again.out.partition("\ntime")[0] == answer.out.partition("\ntime")[0]


# ----------------------------------------------------------------------------------------------------- what is spent


def test_an_attribution_of_one_tweak_is_the_ticket_and_the_dense_net_with_and_without_it(
    cli: Program,
) -> None:
    answer = cli("spend", "--tweaks", "sam", "--set", "spend.attribution=true", "--json")
    rows = [(row["kind"], row["level"], row["tweaks"]) for row in answer.json["result"]]
    assert rows == [("dense", 0, []), ("dense", 0, ["sam"]), ("ticket", 2, []), ("ticket", 2, ["sam"])]


def test_an_attribution_trains_the_dense_net_with_whole_sets_and_not_with_their_parts(read: Program) -> None:
    words = (
        "--tweaks",
        "sam",
        "--tweaks",
        "ls,swish",
        "--set",
        "spend.attribution=true",
        "--dry-run",
        "--json",
    )
    runs = read("spend", *words).json["result"]["runs"]
    dense = [run["tweaks"] for run in runs if run["level"] == 0]
    assert dense == [[], ["sam"], ["swish", "ls"]]


def test_an_attribution_says_which_tweaks_a_dense_net_cannot_have(read: Program) -> None:
    sets = ("--set", "spend.attribution=true", "--set", "tweaks.redense.lr=0.01")
    answer = read("spend", "--tweaks", "redense", *sets, "--dry-run", "--json")
    assert (
        "attribution: the dense net has no mask for redense, so it is not trained with it"
        in answer.err.splitlines()
    )
    assert [run["tweaks"] for run in answer.json["result"]["runs"] if run["level"] == 0] == [[]]


def test_a_ticket_that_begins_at_its_initialisation_is_not_trained_again_for_being_told_to(
    cli: Program,
) -> None:
    answer = cli("spend", "--set", "spend.start=init", "--controls", "--dry-run", "--json")
    assert (
        "spend.start init: not used, the ticket begins at its initialisation anyway"
        in answer.err.splitlines()
    )
    plain = cli("spend", "--controls", "--dry-run", "--json").json["result"]["runs"]
    assert answer.json["result"]["runs"] == plain
    assert answer.repeat == cli("spend", "--controls", "--dry-run").repeat


def test_copies_of_a_ticket_are_both_named_and_those_that_differ_refused(home: Path) -> None:
    ticket = next(home.glob("runs/*/*/seed-0/ticket"))
    shutil.copytree(ticket, other := ticket.parents[1] / "seed-9" / "ticket", copy_function=shutil.copy2)
    os.utime(other / "ticket.json", (0, 0))
    ident = ask(home, "inspect", str(ticket), "--json").json["result"]["ticket_id"]
    answer = ask(home, "spend", f"{ident[:9]}@1", "--dry-run")
    first, second = ticket.relative_to(home), other.relative_to(home)
    assert answer.err.splitlines()[0] == (f"ticket {first}: the newest of 2 copies (also {second})")
    assert f"spend {first} " in answer.repeat
