"""`collect`, `compare --sweep`, `report --sweep` and `plot --sweep`, as they are typed."""

from __future__ import annotations

import csv
import io
import json
import shlex
from contextlib import chdir
from pathlib import Path

import pytest

from tests.cli.conftest import ask
from tests.cli.test_cli_reproduce import write
from tests.stages.test_page import check
from tests.stages.test_sweep_groups import holes
from tests.stages.written_sweep import swept
from tests.test_startup import _loaded
from ticketctl.cli.devices import resolve
from ticketctl.stages.grid import plan_grid
from ticketctl.stages.grid_spec import grid_in
from ticketctl.stages.job_run import Site, do
from ticketctl.stages.jobs import plan_of
from ticketctl.stages.plan_files import keep
from ticketctl.stages.plan_wanted import Wanted, plan_meant

FIGURES = ("--figure", "sweep-axes")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sweep of five seeds, some of which diverged, failed or wait."""
    folder = tmp_path_factory.mktemp("home")
    swept(folder / "runs", holes, seeds=5)
    return folder


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_on_the_terminal_and_a_summary_beside_it(home: Path) -> None:
    answer = ask(home, "collect")
    assert answer.code == 0, answer.err
    head, *lines = answer.out.splitlines()
    assert head.split()[:4] == ["method", "density", "spend", "tweaks"]
    assert len(lines) == 60
    assert "60 places: 53 done, 1 diverged, 6 missing (5 failed (resources), 1 waiting)" in answer.err or (
        "60 places: 53 done, 1 diverged, 6 missing (1 waiting, 5 failed (resources))" in answer.err
    )


def test_csv_json_and_a_file_say_the_same(home: Path, tmp_path: Path) -> None:
    rows = read(ask(home, "collect", "--format", "csv").out)
    told = ask(home, "collect", "--json").json["result"]
    assert (
        ask(home, "collect", "--out", str(tmp_path / "s.csv"), "--quiet").out
        == f"60 rows in {tmp_path}/s.csv\n"
    )
    assert read((tmp_path / "s.csv").read_text()) == rows
    assert [row["value"] for row in rows] == [
        "" if one["value"] is None else repr(one["value"]) for one in told["rows"]
    ]
    file = ask(home, "collect", "--out", str(tmp_path / "s.json"), "--json").json["result"]
    assert file == {"file": str(tmp_path / "s.json"), "rows": 60}
    assert json.loads((tmp_path / "s.json").read_text()) == told["rows"]


def test_compare_has_a_row_for_each_combination_in_every_form(home: Path) -> None:
    table = ask(home, "compare", "--sweep", "newest")
    assert table.code == 0, table.err
    assert "vs tweaks=none" in table.out
    told = ask(home, "compare", "--sweep", "newest", "--json").json["result"]
    assert len(told["rows"]) == 12
    assert told["against"] == "tweaks=none"
    rows = read(ask(home, "compare", "--sweep", "newest", "--format", "csv").out)
    assert [row["mean"] for row in rows] == [
        "" if one["mean"] is None else str(one["mean"]) for one in told["rows"]
    ]
    assert [int(row["missing"]) for row in rows] == [one["missing"] for one in told["rows"]]
    for kind, begin in (("latex", r"\begin{tabular}"), ("markdown", "| method | ")):
        assert ask(home, "compare", "--sweep", "newest", "--format", kind).out.startswith(begin)


@pytest.mark.long
def test_a_report_of_the_sweep_is_a_sound_page_and_the_same_each_time(home: Path, tmp_path: Path) -> None:
    pages = []
    for name in ("a.html", "b.html"):
        answer = ask(home, "report", "--sweep", "newest", *FIGURES, "--out", str(tmp_path / name), "--json")
        assert answer.json["result"]["figures"] == ["sweep-axes"]
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    found = check(pages[0])
    assert {"Sweep", "commands", "?5"} <= {*found.words}
    assert any(word.startswith("ticketctl plot --sweep ") for word in found.words)
    assert str(home).encode() not in pages[0]


def test_a_figure_is_drawn_as_a_file(home: Path, tmp_path: Path) -> None:
    answer = ask(home, "plot", "--sweep", "newest", *FIGURES, "--out", str(tmp_path))
    assert answer.code == 0, answer.err
    assert len(read((tmp_path / "sweep-axes.csv").read_text())) == 12


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("collect", "zz"), "no sweep of this name"),
        (("collect", "--metric", "audit.ecee"), "no run of this sweep has"),
        (("collect", "--format", "xml"), "--format 'xml'"),
        (("collect", "--out", "a.parquet"), "no parquet"),
        (
            ("collect", "--format", "csv", "--out", "x.json"),
            "--format csv with --out x.json: the file's name says",
        ),
        (
            ("collect", "--format", "json", "--out", "x.CSV"),
            "--format json with --out x.CSV: the file's name says",
        ),
        (("collect", "--out", "."), "--out .: this is a folder; name a file, such as sweep.csv"),
        (("compare",), "--sweep newest"),
        (("compare", "r", "--sweep", "newest"), "goes without RUNS"),
        (("compare", "--sweep", "newest", "--paper", "001:A2"), "goes without --paper"),
        (("compare", "--sweep", "newest", "--within", "1"), "--within goes with a paper's table"),
        (("compare", "--sweep", "newest", "--against", "methd=imp"), "method"),
        (("compare", "r", "--against", "dense"), "--against goes with --sweep"),
        (("report", "--axes", "a,b"), "--axes goes with --sweep"),
        (("report", "--sweep", "newest", "--axes", "methd,spend"), "no such axis"),
        *(
            (
                ("report", "--sweep", "newest", "--axes", axes),
                f"--axes {axes}: name two different axes, rows first",
            )
            for axes in ("method", "method,method", "method, method", "method,", "method,spend,tweaks", "")
        ),
        (("plot", "r", "--sweep", "newest"), "goes without WHAT"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(home: Path, words: tuple[str, ...], said: str) -> None:
    answer = ask(home, *words)
    assert answer.code == 2
    assert said in answer.complaint


def test_a_table_is_replaced_and_no_other_file(home: Path, tmp_path: Path) -> None:
    mine, table = tmp_path / "g.toml", tmp_path / "new" / "folders" / "s.csv"
    mine.write_text("[axes]\n")
    answer = ask(home, "collect", "--out", str(mine))
    assert answer.code == 2
    assert (
        answer.complaint == f"ticketctl: --out {mine}: a file that no collect made lies there; name another"
    )
    assert mine.read_text() == "[axes]\n"
    for _ in range(2):
        assert ask(home, "collect", "--out", str(table)).code == 0
        rows = table.read_text()
        table.write_text("\n".join(rows.splitlines()[:5]))
    assert len(read(rows)) == 60


def test_without_a_sweep_it_says_which_command_begins_one(tmp_path: Path) -> None:
    answer = ask(tmp_path, "collect")
    assert answer.code == 2
    assert "ticketctl sweep" in answer.complaint


@pytest.mark.long
def test_no_torch_is_imported(home: Path) -> None:
    lines = ["collect --metric all", "compare --sweep newest"]
    for line, loaded in _loaded(home, *lines).items():
        assert not loaded & {"torch", "torchvision", "matplotlib", "sklearn", "scipy"}, line


@pytest.mark.slow
def test_a_sweep_of_a_paper_s_table_is_compared_and_reported_as_its_cells(tmp_path: Path) -> None:
    here = write(tmp_path / "table")
    with chdir(here):
        plan = plan_meant(Wanted("mine.toml", Path("runs"), seeds=[3])).plan
        site = Site(str(keep(plan)), "runs")
        assert {do(site, job.id, resolve).state.kind for job in plan.jobs} == {"done"}
    swept, plain = (
        ask(here, *words, "--json").json["result"]["cells"]
        for words in (("compare", "--sweep", "newest"), ("compare", "runs", "--paper", "mine.toml"))
    )
    assert swept == plain
    assert [cell["n"] for cell in swept] == [1, 1, 1]
    told = ask(here, "collect", "--json").json["result"]
    assert told["axes"] == ["row", "cell"]
    assert [100 * row["value"] for row in told["rows"]] == pytest.approx([cell["ours"] for cell in swept])
    assert ask(here, "compare", "--sweep", "newest", "--within", "0").code == 1
    assert (
        "vs row=vanilla"
        in ask(here, "compare", "--sweep", "newest", "--metric", "test.loss", "--against", "row=vanilla").out
    )
    assert ask(here, "report", "--sweep", "newest", *FIGURES).code == 0
    assert {
        "row by cell",
        "test.accuracy in % of lenet-300-100 on digits: mean over seeds ± half its 95 % interval",
    } <= {*check((here / "report.html").read_bytes()).words}


@pytest.mark.slow
def test_the_command_of_a_row_makes_the_same_run_in_an_empty_folder(tmp_path: Path) -> None:
    text = """
    [axes]
    model = "lenet-300-100"
    data = "digits"
    method = ["imp", "snip"]
    density = [0.5]
    spend = ["none", "train.lr=0.2; train.epochs=2"]
    tweaks = ["none", "ls"]
    [sets]
    "train.epochs" = 1
    """
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    found = plan_grid(grid_in(text, "g"), [3], here / "runs")
    plan = plan_of(found, found.places, "", {})
    path = keep(plan)
    for job in plan.jobs:
        assert do(Site(str(path), str(here / "runs")), job.id, resolve).state.kind == "done"
    rows = ask(here, "collect", "--json").json["result"]["rows"]
    assert {row["state"] for row in rows} == {"done"}
    for row in rows:
        for line in row["command"].split(" && "):
            answer = ask(there, *shlex.split(line)[1:])
            assert answer.code == 0, answer.err
    made = {json.loads(path.read_text())["run_id"] for path in there.rglob("run.json")}
    assert {row["run_id"] for row in rows} <= made
