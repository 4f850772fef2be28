"""`ticketctl plot`, as it is typed."""

from __future__ import annotations

import csv
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ask
from tests.stages.written import drawn, run
from tests.test_startup import _loaded


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("plotted")
    here = home / "runs/resnet18-cifar100/imp-0123abcd/seed-0"
    drawn(here / "ticket")
    for seed, gap in enumerate((-0.01, 0.0, 0.01)):
        run(here / f"spends/aa/10-seed-{seed}", 0.71 + gap, seed=seed)
        run(here / f"levels/{seed}", 0.75 + gap, seed=seed, kept=None)
    return home


@pytest.fixture
def typed(spent: Path, tmp_path: Path) -> Any:
    """The program, typed there; it writes below `tmp_path` and nowhere else."""
    before = sorted(spent.rglob("*"))
    yield lambda *words: ask(spent, "plot", *words, "--out", str(tmp_path / "out"))
    assert sorted(spent.rglob("*")) == before


ONE = ("--figure", "accuracy-sparsity")


@pytest.mark.long
def test_a_figure_is_a_picture_and_the_numbers_that_it_shows(typed: Any, tmp_path: Path) -> None:
    answer = typed("runs", *ONE, "--format", "svg,png,pdf")
    assert answer.code == 0, answer.err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"accuracy-sparsity.{end}" for end in ("csv", "pdf", "png", "svg")]
    dense, ticket = csv.DictReader((tmp_path / "out/accuracy-sparsity.csv").read_text().splitlines())
    assert (dense["series"], dense["role"], float(dense["y"])) == ("dense", "reference", pytest.approx(75))
    assert (ticket["series"], float(ticket["x"]), float(ticket["y"])) == (
        "imp",
        pytest.approx(89.3),
        pytest.approx(71),
    )
    assert (tmp_path / "out/accuracy-sparsity.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out/accuracy-sparsity.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_again_writes_the_same_bytes(typed: Any, tmp_path: Path) -> None:
    def made() -> dict[str, bytes]:
        assert typed("runs", *ONE).code == 0
        return {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    assert made() == made()


def test_without_names_everything_there_is_drawn_and_the_rest_is_named(typed: Any) -> None:
    answer = typed()
    assert answer.code == 0, answer.err
    assert "of runs/resnet18-cifar100/imp-0123abcd" in answer.err
    assert "accuracy-sparsity" in answer.out
    assert "nothing there for " in answer.err


def test_json_names_files_sources_and_what_is_missing(typed: Any) -> None:
    found = typed("runs", *ONE, "--json").json["result"]
    (figure,) = found["figures"]
    assert figure["title"].startswith("resnet18 on cifar100")
    assert len(figure["files"]) == 2
    assert figure["sources"]
    assert found["without"] == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--figure", "accuracy-sparsty"), "did you mean 'accuracy-sparsity'?"),
        (("--figure", ""), "--figure"),
        (("--figure", "reliability"), "ticketctl audit"),
        ((*ONE, "--format", "jpeg"), "--format 'jpeg'"),
        ((*ONE, "--format", ""), "--format"),
        ((*ONE, "--set", "figures.accuracy-sparsity.metrc=x"), "did you mean 'metric'"),
        ((*ONE, "--set", "figures.accuracy-sparsity.metric=x.y"), "no run measured 'x.y'"),
        ((*ONE, "--set", "figures.radar.sparsity=1"), "it is not drawn"),
        ((*ONE, "--set", "train.lr=1"), "begin with figures."),
        ((*ONE, "--set", "figures=1"), "figures.NAME.KEY=VALUE"),
        ((*ONE, "--data", "mnist"), "--data goes with --paper"),
        ((*ONE, "--paper", "001:A99"), "no table '001:A99'"),
    ],
)
def test_wrong_words_are_answered_in_one_line(
    typed: Any, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    answer = typed("runs", *words)
    assert answer.code == 2
    assert said in answer.complaint
    assert not (tmp_path / "out").exists()


def test_a_place_without_runs_is_told(typed: Any) -> None:
    assert "nowhere" in (answer := typed("nowhere")).complaint
    assert answer.code == 2


def test_a_file_is_no_folder_to_write_to(spent: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    answer = ask(spent, "plot", "runs", *ONE, "--out", str(tmp_path / "file"))
    assert (answer.code, "this is no folder" in answer.complaint) == (2, True)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_nobody_may_write_to_is_told(spent: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o500)
    assert ask(spent, "plot", "runs", *ONE, "--out", str(tmp_path / "mine")).code == 10


@pytest.mark.parametrize(
    ("error", "said"),
    [(ModuleNotFoundError("x"), "needs matplotlib:"), (ImportError("no libfoo"), "no libfoo")],
)
def test_without_matplotlib_the_install_line_comes_before_any_work(
    typed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def missing(name: str) -> None:
        raise error

    monkeypatch.setattr("ticketctl.stages.plot.import_module", missing)
    answer = typed("runs")
    assert (answer.code, "pip install 'ticketctl[plot]'" in answer.complaint) == (6, True)
    assert said in answer.complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["accuracy-sparsity.svg", "accuracy-sparsity.csv"])
def test_a_file_of_mine_under_the_name_of_a_figure_stays(typed: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    answer = typed("runs", *ONE)
    assert (answer.code, name in answer.complaint) == (2, True)
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_who_stops_it_gets_his_code_and_whole_files(
    typed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    from ticketctl.stages import plot

    def gathered(name: str, shelf: Any, params: Any) -> Any:
        with suppress(Exception):  # as code of others swallows what is raised out of a handler
            signal.raise_signal(number)
        return []

    monkeypatch.setattr(plot, "_gathered", gathered)
    answer = typed("runs", "--figure", "accuracy-sparsity,sweep-map")
    assert answer.code == code
    assert "what is written is whole" in answer.complaint


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("notes.txt", "is a file"),
        ("", "empty"),
        ("resnet18-cifar100/imp-0123abcd/seed-0@4", "whole tickets"),
        ("tk1a", "too short"),
    ],
)
def test_what_names_nothing_that_can_be_drawn_is_told(
    typed: Any, spent: Path, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    answer = typed(str(tmp_path / name) if name == "notes.txt" else name)
    assert (answer.code, said in answer.complaint) == (2, True), answer.err


def test_a_damaged_run_is_named(spent: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs/resnet18-cifar100/imp-0123abcd/seed-0"
    run(folder / "spends/aa/10-seed-0", 0.7)
    (folder / "spends/aa/10-seed-0/run.json").write_bytes(b"{")
    answer = ask(tmp_path, "plot", "runs", *ONE)
    assert answer.code == 3
    assert "10-seed-0/run.json" in answer.complaint


@pytest.mark.long
def test_plot_imports_no_torch(spent: Path, tmp_path: Path) -> None:
    lines = [f"plot runs --figure accuracy-sparsity --out {tmp_path / 'out'}", "list figures", "plot --help"]
    for line, loaded in _loaded(spent, *lines).items():
        assert not loaded & {"torch", "torchvision", "huggingface_hub"}, line
