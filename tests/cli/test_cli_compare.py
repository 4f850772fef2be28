"""`ticketctl compare` and `ticketctl recipes --tables`, as they are typed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Answer, ask
from tests.pace import times_reference
from tests.stages.written import TICKET, drawn, run
from tests.test_startup import _loaded

A2 = ("--paper", "001:A2")


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three seeds of a ticket without and with skip, and of the dense net; means 71, 72 and 75 %."""
    home = tmp_path_factory.mktemp("spent")
    here = home / "runs/resnet18-cifar100/imp-0123abcd/seed-0"
    drawn(here / "ticket")
    for seed, gap in enumerate((-0.01, 0.0, 0.01)):
        run(here / f"spends/aa/10-seed-{seed}", 0.71 + gap, seed=seed)
        run(here / f"spends/bb/10-seed-{seed}", 0.72 + gap * 0.5, seed=seed, tweaks=["skip"])
        run(here / f"levels/{seed}", 0.75 + gap, seed=seed, kept=None)
    return home


@pytest.fixture
def typed(spent: Path) -> Any:
    """The program, typed there; it leaves nothing behind."""
    before = sorted(spent.rglob("*"))
    yield lambda *words: ask(spent, "compare", *words)
    assert sorted(spent.rglob("*")) == before


def table_of(answer: Answer) -> list[dict[str, str]]:
    assert answer.code == 0, answer.err
    return list(csv.DictReader(io.StringIO(answer.out)))


# ------------------------------------------------------------------------------------------------------------ groups


def test_means_and_paired_differences(typed: Any) -> None:
    dense, plain, skip = table_of(typed("runs", "--format", "csv"))
    assert (dense["method"], float(dense["mean"]), dense["n"]) == ("dense", pytest.approx(0.75), "3")
    assert float(dense["deviation"]) == pytest.approx(0.01)
    assert (plain["density"], float(plain["mean"]), plain["paired"]) == ("0.107", pytest.approx(0.71), "")
    # differences 1.5, 1.0, 0.5: mean 1, deviation 0.5, t of 2 degrees of freedom 4.302653
    half = 4.302653 * 0.5 / 3**0.5
    assert (float(skip["paired"]), skip["pairs"]) == (pytest.approx(0.01), "3")
    assert float(skip["paired_low"]) == pytest.approx((1 - half) / 100, rel=1e-5)
    assert float(skip["paired_high"]) == pytest.approx((1 + half) / 100, rel=1e-5)
    assert f"+1.00  {1 - half:+.2f} to {1 + half:+.2f}" in typed("runs").out


def test_csv_has_the_numbers_of_json_unrounded_and_nothing_for_what_is_missing(typed: Any) -> None:
    rows = table_of(typed("runs", "--format", "csv"))
    groups = typed("runs", "--json").json["result"]["groups"]
    for row, group in zip(rows, groups, strict=True):
        assert [float(row[key]) for key in ("mean", "deviation", "density")] == [
            group[key] for key in ("mean", "deviation", "density")
        ]
        paired = group["paired"] or {"mean": None, "low": None, "high": None, "n": None}
        cells = [row[key] for key in ("paired", "paired_low", "paired_high", "pairs")]
        assert cells == ["" if value is None else str(value) for value in (
            paired["mean"], paired["low"], paired["high"], paired["n"]
        )]  # fmt: skip
    assert "-" not in {cell for row in rows for cell in row.values()}


