"""Values of stored audits as `compare` reads them, and the sparsities that win by them: reports written by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import verdicts
from tests.stages.written import drawn, run
from ticketctl.artifacts.report import encode_report
from ticketctl.artifacts.report_models import Subject as Audited
from ticketctl.artifacts.run import Run
from ticketctl.errors import ArtifactError, MismatchError, UsageError
from ticketctl.plugins import defaults
from ticketctl.recipe_audit import parse_audit
from ticketctl.recipe_files import read_recipe
from ticketctl.stages.against import Line, against
from ticketctl.stages.audits import refuse_mixed, with_audits
from ticketctl.stages.compare import compare, grouped
from ticketctl.stages.papers import find_table, table_in
from ticketctl.stages.subjects import Subject, subjects_in

PASS = "audit/lth-pass"
VGG = "papers/004-lth-pass/ltr-vgg11-cifar{}"


def recipe_of(**changes: Mapping[str, Any]) -> dict[str, Any]:
    """What a report under audit/lth-pass says of its keys; `changes` to those of single metrics."""
    spec = parse_audit(read_recipe(PASS), where=PASS)
    keys = {name: {**defaults("metrics", name), **spec.metrics.get(name, {}), **changes.get(name, {})}
            for name in spec.chosen}  # fmt: skip
    text = {name: {key: str(value) if isinstance(value, float) else value for key, value in table.items()}
            for name, table in keys.items()}  # fmt: skip
    return {"metrics": list(spec.chosen), "keys": text, "sets": {}, "audit": {"images": None}}


def audited(one: Run, changes: Mapping[str, float | None] | None = None, age: int = 0, **more: Any) -> Path:
    """An audit of the run in its folder, `age` seconds old; the keys are those of audit/lth-pass."""
    manifest = one.manifest
    subject = Audited(
        run_id=manifest.run_id, ticket=manifest.ticket, level=manifest.level, weights=manifest.weights.digest,
        status=manifest.status,
    )  # fmt: skip
    found = verdicts.audit("x", changes, **{"recipe": recipe_of(), **more})
    report = replace(found, subject=subject, id="", digest="")
    path = one.folder / report.file_name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_report(report))
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def read(folder: Path, name: str | None = None) -> list[Subject]:
    return with_audits(subjects_in([str(folder)], folder)[0], name)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Run, Run]:
    """A dense net and a ticket of one draw."""
    name = VGG.format(10)
    drawn(tmp_path / "ticket", recipe=name)
    dense = run(tmp_path / "levels/0", 0.9, recipe=name, kept=None)
    return dense, run(tmp_path / "levels/10", 0.9, recipe=name)


def test_values_are_those_of_the_newest_audit(two: tuple[Run, Run], tmp_path: Path) -> None:
    audited(two[1], {"ece": 0.3}, age=9)
    audited(two[1], {"ece": 0.2})
    _, ticket = read(tmp_path)
    assert ticket.value("audit.ece") == 0.2
    assert ticket.value("audit.hessian.trace") == 120.0
    assert ticket.value("audit.no-such-row") is None
    assert ticket.value("test.accuracy") == 0.9


def test_ratios_and_mce_are_held_against_the_runs_own_dense_net(two: tuple[Run, Run], tmp_path: Path) -> None:
    audited(two[0], {"nll": 0.4, "corruption.fog": 0.2, "corruption.snow": 0.4})
    audited(two[1], {"nll": 0.6, "corruption.fog": 0.3, "corruption.snow": 0.2})
    dense, ticket = read(tmp_path)
    assert ticket.value("ratio.nll") == pytest.approx(1.5)
    assert ticket.value("audit.mce") == pytest.approx((1.5 + 0.5) / 2)
    assert (dense.value("ratio.nll"), dense.value("audit.mce")) == (1.0, 1.0)


def test_without_an_audited_dense_net_there_is_no_ratio(two: tuple[Run, Run], tmp_path: Path) -> None:
    audited(two[1])
    ticket = read(tmp_path)[1]
    assert ticket.stored is not None
    for metric in ("ratio.nll", "audit.mce"):
        assert ticket.value(metric) is None
        assert ticket.stored.why(metric) == f"no audited dense net beside it for {metric}"


def test_audits_under_other_keys_do_not_count_and_say_so(two: tuple[Run, Run], tmp_path: Path) -> None:
    audited(two[1], {"ece": 0.2}, age=9, recipe=recipe_of(ece={"bins": 15}))
    audited(two[1], {"ece": 0.3}, recipe=recipe_of(ece={"bins": 10}))
    audited(two[0], recipe=recipe_of(ece={"bins": 10}))
    assert [one.value("audit.ece") for one in read(tmp_path)] == [0.05, 0.3]
    dense, ticket = read(tmp_path, PASS)
    assert ticket.value("audit.ece") == 0.2  # the newest that counts
    assert dense.value("audit.ece") is None
    assert dense.value("audit.nll") == 0.4  # its keys are the same
    assert dense.stored is not None
    assert "audited otherwise, metrics.ece.bins 10 instead of 15; run:" in dense.stored.why("audit.ece")
    assert dense.stored.why("audit.ece").endswith(f"--recipe {PASS}")


@pytest.mark.parametrize(
    ("recipe", "metric", "says"),
    [
        ({"audit": {"images": 512}}, "audit.nll", "audit.images 512 instead of all"),
        (
            {"sets": {"corrupt-fog-1": ["d", "f", "test", {"corruption": "fog", "severity": 1}]}},
            "audit.corruption.fog",
            "other corruptions than audit/lth-pass has",
        ),
        ({"keys": {}}, "audit.nll", "nll was not measured"),
    ],
)
def test_other_images_do_not_count_either(
    recipe: dict[str, Any], metric: str, says: str, two: tuple[Run, Run], tmp_path: Path
) -> None:
    audited(two[1], recipe={**recipe_of(), **recipe})
    ticket = read(tmp_path, PASS)[1]
    assert ticket.value(metric) is None
    assert ticket.stored is not None
    assert says in ticket.stored.why(metric)


def test_numbers_are_one_however_they_are_written(two: tuple[Run, Run], tmp_path: Path) -> None:
    audited(two[1], recipe=recipe_of(ece={"bins": "15.0"}, lime={"ridge": 1}))
    assert read(tmp_path, PASS)[1].stored.whole() is not None


def test_a_small_dense_net_and_a_dense_one_are_rows_of_their_own(tmp_path: Path) -> None:
    """Figure 11 of paper 004: they differ in their widths alone."""
    usual, small = (
        f"papers/004-lth-pass/{name}-resnet18-cifar10{end}"
        for name, end in (("ltr", ""), ("dense", "-small"))
    )
    drawn(tmp_path / "a/ticket", recipe=usual)
    audited(run(tmp_path / "a/levels/0", 0.9, recipe=usual, kept=None), {"nll": 0.5})
    audited(run(tmp_path / "a/levels/7", 0.9, recipe=usual, kept=210), {"nll": 0.6})
    audited(
        run(tmp_path / "b", 0.9, recipe=small, kept=None, prunable=210), {"nll": 0.7, "corruption.fog": 0.4}
    )
    found = lines(tmp_path, "004:fig11")
    assert {row: line.ours for (row, column), line in found.items() if column == "nll"} == {
        "dense, C10-R18": 0.5, "LTH, C10-R18": 0.6, "small dense, C10-R18": 0.7,
    }  # fmt: skip
    mce = {row: line.ours for (row, column), line in found.items() if column == "mce"}
    assert mce == {"dense, C10-R18": 1, "LTH, C10-R18": 1, "small dense, C10-R18": pytest.approx(16 / 15)}


def test_a_ticket_drawn_at_once_is_held_against_the_dense_net_of_another_draw(tmp_path: Path) -> None:
    """Figure 6 of paper 004: the ladder's dense net stands for that of SNIP, which trains none."""
    ltr, snip = (f"papers/004-lth-pass/{name}-resnet18-cifar10" for name in ("ltr", "snip"))
    drawn(tmp_path / "a/ticket", recipe=ltr)
    audited(run(tmp_path / "a/levels/0", 0.9, recipe=ltr, kept=None), {"nll": 0.5})
    drawn(tmp_path / "b/ticket", recipe=snip, kept=328)
    audited(run(tmp_path / "b/levels/1", 0.9, recipe=snip, kept=328, level=1), {"nll": 0.6})
    found = lines(tmp_path, "004:fig6")
    assert {place: line.ours for place, line in found.items()} == {
        ("LTH, C10-R18", "0"): 1.0, ("SNIP, C10-R18", "67.23"): pytest.approx(1.2),
    }  # fmt: skip


