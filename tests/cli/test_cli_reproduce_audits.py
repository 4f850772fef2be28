"""`ticketctl reproduce` and `compare` on a table that is read from audits, on the embedded digits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Answer, ask
from tests.stages.tiny import files_below
from tests.test_startup import _loaded
from ticketctl.stages import carry, explored

RECIPE = """
extends = "base/lenet-300-100-digits"
train.epochs = 1
train.threads = 1
draw.method = "imp"
draw.rounds = 2
draw.rate = "0.5"
"""
EXAM = """
summary = "a short one"
source = "this test"

[audit]
metrics = ["accuracy", "corruption", "ece", "fgsm", "nll", "ood"]
corruptions = ["fog", "brightness"]
severities = [1]
images = 100
ood = ["noise"]
"""
TABLE = """
title = "Audits of digits"
paper = "ours"
table = "1"
source = "this test"
note = "nothing"
seeds = 1
metric = "audit.ece"
unit = "number"
audit = "exam.toml"

[[row]]
name = "ECE"
recipe = "recipe.toml"
values = { "0" = 0.1, "50.00" = 0.1 }

[[row]]
name = "with ls"
recipe = "recipe.toml"
metric = "ratio.nll"
tweaks = ["ls"]
cells = ["50.00"]

[[row]]
name = "mCE"
recipe = "recipe.toml"
metric = "audit.mce"
cells = ["75.00"]

[[row]]
name = "one ticket"
recipe = "recipe.toml"
over = "metric"
metric = "audit"
sparsity = 50
cells = ["accuracy", "fgsm", "auroc.noise"]

