"""Figures out of artifacts of which some are damaged: the others are drawn, and every fault is told with its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stages.written import drawn, run
from ticketctl.artifacts.report import MetricRow, Report, ReportData, Subject, encode_report
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.series import Series
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.figures.sheet import Sheet
from ticketctl.stages.gallery import gallery
from ticketctl.stages.papers import find_table
from ticketctl.stages.plot import draw, wanted
from ticketctl.stages.spared import told


def series(top: float) -> Series:
    scalars = np.array([[0.1], [top]], np.float32)
    return Series(("test.accuracy",), scalars, np.array([0, 1], np.int32), np.array([0, 10], np.int64))


def audited(one: Run, accuracy: float) -> Path:
    """Its report of an audit."""
    said = one.manifest
    report = Report(
        kind="audit",
        subject=Subject(
            run_id=said.run_id, ticket=said.ticket, level=10, weights=said.weights.digest, status="done"
        ),
        data=ReportData(name="cifar100", fingerprint="f"),
        seeds={"root": 0},
        env={},
        recipe={"keys": {"nll": {}}},
        sources={},
        metrics=(MetricRow("nll", "nll", "lower", accuracy, None, 100, "done", "", {}),),
        arrays={},
    )
    path = one.folder / report.file_name
    path.parent.mkdir()
    path.write_bytes(encode_report(report))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three seeds of a ticket, each with its history and an audit."""
    here = tmp_path / "runs/resnet18-cifar100/imp-0123abcd/seed-0"
    drawn(here / "ticket")
    for seed in range(3):
        one = run(
            here / f"spends/aa/10-seed-{seed}", 0.7 + seed / 100, seed=seed, series=series(0.5 + seed / 10)
        )
        audited(one, 1.0 + seed)
    return here / "spends/aa"


def files(home: Path, kind: str, seeds: tuple[int, ...] = (1,)) -> list[Path]:
    """Of these seeds the history, or the report."""
    pattern = {"series": "series.zarr.zip", "report": "reports/audit-*.zarr.zip", "manifest": "run.json"}[
        kind
    ]
    return [next((home / f"10-seed-{seed}").glob(pattern)) for seed in seeds]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def gone(path: Path) -> None:
    path.unlink()


def sheets(home: Path, *figures: str) -> tuple[dict[str, Sheet], list[str]]:
    """What is drawn, and the faults that are told."""
    shelf = gallery([str(home)], home).shelf
    made = draw(shelf, wanted(",".join(figures) or None, [], "svg")).sheets
    return {one.figure: one for one in made}, told(shelf.damaged)


def last(sheet: Sheet) -> tuple[object, object]:
    """Value and number of runs of the last point."""
    row = [one for one in sheet.where() if one["role"] in ("line", "unjudged")][-1]
    return row["y"], row["n"]


@pytest.mark.parametrize("spoil", [cut, flipped, gone])
def test_a_run_is_left_out_where_its_damaged_history_is_needed_and_nowhere_else(home: Path, spoil) -> None:  # type: ignore[no-untyped-def]  # any of the three above
    (path,) = files(home, "series")
    spoil(path)
    found, faults = sheets(home, "accuracy-sparsity", "training-curves", "audit-sparsity")
    assert last(found["accuracy-sparsity"]) == (pytest.approx(71), 3)
    assert last(found["training-curves"]) == (pytest.approx(60), 2)
    assert last(found["audit-sparsity"]) == (pytest.approx(2), 3)
    (fault,) = faults
    assert str(path) in fault
    assert fault.isprintable()


@pytest.mark.parametrize("spoil", [cut, flipped])
def test_a_damaged_report_is_as_if_not_there_and_told(home: Path, spoil) -> None:  # type: ignore[no-untyped-def]  # either of those above
    (path,) = files(home, "report", (0,))
    spoil(path)
    found, faults = sheets(home, "audit-sparsity", "training-curves")
    assert last(found["audit-sparsity"]) == (pytest.approx(2.5), 2)
    assert last(found["training-curves"])[1] == 3
    assert [str(path) in one for one in faults] == [True]