def test_runs_without_tweaks_that_a_spend_left_elsewhere_make_the_pairs_whole(tmp_path: Path) -> None:
    """The draw's own seed lies in its levels; here the spends alone are named, then the tweaked folder alone."""
    here = tmp_path / "runs/resnet18-cifar100/imp-0123abcd/seed-0"
    drawn(here / "ticket")
    run(here / "levels/10", 0.70)
    run(here / "levels/9", 0.70, level=9, kept=134)
    run(here / "spends/aa/10-seed-1", 0.71, seed=1)
    run(here / "spends/cc/10-seed-0", 0.10, changes={"train": {"batch": 64}})
    for seed, value in enumerate((0.72, 0.74)):
        run(here / f"spends/bb/10-seed-{seed}", value, seed=seed, tweaks=["skip"])
    for name in (here / "spends", here / "spends/bb", here):
        answer = ask(tmp_path, "compare", str(name), "--json")
        (skip,) = [group for group in answer.json["result"]["groups"] if group["tweaks"]]
        assert (skip["paired"]["n"], skip["paired"]["mean"]) == (2, pytest.approx(0.025)), name
        assert ("as pairs of those with tweaks" in answer.err) == (name != here)
    assert "1 run without tweaks compared too" in ask(tmp_path, "compare", str(here / "spends")).err
    plain = ask(tmp_path, "compare", str(here / "spends/aa"), "--json")
    assert [group["n"] for group in plain.json["result"]["groups"]] == [1]


def test_a_damaged_run_that_nobody_named_is_left_out_and_told(tmp_path: Path) -> None:
    here = tmp_path / "runs/resnet18-cifar100/imp-0123abcd/seed-0"
    drawn(here / "ticket")
    for name, seed in (("levels/10", 0), ("spends/aa/10-seed-0", 0), ("spends/aa/10-seed-1", 1)):
        run(here / name, 0.70, seed=seed)
    for seed in range(2):
        run(here / f"spends/bb/10-seed-{seed}", 0.72, seed=seed, tweaks=["skip"])
    for name in ("levels/10", "spends/aa/10-seed-1"):
        with open(here / name / "run.json", "a") as file:
            file.write("x")
    answer = ask(tmp_path, "compare", str(here / "spends/bb"), "--json")
    assert answer.code == 0
    (skip,) = [group for group in answer.json["result"]["groups"] if group["tweaks"]]
    assert skip["paired"]["n"] == 1, "seed 0 has a sound one beside the damaged one"
    (line,) = [line for line in answer.err.splitlines() if "damaged" in line]
    assert line.startswith("2 runs beside them left out as damaged")
    assert "levels/10" in line
    assert "spends/aa/10-seed-1" in line
    assert ask(tmp_path, "compare", str(here / "levels")).code == 3, "one that was named ends it"


def test_two_tickets_of_one_setting_have_a_partner_each(tmp_path: Path) -> None:
    """Draws that differ in threads alone: a partner that was named, or found, of one is none of the other's."""
    net = tmp_path / "runs/resnet18-cifar100"
    for draw, ticket in (("imp-0", TICKET), ("imp-1", TICKET[:-1] + "b")):
        drawn(net / draw / "seed-0/ticket")
        run(net / draw / "seed-0/levels/10", 0.70, ticket=ticket)
        run(net / draw / "seed-0/spends/bb/10-seed-0", 0.72, tweaks=["skip"], ticket=ticket)
    spends = [str(net / draw / "seed-0/spends") for draw in ("imp-0", "imp-1")]
    assert "2 runs without tweaks compared too" in ask(tmp_path, "compare", *spends).err
    named = ask(tmp_path, "compare", *spends, str(net / "imp-0/seed-0/levels"))
    assert "1 run without tweaks compared too" in named.err
    assert "imp-1/seed-0/levels" in named.err


def test_two_formats_are_refused_in_a_line(typed: Any) -> None:
    for kind in ("csv", "table", "latex", "markdown"):
        answer = typed("runs", "--format", kind, "--json")
        assert (answer.code, answer.json["error"]["exit_code"]) == (2, 2)
        assert f"--format {kind} and --json are two formats" in answer.complaint
    assert typed("runs", "--format", "json", "--json").code == 0


def test_the_method_is_stated(typed: Any) -> None:
    answer = typed("runs")
    assert "Student's t" in answer.out
    assert "one ticket" in answer.out
    assert len({len(line) for line in answer.out.splitlines()[1:2]}) == 1


def test_json_holds_what_the_table_shows_and_the_runs(typed: Any) -> None:
    result = typed("runs", "--json").json["result"]
    assert result["metric"] == "test.accuracy"
    assert [group["n"] for group in result["groups"]] == [3, 3, 3]
    skip = result["groups"][2]
    assert skip["tweaks"] == ["skip"]
    assert skip["mean"] == pytest.approx(0.72)
    assert skip["paired"]["mean"] == pytest.approx(0.01)
    assert len(skip["runs"]) == 3
    assert typed("runs", "--format", "json").json == typed("runs", "--json").json