[[row]]
name = "wins"
recipe = "recipe.toml"
over = "metric"
metric = "winning_sparsity"
unit = "percent"
cells = ["adversarial", "ece"]
"""


def write(folder: Path) -> Path:
    folder.mkdir()
    for name, text in (("recipe", RECIPE), ("exam", EXAM), ("mine", TABLE)):
        (folder / f"{name}.toml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer, Answer]:
    """A folder in which the table was reproduced, what a dry run said before that, and what was said."""
    folder = write(tmp_path_factory.mktemp("done") / "here")
    planned = ask(folder, "reproduce", "mine.toml", "--dry-run")
    assert not (folder / "runs").exists()
    return folder, planned, ask(folder, "reproduce", "mine.toml")


@pytest.mark.long
def test_a_dry_run_counts_and_names_the_audits(done: tuple[Path, Answer, Answer]) -> None:
    folder, planned, _ = done
    assert planned.code == 0, planned.err
    # the ladder's three levels, and the ticket with ls
    assert "to audit    4 runs by exam.toml\n" in planned.out
    assert "the time of audits is not counted" in planned.out
    again = ask(folder, "reproduce", "mine.toml", "--dry-run", "--json").json["result"]
    assert [(one["recipe"], one["there"]) for one in again["audits"]] == [("exam.toml", True)] * 4
    assert all((folder / one["folder"]).is_dir() for one in again["audits"])


def test_it_trains_audits_and_compares(done: tuple[Path, Answer, Answer]) -> None:
    folder, _, answer = done
    assert answer.code == 0, answer.err
    assert len(list((folder / "runs").rglob("reports/audit-*.zarr.zip"))) == 4
    cells = ask(folder, "reproduce", "mine.toml", "--json").json["result"]["cells"]
    found = {(cell["row"], cell["cell"]): cell for cell in cells}
    assert all(cell["n"] == 1 and not cell["why"] for place, cell in found.items() if place[0] != "wins")
    assert 0 < found["ECE", "50.00"]["ours"] < 1
    assert found["ECE", "50.00"]["difference"] == pytest.approx(found["ECE", "50.00"]["ours"] - 0.1)
    assert 0.5 < found["one ticket", "accuracy"]["ours"] <= 1
    typed = ask(folder, "compare", "runs", "--paper", "mine.toml", "--json").json["result"]
    assert {(cell["row"], cell["cell"]): cell["ours"] for cell in typed["cells"]} == {
        place: cell["ours"] for place, cell in found.items()
    }


def test_a_second_time_nothing_is_measured(
    done: tuple[Path, Answer, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, first = done
    monkeypatch.setattr(carry, "audit", lambda *words: pytest.fail("audits again"))
    before = files_below(folder)
    again = ask(folder, "reproduce", "mine.toml")
    assert (again.code, again.out) == (0, first.out)
    assert "all of it is there already" in again.err
    assert files_below(folder) == before


def test_an_audit_that_is_missing_is_named_and_taken_alone(done: tuple[Path, Answer, Answer]) -> None:
    folder, _, first = done
    (level,) = (folder / "runs").rglob("levels/1")
    (report,) = (level / "reports").iterdir()
    data = report.read_bytes()
    report.unlink()
    told = ask(folder, "compare", "runs", "--paper", "mine.toml")
    assert f"not audited; run: ticketctl audit {level} --recipe exam.toml" in told.out
    assert "to audit    1 run by exam.toml, 3 there" in ask(folder, "reproduce", "mine.toml", "--dry-run").out
    again = ask(folder, "reproduce", "mine.toml")
    assert again.err.count("audit runs/") == 1
    assert again.out == first.out
    assert report.read_bytes() == data


@pytest.mark.long
def test_runs_are_compared_by_what_their_audits_say(done: tuple[Path, Answer, Answer]) -> None:
    folder = done[0]
    answer = ask(folder, "compare", "runs", "--metric", "audit.ece", "--json")
    groups = answer.json["result"]["groups"]
    assert [group["n"] for group in groups] == [1, 1, 1, 1]
    assert next(group for group in groups if group["tweaks"])["paired"]["n"] == 1
    typo = ask(folder, "compare", "runs", "--metric", "audit.eec")
    assert (typo.code, typo.complaint) == (
        2, "ticketctl: no run measured 'audit.eec'; did you mean 'audit.ece'?",
    )  # fmt: skip
    (loaded,) = _loaded(folder, "compare runs --metric ratio.nll").values()
    assert "torch" not in loaded


def test_what_cannot_be_audited_here_is_refused_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "here")
    (folder / "exam.toml").write_text(EXAM.replace('"nll"', '"lime"'))
    (folder / "mine.toml").write_text(TABLE.replace("ratio.nll", "audit.fidelity"))
    monkeypatch.setattr(explored, "find_spec", lambda name: None)
    answer = ask(folder, "reproduce", "mine.toml")
    assert answer.complaint == "ticketctl: lime needs skimage: pip install 'ticketctl[audit]'"
    (folder / "mine.toml").write_text(TABLE.replace("exam.toml", "exam2.toml"))
    assert "row 'ECE': no recipe 'exam2.toml'" in ask(folder, "reproduce", "mine.toml").complaint
    assert not (folder / "runs").exists()


def test_the_last_eigenvalue_of_a_course_is_a_cell(tmp_path: Path) -> None:
    folder = write(tmp_path / "here")
    head = TABLE.partition("[[row]]")[0].replace("audit.ece", "record.lambda_max")
    head = head.replace('audit = "exam.toml"\n', "")
    row = 'name = "a"\nrecipe = "recipe.toml"\nsets = { "keep.lambda_max" = 1 }\ncells = ["50.00"]\n'
    (folder / "mine.toml").write_text(f"{head}\n[[row]]\n{row}")
    answer = ask(folder, "reproduce", "mine.toml", "--json")
    assert answer.code == 0, answer.err
    (cell,) = answer.json["result"]["cells"]
    assert cell["ours"] > 0
    again = ask(folder, "compare", "runs", "--paper", "mine.toml", "--json").json["result"]["cells"]
    assert [one["ours"] for one in again] == [cell["ours"]]