def test_what_a_path_leads_to_is_not_looked_at(two: tuple[Run, Run], tmp_path: Path) -> None:
    digest = {"folder": "sha256:" + "0" * 64, "images": 0}
    spec = {"compositional": {**defaults("metrics", "compositional"), "quantile": "0.005", **digest}}
    path = audited(two[1], rows=[verdicts.row("compositional", 0.1)], recipe={**recipe_of(), "keys": spec})
    assert path.is_file()
    assert read(tmp_path, "audit/compositional")[1].value("audit.compositional") == 0.1


def test_a_damaged_report_is_told(two: tuple[Run, Run], tmp_path: Path) -> None:
    audited(two[1]).write_bytes(b"damaged")
    with pytest.raises(ArtifactError):
        read(tmp_path)


def test_means_of_different_audits_are_refused(two: tuple[Run, Run], tmp_path: Path) -> None:
    audited(two[0])
    audited(two[1], recipe=recipe_of(ece={"bins": 10}))
    found = read(tmp_path)
    with pytest.raises(MismatchError, match=r"metrics\.ece\.bins is 15 and 10; audit both alike"):
        refuse_mixed(found, "audit.ece")
    refuse_mixed(found, "audit.nll")
    compared = compare(grouped(found), "audit.nll")
    assert [one.group.mean("audit.nll") for one in compared] == [0.4, 0.4]
    with pytest.raises(UsageError, match=r"no run measured 'audit\.eec'; did you mean 'audit\.ece'"):
        compare(grouped(found), "audit.eec")