def test_folders_may_be_named_below_the_workspace(typed: Any) -> None:
    for name in (
        "resnet18-cifar100",
        "resnet18-cifar100/imp-0123abcd/seed-0/spends",
        "runs/resnet18-cifar100",
    ):
        assert typed(name).code == 0


def test_markdown_and_latex_have_every_row(typed: Any) -> None:
    text = typed("runs", "--format", "markdown").out
    assert text.count("\n|") + 1 == 2 + 3
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {13}
    latex = typed("runs", "--format", "latex").out
    assert latex.count(r"\\") == 4
    assert r"density \%" in latex
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {11}


def test_hostile_names_reach_no_terminal(tmp_path: Path) -> None:
    odd = "x\n|&\\%$`[a](b)\u00ad"  # control characters but the line feed are refused by the format
    for seed in range(2):
        run(tmp_path / f"runs/{seed}", 0.5, seed=seed, changes={"draw": {"prunable": odd * (seed + 1)}})
    for kind in ("table", "csv", "latex", "markdown"):
        answer = ask(tmp_path, "compare", "runs", "--format", kind)
        assert answer.code == 0
        assert "\u00ad" not in answer.out + answer.err
        assert "x\n" not in answer.out
    latex = ask(tmp_path, "compare", "runs", "--format", "latex").out.splitlines()
    assert all(line.replace(r"\&", "").count("&") == 11 for line in latex if line.endswith(r"\\"))
    marked = ask(tmp_path, "compare", "runs", "--format", "markdown").out.splitlines()
    assert all(line.replace(r"\|", "").count("|") == 13 for line in marked if line.startswith("|"))


def test_another_metric(tmp_path: Path) -> None:
    run(tmp_path / "runs/0", 0.5, metrics={"best_val.test.accuracy": 0.625, "test.loss": 1.25})
    (row,) = table_of(
        ask(tmp_path, "compare", "runs", "--metric", "best_val.test.accuracy", "--format", "csv")
    )
    assert (row["metric"], row["mean"]) == ("best_val.test.accuracy", "0.625")
    (row,) = table_of(ask(tmp_path, "compare", "runs", "--metric", "test.loss", "--format", "csv"))
    assert row["mean"] == "1.25"
    answer = ask(tmp_path, "compare", "runs", "--metric", "test.los")
    assert answer.code == 2
    assert "did you mean 'test.loss'" in answer.complaint


# ----------------------------------------------------------------------------------------------------- a paper's table


def test_cells_have_both_numbers_and_those_without_runs_are_missing(typed: Any) -> None:
    rows = {(row["row"], row["cell"]): row for row in table_of(typed("runs", *A2, "--format", "csv"))}
    assert len(rows) == 85
    skip = rows["skip", "89.26"]
    assert (float(skip["ours"]), skip["paper"], skip["n"]) == (pytest.approx(72), "72.42", "3")
    assert float(skip["difference"]) == pytest.approx(-0.42)
    assert (skip["otherwise"], skip["missing"]) == ("", "false")
    assert [rows["Swish", "0"][key] for key in ("ours", "difference", "missing")] == ["", "", "true"]
    assert sum(row["missing"] == "true" for row in rows.values()) == 82
    assert "as its recipe" in typed("runs", *A2).out


def test_a_table_of_which_nothing_was_run_is_one_line_unless_it_is_asked_for(typed: Any) -> None:
    answer = typed("runs", "--paper", "002:fig8")
    assert answer.code == 0
    (line,) = answer.out.splitlines()
    assert "any of the 99 cells in 3 rows of 002:fig8: the runs are of resnet18 on cifar100" in line
    assert line.endswith("--missing shows the cells")
    assert typed("runs", "--paper", "002:fig8", "--missing").out.count(" missing ") == 99
    assert len(table_of(typed("runs", "--paper", "002:fig8", "--format", "csv"))) == 99
    assert len(typed("runs", "--paper", "002:fig8", "--json").json["result"]["cells"]) == 99
    assert typed("runs", "--paper", "002:fig8", "--within", "1").code == 1