def test_a_run_without_a_sound_manifest_is_in_no_figure_and_told(home: Path) -> None:
    (path,) = files(home, "manifest", (2,))
    path.write_bytes(b"{")
    found, faults = sheets(home)
    assert last(found["accuracy-sparsity"]) == (pytest.approx(70.5), 2)
    assert [str(path) in one for one in faults] == [True]


@pytest.mark.parametrize(("kind", "figure"), [("series", "training-curves"), ("report", "audit-sparsity")])
def test_a_figure_of_nothing_but_damaged_files_is_refused_with_exit_3_and_left_out_of_all(
    home: Path, kind: str, figure: str
) -> None:
    paths = files(home, kind, (0, 1, 2))
    for path in paths:
        flipped(path)
    for names in ([figure], ["accuracy-sparsity", figure]):
        with pytest.raises(
            ArtifactError, match=f"--figure {figure}: nothing to draw but what is damaged: "
        ) as fault:
            sheets(home, *names)
        assert fault.value.exit_code == 3
        assert any(str(path) in str(fault.value) for path in paths)
    found, faults = sheets(home)
    assert "accuracy-sparsity" in found
    assert figure not in found
    assert len(faults) == 3


def test_every_figure_that_needs_a_damaged_file_says_so_though_another_has_read_it_before(home: Path) -> None:
    """Reliability is of no report here, and the only histories are damaged: that is told for the second figure too."""
    for path in files(home, "series", (0, 1, 2)):
        flipped(path)
    shelf = gallery([str(home)], home).shelf
    for _ in range(2):
        with pytest.raises(ArtifactError, match="training-curves"):
            draw(shelf, wanted("training-curves", [], "svg"))
    with pytest.raises(UsageError, match="run: ticketctl audit"):
        draw(shelf, wanted("reliability", [], "svg"))


def test_where_all_is_damaged_the_first_is_named(home: Path) -> None:
    for path in (*files(home, "manifest", (0, 1, 2)), home.parents[1] / "ticket/ticket.json"):
        path.write_bytes(b"{")
    with pytest.raises(ArtifactError, match=r"ticket\.json|run\.json") as fault:
        gallery([str(home.parents[1])], home)
    assert fault.value.exit_code == 3


def test_a_damaged_ticket_leaves_its_runs_in_the_figures(home: Path) -> None:
    flipped(home.parents[1] / "ticket/mask.safetensors")
    found, faults = sheets(home.parents[1])
    assert last(found["accuracy-sparsity"])[1] == 3
    assert "layer-density" not in found
    assert any("ticket/mask.safetensors" in one for one in faults)


TABLE = """
title = "Negative log-likelihood"
paper = "001"
table = "Fig 99"
source = "ours, for a test"
note = "no value is printed"
metric = "audit.nll"
unit = "number"
audit = "audit/lth-pass"

[[row]]
name = "LTH"
recipe = "papers/001-toast/imp-resnet18-cifar100"
cells = ["89.26"]
"""


@pytest.mark.parametrize("spoil", [cut, flipped])
def test_of_a_paper_s_cell_a_damaged_report_is_left_out_and_told(home: Path, spoil) -> None:  # type: ignore[no-untyped-def]  # either of those above
    (home / "table.toml").write_text(TABLE, encoding="utf-8")
    table = find_table(str(home / "table.toml"))
    (path,) = files(home, "report", (0,))
    for value, count in ((2.0, 3), (2.5, 2)):
        shelf = gallery([str(home)], home, table=table).shelf
        assert shelf.paper is not None
        (cell,) = shelf.paper.cells
        assert (cell.ours, cell.n) == (pytest.approx(value), count)
        assert [str(path) in one for one in told(shelf.damaged)] == [True] * (count == 2)
        spoil(path)