# ------------------------------------------------------------------------------------------------- a paper's cells

ROWS = {
    "corruption": {"corruption.fog": 0.9}, "adversarial": {"fgsm": 0.1}, "ood": {"auroc.svhn": 0.1},
    "ece": {"ece": 0.9}, "nll": {"nll": 3.0}, "fidelity": {"fidelity": 0.9}, "stability": {"stability": 0.9},
    "hessian_trace": {"hessian.trace": 900.0}, "accuracy": {"accuracy": 0.5},
}  # fmt: skip
"""By the paper's name of a measure, what loses it."""


def ladder(folder: Path, row: str, data: int) -> None:
    """A ladder of levels 8 to 19 that wins in every measure exactly as far as the paper prints."""
    name = VGG.format(data)
    cells = [cell for cell in find_table("004:text4.5").cells if cell.row == row]
    drawn(folder / "ticket", recipe=name)
    audited(run(folder / "levels/0", 0.9, recipe=name, kept=None))
    for level in range(8, 20):
        sparsity = 100 * (1 - Fraction(4, 5) ** level)
        lost: dict[str, float] = {}
        for cell in cells:
            if cell.column in ROWS and sparsity > Fraction(cell.value or 0) + Fraction(1, 100):
                lost |= ROWS[cell.column]
        one = run(
            folder / f"levels/{level}", lost.get("accuracy", 0.9), recipe=name, level=level,
            kept=round(1000 * 0.8**level),
        )  # fmt: skip
        audited(one, lost)


def lines(folder: Path, table: str) -> dict[tuple[str, str], Line]:
    found = against(find_table(table), grouped(subjects_in([str(folder)], folder)[0]))
    return {(line.cell.row, line.cell.column): line for line in found if line.group}


@pytest.mark.parametrize(("row", "data"), [("VGG-11 CIFAR-10", 10), ("VGG-11 CIFAR-100", 100)])
def test_a_ladder_that_wins_as_the_paper_prints_gives_what_it_prints(
    row: str, data: int, tmp_path: Path
) -> None:
    """Both rows of section 4.5; lth_pass is the least of them, as printed. Weights are a thousand: hence 0.06."""
    ladder(tmp_path, row, data)
    found = lines(tmp_path, "004:text4.5")
    assert len(found) == 10
    for line in found.values():
        assert line.difference == pytest.approx(0, abs=0.06), line.cell.column
        assert (line.n, line.why) == (1, "")