def test_missing_cells_are_of_nets_data_and_methods_that_were_run(tmp_path: Path) -> None:
    for level in range(1, 32):
        here = tmp_path / f"runs/imp/seed-0/levels/{level}"
        run(here, 0.7, recipe="papers/003-sgd-noise/imp-resnet18-cifar10-m0-b100", kept=int(999 * 0.8**level))
    short = ask(tmp_path, "compare", "runs", "--paper", "003:11")
    whole = ask(tmp_path, "compare", "runs", "--paper", "003:11", "--missing")
    assert short.code == whole.code == 0
    assert "momentum 0.9, batch 256, CIFAR-10 " in short.out
    assert "momentum 0, batch 100, CIFAR-100" not in short.out
    assert "momentum 0, batch 100, CIFAR-100" in whole.out
    hidden = whole.out.count(" missing ") - short.out.count(" missing ")
    assert f"{hidden} more cells are of nets, data or methods that no run is of" in short.out
    assert "more cells" not in whole.out


def test_what_the_paper_does_not_tell_is_said(typed: Any) -> None:
    answer = typed("runs", *A2)
    assert "no deviation printed" in answer.out
    assert "3 of 85 cells have runs; 0 of 9 runs belong to no cell" in answer.out
    figure = typed("runs", "--paper", "001:fig1")
    assert "no value printed" in figure.out
    assert "102 cells have no printed value" in figure.out


def test_a_scaled_run_says_so(tmp_path: Path) -> None:
    run(tmp_path / "runs/0", 0.7, kept=None, changes={"train": {"epochs": 18}})
    answer = ask(tmp_path, "compare", "runs", *A2)
    assert "epochs 18 instead of 180" in answer.out


def test_a_paper_of_other_data_says_why_nothing_belongs(tmp_path: Path) -> None:
    run(tmp_path / "runs/0", 0.7, kept=None, changes={"data": {"name": "cifar10"}})
    answer = ask(tmp_path, "compare", "runs", *A2)
    assert answer.code == 0
    assert (
        "the runs are of resnet18 on cifar10, the table's of resnet18 on cifar100; --data cifar10"
        in answer.out
    )
    assert "belongs to any" not in ask(tmp_path, "compare", "runs", *A2, "--data", "cifar10").out


def test_data_that_no_run_is_on_stand_for_nothing(typed: Any) -> None:
    answer = typed("runs", *A2, "--data", "cifar10O")
    assert (answer.code, answer.out) == (2, "")
    assert "no run is on it; did you mean 'cifar100'?" in answer.complaint


@pytest.mark.parametrize("kind", ["table", "markdown", "latex", "json"])
def test_no_width_is_told_as_certainty(kind: str, tmp_path: Path) -> None:
    """Three equal runs; two equal differences; a single difference; and each cell of a paper's table."""
    for seed in range(3):
        run(tmp_path / f"runs/a/{seed}", 0.5, seed=seed, kept=None)
    for seed in range(2):
        run(tmp_path / f"runs/b/{seed}", 0.6, seed=seed, kept=None, tweaks=["ls"])
    run(tmp_path / "runs/c", 0.6, kept=None, tweaks=["skip"])
    answer = ask(tmp_path, "compare", "runs", "--format", kind)
    assert answer.code == 0
    if kind == "json":
        plain, skip, ls = answer.json["result"]["groups"]
        assert (plain["equal"], plain["deviation"], ls["equal"]) == (True, 0, True)
        assert (ls["paired"]["half_width"], ls["paired"]["equal"]) == (None, True)
        assert (skip["paired"]["half_width"], skip["paired"]["equal"], skip["deviation"]) == (
            None,
            False,
            None,
        )
    else:
        assert answer.out.count("all equal") == 4
        assert answer.out.count("no interval") == 2
        assert "neither a deviation nor an interval" in answer.out
    cells = ask(tmp_path, "compare", "runs", *A2, "--format", kind)
    assert "all equal" in cells.out or '"equal": true' in cells.out


