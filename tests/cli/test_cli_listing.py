"""What list and inspect say of labels, images, seeds and tweaks; and what is light to ask."""

from __future__ import annotations

import tomllib
from fractions import Fraction
from pathlib import Path

import pytest

from tests.cli.conftest import Program, ask
from tests.test_startup import _loaded
from ticketctl.cli.words import data_column, tweak_words
from ticketctl.errors import listed

QUIET = ("-q", "--epochs", "1", "--rounds", "1")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a ticket of wrong labels and few images, spent with two sets of tweaks."""
    folder = tmp_path_factory.mktemp("odd")
    sets = ("--set", "data.noise.rate=0.4", "--set", "data.subset.fraction=0.1")
    assert ask(folder, "draw", *QUIET, *sets).code == 0
    tweaks = ("--tweaks", "sam,ls", "--tweaks", "ema", "--set", "tweaks.sam.rho=0.1")
    answer = ask(folder, "spend", "-q", "--seed", "10,9", *tweaks)
    assert answer.code == 0, answer.err
    (folder / "said.txt").write_text(answer.out)
    return folder


def spends(odd: Path, tweaks: str) -> str:
    """The folder that the spend said is that of these tweaks."""
    (line,) = [line for line in (odd / "said.txt").read_text().splitlines() if line.endswith(f" ({tweaks})")]
    return line.removeprefix("runs in ").removesuffix(f" ({tweaks})")


def test_inspect_and_list_say_that_labels_are_wrong_and_images_few(odd: Path) -> None:
    ticket = ask(odd, "inspect").out
    assert "\nnoise   symmetric 40 %\nsubset  1/10\nmethod  imp" in ticket
    run = ask(odd, "inspect", next(odd.glob("runs/*/*/*/levels/1")).relative_to(odd).as_posix()).out
    assert "\nnoise   symmetric 40 %\nsubset  1/10\nweights " in run
    for what in ("tickets", "runs"):
        lines = ask(odd, "list", what).out.splitlines()
        assert " data " in lines[0]
        assert all("noise symmetric 40 %, subset 1/10" in line for line in lines[1:])
        found = ask(odd, "list", what, "--json").json["result"]
        assert {(one["noise"], one["subset"], one["drop"]) for one in found} == {
            ("symmetric 40 %", "1/10", None)
        }


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, ""),
        ({"noise": {"kind": "none"}}, ""),
        ({"noise": {"kind": "file", "path": "sha256:0"}}, "noise file"),
        ({"noise": {"kind": "pair-flip", "rate": "9/20"}}, "noise pair-flip 45 %"),
        ({"subset": {"count": 5, "pick": "random"}}, "subset 5 a class"),
        ({"subset": {"fraction": "1/3", "pick": "least-forgotten"}}, "subset 1/3 least-forgotten"),
        ({"subset": {"fraction": str(Fraction("0.1234"))}}, "subset 12.34 %"),
        (
            {"drop": {"most_forgotten": "3/10"}, "subset": {"count": 2}},
            "subset 2 a class, drop 3/10 most-forgotten",
        ),
    ],
)
def test_words_for_labels_and_images(data: dict[str, object], words: str) -> None:
    assert data_column({"data": data}) == words


def test_runs_are_listed_with_level_seed_and_the_keys_of_their_tweaks(odd: Path) -> None:
    lines = [line.split() for line in ask(odd, "list", "runs").out.splitlines()]
    assert lines[0] == [
        "run",
        "name",
        "tweaks",
        "data",
        "level",
        "seed",
        "density",
        "%",
        "test",
        "%",
        "status",
    ]
    tweaked = [line for line in lines if "sam(rho=0.1),ls" in line]
    assert sorted(line[-5:-3] for line in tweaked) == [["1", "10"], ["1", "9"]]
    (one, *_) = [run for run in ask(odd, "list", "runs", "--json").json["result"] if "sam" in run["tweaks"]]
    assert (one["level"], one["tweaks"], one["tweak_keys"]) == (1, ["sam", "ls"], {"sam": {"rho": "0.1"}})
    assert one["seed"] in (9, 10)
    assert tweak_words(["a", "b"], {"tweaks": {"b": {"x": 1, "y": None, "z": "t"}}}) == "a,b(x=1 z=t)"


def test_the_folder_that_spend_prints_says_which_tweaks_and_can_be_inspected(odd: Path) -> None:
    """Each set's folder holds the runs of that set alone, by level and seed; their places can be inspected."""
    for tweaks, names in (("sam,ls", ["sam", "ls"]), ("ema", ["ema"]), ("no tweaks", [])):
        folder = spends(odd, tweaks)
        for name in (folder, folder.removeprefix("runs/")):
            found = ask(odd, "inspect", name, "--json").json["result"]
            assert found["folder"] == folder
            expected = [(1, seed) for seed in (9, 10)] if names else [(0, 9), (0, 10), (1, 9), (1, 10)]
            assert [(run["level"], run["seed"]) for run in found["runs"]] == expected
            assert all(run["tweaks"] == names for run in found["runs"])
        lines = ask(odd, "inspect", folder).out.splitlines()
        assert lines[0].split()[:2] == ["run", "name"]
        assert lines[-1].startswith(f"in {folder}; `ticketctl inspect {folder}/")
        assert ask(odd, "inspect", f"{folder}/{found['runs'][0]['name']}").out.startswith("run ")
    many = ask(odd, "inspect", folder, "--show-recipe")
    assert many.code == 2
    assert f"{folder} holds 4 runs; say which: ticketctl inspect {folder}/" in many.complaint
    assert ask(odd, "inspect", folder, "--level", "1").code == 2