def test_lowest_and_highest_are_over_the_measures_of_their_section(tmp_path: Path) -> None:
    ladder(tmp_path, "VGG-11 CIFAR-100", 100)
    head = 'title = "t"\npaper = "x"\ntable = "1"\nsource = "s"\nnote = "n"\nmetric = "winning_sparsity"\n'
    row = f'[[row]]\nname = "a"\nrecipe = "{VGG.format(100)}"\nover = "metric"\n'
    names = '"low", "high", "uncertainty_low", "uncertainty_high"'
    (tmp_path / "mine.toml").write_text(f'{head}unit = "percent"\naudit = "{PASS}"\n{row}cells = [{names}]\n')
    groups = grouped(subjects_in([str(tmp_path)], tmp_path)[0])
    found = against(table_in(tmp_path / "mine.toml", "mine.toml"), groups)
    # accuracy 96.48, mCE 89.26, FGSM 96.48, OoD 95.60; ECE 86.58, NLL 94.50
    assert [line.ours for line in found] == pytest.approx([89.26, 96.48, 86.58, 94.50], abs=0.06)


def test_a_ladder_with_a_run_that_is_not_audited_names_the_command(tmp_path: Path) -> None:
    ladder(tmp_path, "VGG-11 CIFAR-10", 10)
    for path in (tmp_path / "levels/12/reports").iterdir():
        path.unlink()
    found = lines(tmp_path, "004:text4.5")
    assert found["VGG-11 CIFAR-10", "accuracy"].ours is not None
    line = found["VGG-11 CIFAR-10", "nll"]
    assert (line.ours, line.n) == (None, 0)
    assert line.why == f"not audited; run: ticketctl audit {tmp_path}/levels/12 --recipe {PASS}"


def test_a_measure_that_no_level_wins_has_no_sparsity(tmp_path: Path) -> None:
    name = VGG.format(10)
    drawn(tmp_path / "ticket", recipe=name)
    audited(run(tmp_path / "levels/0", 0.9, recipe=name, kept=None))
    audited(run(tmp_path / "levels/10", 0.9, recipe=name), {"nll": 3.0, "fgsm": None})
    found = lines(tmp_path, "004:text4.5")
    assert found["VGG-11 CIFAR-10", "nll"].why == "nll wins at no level"
    assert found["VGG-11 CIFAR-10", "adversarial"].why == "fgsm wins at no level: came out as nan"
    assert found["VGG-11 CIFAR-10", "ece"].ours == pytest.approx(89.3)


def test_without_a_dense_net_nothing_wins(tmp_path: Path) -> None:
    name = VGG.format(10)
    drawn(tmp_path / "ticket", recipe=name)
    audited(run(tmp_path / "levels/10", 0.9, recipe=name))
    assert {line.why for line in lines(tmp_path, "004:text4.5").values()} == {"no dense net beside them"}


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ("audit.eec", r"row 'a': no 'eec' in an audit; did you mean 'ece'\?"),
        ("audit.sce", "row 'a': audit/lth-pass does not measure sce"),
        ("ratio.nlll", "did you mean 'nll'"),
    ],
)
def test_a_row_that_the_audit_will_not_have_is_refused_before_anything_is_made(
    metric: str, says: str, tmp_path: Path
) -> None:
    head = f'title = "t"\npaper = "x"\ntable = "1"\nsource = "s"\nnote = "n"\nmetric = "{metric}"\n'
    row = f'[[row]]\nname = "a"\nrecipe = "{VGG.format(10)}"\ncells = ["20.00"]\n'
    (tmp_path / "mine.toml").write_text(f'{head}unit = "number"\naudit = "{PASS}"\n{row}')
    with pytest.raises(UsageError, match=says):
        against(table_in(tmp_path / "mine.toml", "mine.toml"), [])
