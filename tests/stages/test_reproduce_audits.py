"""The audits of a planned table: which runs, by which recipe, and that a stop costs none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.stages import tiny
from tests.stages.test_reproduce import carry, planned, recipe_file, row
from ticketctl.errors import StoppedError, UsageError
from ticketctl.stages.auditing import check_audits, exams
from ticketctl.stages.reproduce import Planned
from ticketctl.tomltext import toml_text

EXAM = {"summary": "s", "source": "s", "audit": {"metrics": ["accuracy", "nll", "fgsm"], "images": 60}}


def table(folder: Path, **asked: Any) -> Planned:
    """Distillation, which needs the dense net as teacher, a ratio, and a row that needs no audit."""
    recipe = recipe_file(folder, seeds={"init": 0})
    (folder / "exam.toml").write_text(toml_text(EXAM))
    (folder / "other.toml").write_text(toml_text({**EXAM, "audit": {"metrics": ["ece"]}}))
    head = {"metric": "audit.nll", "unit": "number", "audit": str(folder / "exam.toml")}
    rows = (
        row("kd", recipe, "50", tweaks=["kd"]),
        row("plain", recipe, "75", metric="test.accuracy"),
        row("other", recipe, "75", metric="ratio.ece", audit=str(folder / "other.toml")),
    )
    return planned(folder, *rows, head=head, **asked)


def test_only_what_the_cells_report_is_audited_each_by_its_own_recipe(tmp_path: Path) -> None:
    plan = table(tmp_path)
    check_audits(plan)
    assert [(Path(exam.audit).stem, exam.folder, exam.there) for exam in exams(plan)] == [
        ("exam", None, False), ("other", None, False), ("other", None, False),
    ]  # fmt: skip
    carried = carry(plan, tmp_path)
    assert carried.audited == 3
    found = {(Path(exam.audit).stem, exam.folder.name) for exam in exams(plan) if exam.folder and exam.there}
    # not the teacher by exam; level 2 and its dense net by the other
    assert found == {("exam", "1-seed-0"), ("other", "2"), ("other", "0")}
    assert carry(plan, tmp_path).audited == 0


@pytest.mark.long
def test_stopped_in_the_midst_of_audits_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    (whole := tmp_path / "whole").mkdir()
    carry(table(whole), whole)
    (cut := tmp_path / "cut").mkdir()
    plan, stops = table(cut), 0
    while _is_stopped(plan, cut, int(40 * 1.4**stops)):
        stops += 1
        assert stops < 50
    assert stops > 1
    assert _reports(cut) == _reports(whole)


def _is_stopped(plan: Planned, folder: Path, after: int) -> bool:
    polls = iter(range(after))
    try:
        carry(plan, folder, lambda: 75 if next(polls, None) is None else None)
    except StoppedError:
        return True
    return False


def _reports(folder: Path) -> list[bytes]:
    return sorted(
        content for name, content in tiny.files_below(folder / "runs").items() if "/reports/" in name
    )


def test_what_is_no_audit_is_refused_at_once(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path)
    with pytest.raises(UsageError, match=r"row 'a': .*tiny\.toml: trains, and an audit does not"):
        planned(tmp_path, row("a", recipe, "50"), head={"metric": "audit.nll", "audit": recipe})