def test_what_ended_dense_has_its_density_and_its_tickets(tmp_path: Path) -> None:
    here = tmp_path / "runs/net/imp-0/seed-0"
    drawn(here / "ticket", kept=125)
    run(here / "levels/10", 0.5, kept=125)
    assert "ticket %" not in ask(tmp_path, "compare", "runs").out
    run(here / "spends/aa/10-seed-0", 0.6, kept=1000, tweaks=["redense"])
    plain, dense = table_of(ask(tmp_path, "compare", "runs", "--format", "csv"))
    assert [row["density"] for row in (plain, dense)] == ["0.125", "1.0"]
    assert [row["ticket_density"] for row in (plain, dense)] == ["0.125", "0.125"]
    shown = ask(tmp_path, "compare", "runs")
    assert "ticket %" in shown.out
    assert "density: of the final weights" in shown.out


def test_long_lists_are_cut_in_the_table_alone(tmp_path: Path) -> None:
    for at, (lr, batch) in enumerate(((0.1, 64), (0.2, 32))):
        train = {"lr": lr, "batch": batch, "epochs": batch, "momentum": lr, "weight_decay": lr / 10}
        run(tmp_path / f"runs/{at}", 0.5, changes={"train": train}, kept=None)
    answer = ask(tmp_path, "compare", "runs")
    assert "train.batch=64, train.epochs=64, train.lr=0.1, and 2 more" in answer.out
    assert "otherwise: cut" in answer.out
    rows = table_of(ask(tmp_path, "compare", "runs", "--format", "csv"))
    assert {row["otherwise"].count("=") for row in rows} == {5}
    groups = ask(tmp_path, "compare", "runs", "--json").json["result"]["groups"]
    assert {len(group["changes"]) for group in groups} == {5}


def test_names_of_tweaks_are_written_as_spend_takes_them(tmp_path: Path) -> None:
    run(tmp_path / "runs/0", 0.5, tweaks=["kd", "ls", "swish"])
    (row,) = table_of(ask(tmp_path, "compare", "runs", "--format", "csv"))
    assert row["tweaks"] == "swish,ls,kd"


def test_json_of_a_table(typed: Any) -> None:
    result = typed("runs", *A2, "--json").json["result"]
    assert result["table"]["spec"] == "001:A2"
    assert result["table"]["seeds"] == 3
    found = [cell for cell in result["cells"] if not cell["missing"]]
    assert {cell["row"] for cell in found} == {"LTH", "skip"}
    assert all(cell["recipe"] == "papers/001-toast/imp-resnet18-cifar100" for cell in found)
    assert [cell["difference"] for cell in found] == pytest.approx([0.13, -0.58, -0.42])


@pytest.mark.parametrize(("points", "code"), [("0.58", 0), ("0.57", 1), ("0", 1), ("100", 0)])
def test_a_tolerance_decides_the_exit_code(typed: Any, points: str, code: int) -> None:
    answer = typed("runs", *A2, "--within", points)
    assert answer.code == code
    assert "89.26" in answer.out
    if code:
        assert "LTH, 89.26: -0.58" in answer.complaint
    assert typed("runs", *A2, "--within", points, "--json").json["ok"] == (code == 0)


def test_a_tolerance_over_nothing_is_no_pass(typed: Any) -> None:
    answer = typed("runs", "--paper", "003:11", "--within", "100")
    assert answer.code == 1
    assert "nothing was compared" in answer.complaint


def test_other_data_stand_for_the_papers_if_asked(tmp_path: Path) -> None:
    run(tmp_path / "runs/0", 0.7, kept=None, changes={"data": {"name": "cifar10"}})
    assert "1 of 1 runs belong to no cell" in ask(tmp_path, "compare", "runs", *A2, "--missing").out
    assert (
        "data cifar10 instead of cifar100" in ask(tmp_path, "compare", "runs", *A2, "--data", "cifar10").out
    )