def test_without_tweaks_the_places_of_runs_are_said_plainly(read: Program) -> None:
    lines = [line for line in read("spend", "-q").out.splitlines() if line.startswith("runs in")]
    assert [line.rpartition("/")[2] for line in lines] == ["levels"]


@pytest.mark.parametrize("kind", ["metrics", "methods", "tweaks", "models", "data"])
def test_in_a_terminal_of_eighty_columns_nothing_is_wider_and_no_word_of_help_is_lost(
    kind: str, bare: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = bare("list", kind).out.splitlines()
    assert max(map(len, lines)) <= 80
    found = bare("list", kind, "--json").json["result"]
    assert [line.split()[0] for line in lines[1:] if line[0] != " "][: len(found)] == [
        one["name"] for one in found
    ]
    words = " ".join(lines).split()
    assert all(words.count(word) > 0 for one in found for word in one["help"].split())


def test_a_wide_or_a_narrow_place_is_used_as_it_is(bare: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("x", "0", ""):
        monkeypatch.setenv("COLUMNS", wrong)
        assert bare("list", "metrics").code == 0
    monkeypatch.setenv("COLUMNS", "20")
    assert max(map(len, bare("list", "data").out.splitlines()[1:])) < 60
    monkeypatch.delenv("COLUMNS")  # a pipe: a line for each, with all columns
    lines = bare("list", "metrics").out.splitlines()
    assert len(lines) == 1 + len(bare("list", "metrics", "--json").json["result"])
    assert lines[0].split() == ["name", "data", "cost", "what", "it", "is"]


def test_a_group_of_tweaks_is_explained(bare: Program) -> None:
    for group, parts in (("at", ["skip", "swish"]), ("at+trt", ["skip", "swish", "ls", "scaled-init"])):
        text = bare("list", "tweaks", group).out
        assert text.startswith(f"{group} stands for {', '.join(parts)}: paper 001's ")
        assert [line.split()[0] for line in text.splitlines() if line.startswith("  ")] == parts
        found = bare("list", "tweaks", group, "--json").json["result"]
        assert (found["name"], found["tweaks"]) == (group, parts)
    assert "trt: ls, scaled-init" in bare("list", "tweaks").out.splitlines()[-1]
    assert "did you mean" in bare("list", "tweaks", "swich").complaint


def test_layers_that_a_pattern_leaves_dense_are_shown(tmp_path: Path) -> None:
    """fc3 has 100 inputs, which 8 does not divide; the other layers have 64 and 300, of which 8 divides the first."""
    answer = ask(
        tmp_path, "draw", "-q", "--epochs", "1", "--method", "nm", "--set", "draw.n=4", "--set", "draw.m=8"
    )
    assert answer.code == 0, answer.err
    assert "\ndense   fc2.weight, fc3.weight\n" in ask(tmp_path, "inspect").out
    assert "\ndense " not in ask(tmp_path, "inspect", "--level", "0").out


def test_of_many_names_six_are_shown() -> None:
    assert listed(list("abcdef")) == "a, b, c, d, e, f"
    assert listed(list("abcdefghi")) == "a, b, c, d, e, f and 3 more"


@pytest.mark.long
def test_none_of_it_imports_torch(odd: Path) -> None:
    lines = ["inspect", f"inspect {spends(odd, 'ema')}", "list", "list --controls", "list runs", "list tweaks",
             "list tweaks at", "inspect --show-recipe", "spend --dry-run"]  # fmt: skip
    for line, loaded in _loaded(odd, *lines).items():
        assert not loaded & {"torch", "torchvision"}, line


def test_a_printed_recipe_of_a_ticket_by_record_is_drawn_again(tmp_path: Path) -> None:
    """From the command line: the record in it is an id, and the same ticket comes of it."""
    assert ask(tmp_path, "draw", "-q", "--epochs", "2", "--rounds", "0").code == 0
    (record,) = ask(tmp_path, "list", "runs", "--json").json["result"]
    drop = ("--set", "data.drop.least_forgotten=0.3", "--set", f"data.drop.record={record['run_id'][:9]}")
    assert ask(tmp_path, "draw", *QUIET, *drop).code == 0
    first = ask(tmp_path, "inspect", "--json").json["result"]["ticket_id"]
    (tmp_path / "again.toml").write_text(ask(tmp_path, "inspect", "--show-recipe").out)
    assert tomllib.loads((tmp_path / "again.toml").read_text())["data"]["drop"]["record"] == [
        record["run_id"]
    ]
    answer = ask(tmp_path, "draw", "--recipe", "again.toml", "--out", "again", "--json")
    assert answer.json["result"][0]["ticket_id"] == first
    assert ask(tmp_path, "inspect", "again/ticket").out.count("drop    3/10 least-forgotten") == 1