# -------------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "runs"),
        (["nowhere"], "nowhere"),
        (["runs", "--paper", "001:A1x"], "001:A"),
        (["runs", "--paper", "recipes"], "--tables"),
        (["runs", "--within", "1"], "--paper"),
        (["runs", "--data", "digits"], "--paper"),
        (["runs", "--missing"], "--paper"),
        (["runs", *A2, "--within", "-1"], "points"),
        (["runs", *A2, "--within", "nan"], "points"),
        (["runs", *A2, "--metric", "test.accuracy"], "--metric"),
        (["runs", "--format", "yaml"], "table"),
        (["runs", "--metric", "speed"], "test.accuracy"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(typed: Any, words: list[str], says: str) -> None:
    answer = typed(*words)
    assert answer.code == 2
    assert says in answer.complaint
    assert answer.out == ""


def test_refusals_are_objects_where_json_was_asked_for(typed: Any) -> None:
    for words in (("--json",), ("--format", "json"), ("--format=json",)):
        found = typed("nowhere", *words)
        assert found.json["error"]["exit_code"] == 2


@pytest.mark.parametrize(
    "breakage", ["{}", "", "[" * 100_000, '{"format": "ticketctl.run", "format_version": "9.0"}']
)
def test_a_damaged_run_ends_it_in_a_line(tmp_path: Path, breakage: str) -> None:
    run(tmp_path / "runs/0", 0.5)
    run(tmp_path / "runs/1", 0.5, seed=1)
    (tmp_path / "runs/1/run.json").write_text(breakage)
    answer = ask(tmp_path, "compare", "runs")
    assert answer.code == 3
    assert "runs/1" in answer.complaint
    assert answer.out == ""


def test_a_run_changed_by_hand_is_not_believed(tmp_path: Path) -> None:
    folder = run(tmp_path / "runs/0", 0.5).folder
    document = json.loads((folder / "run.json").read_text())
    document["metrics"]["test.accuracy"] = "0.99"
    (folder / "run.json").write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    assert ask(tmp_path, "compare", "runs").code == 3


# -------------------------------------------------------------------------------------------------------------- speed


@pytest.mark.long
def test_two_hundred_runs_take_a_moment(tmp_path: Path) -> None:
    for at in range(200):
        run(
            tmp_path / f"runs/{at // 20}/{at % 20}",
            0.5,
            seed=at // 20,
            kept=max(5, int(999 * 0.8 ** (at % 20))),
        )
    found = ask(tmp_path, "compare", "runs", *A2, "--missing")
    assert found.code == 0
    assert "of 200 runs" in found.out
    assert times_reference(lambda: ask(tmp_path, "compare", "runs", *A2, "--missing")) < 20


@pytest.mark.long
def test_it_starts_without_torch(spent: Path) -> None:
    lines = [
        "recipes --tables",
        "recipes --tables 001:A2",
        "compare --help",
        "compare runs",
        "compare runs --paper 001:A2",
    ]
    for line, loaded in _loaded(spent, *lines).items():
        assert not loaded & {"torch", "torchvision", "matplotlib", "sklearn", "scipy"}, line
        assert "numpy" not in loaded or "compare runs" in line


# ------------------------------------------------------------------------------------------------- the list of tables


@pytest.mark.long
def test_tables_are_listed_and_shown(tmp_path: Path) -> None:
    listed = ask(tmp_path, "recipes", "--tables")
    assert "001:A2" in listed.out
    rows = ask(tmp_path, "recipes", "--tables", "--json").json["result"]
    (row,) = [row for row in rows if row["name"] == "001:A2"]
    assert (row["cells"], row["values"]) == (85, 85)
    shown = ask(tmp_path, "recipes", "--tables", "001:A2")
    assert 'tweaks = ["scaled-init"]' in shown.out
    assert ask(tmp_path, "recipes", "--tables", "001:A77").code == 2


def test_a_table_is_no_recipe(tmp_path: Path) -> None:
    name = "papers/001-toast/table-a2"
    assert name not in ask(tmp_path, "recipes").out
    answer = ask(tmp_path, "recipes", name)
    assert answer.code == 2
    assert "--tables" in answer.complaint
    assert ask(tmp_path, "draw", "--recipe", name, "--dry-run").code == 2
