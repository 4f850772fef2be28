"""What is trained for the measurements of a table is in its bill: as much as carrying it out then trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ask
from tests.stages import tiny
from tests.stages.test_explorations import target
from tests.stages.test_reproduce import carry, planned, recipe_file, row
from tests.stages.test_reproduce_explored import BARRIER, LINE, ONSET, TRANSFER, file
from ticketctl.stages import due
from ticketctl.stages.auditing import exams
from ticketctl.stages.bill import Bill, bill_of, survey
from ticketctl.stages.carry import carry_out
from ticketctl.stages.errands import tasks
from ticketctl.stages.reproduce import Planned
from ticketctl.stages.trained_for import needs
from ticketctl.train.loop import Loop

EPOCHS = 3


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "LAP", 0.0)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The title of every training that is run."""
    found: list[str] = []
    run = Loop.run

    def counted(self: Any) -> Any:
        found.append(self.order.title)
        return run(self)

    monkeypatch.setattr(Loop, "run", counted)
    return found


def table(folder: Path, *names: str, **asked: Any) -> Planned:
    recipe, line = recipe_file(folder, epochs=EPOCHS), file(folder, "line", LINE)
    place, moved = target(folder), file(folder, "transfer", TRANSFER)
    every = [
        row("twins", recipe, "50", "75", of="twins", explore=line, **BARRIER),
        row("twins again", recipe, "75", of="twins", explore=file(folder, "fine", {**LINE, "interpolate": {}}),
            **BARRIER),
        row("retrained", recipe, place, of="retrained", over="target", sparsity="0", explore=moved,
            metric="transfer.transfer"),
        row("onset", recipe, "0", of="onset", metric="interpolate.onset", unit="epochs",
            explore=file(folder, "onset", ONSET)),
    ]  # fmt: skip
    return planned(folder, *(one for one in every if one["name"] in names), **asked)


def bill(plan: Planned, folder: Path) -> Bill:
    todo, around = tasks(plan), tiny.around(folder / "cache")
    more = needs(plan, todo, exams(plan))
    return bill_of(plan, todo, survey(plan, todo, around, timed=False, faults=None, trained=more), more)


@pytest.mark.long
def test_of_twins_and_retrained_nets_the_bill_has_what_is_then_trained(
    tmp_path: Path, trained: list[str]
) -> None:
    plan = table(tmp_path, "twins", "twins again", "retrained")
    before = bill(plan, tmp_path).record()
    assert before["trainings"] == 3 + 2 * 2 + 1  # a ladder of three, two more twins of two levels, one net
    assert before["epochs"] == EPOCHS * before["trainings"]
    assert before["steps"] == EPOCHS * (7 * tiny.PER_EPOCH + 1)  # 72 images of the target in a step
    assert not before["at_most"]
    for draw in plan.draws:
        tiny.run_draw(draw.recipe, draw.seed, draw.folder, tiny.around(tmp_path / "cache"))
    trained.clear()
    after = bill(plan, tmp_path).record()
    assert (after["trainings"], after["at_most"]) == (2 * 2 + 1, True)
    carry(plan, tmp_path)
    assert len(trained) == after["trainings"]
    assert bill(plan, tmp_path).record()["trainings"] == 0


def test_an_onset_takes_no_more_than_the_bill_says(tmp_path: Path, trained: list[str]) -> None:
    plan = table(tmp_path, "onset")
    found = bill(plan, tmp_path)
    ((need, item),) = found.nets
    # by hand: of 3 epochs two evaluations of two twins each, from epochs 1 and 0 at most, and the dense net to the 2nd
    assert (item.trainings, item.epochs, item.at_most) == (5, 2 + 2 * (2 + 3), True)
    assert need.exam.reading.of == "onset"
    carried = carry_out(plan, 1, tiny.around(tmp_path / "cache"), "a table")
    assert carried.audited == 1
    assert len(trained) - found.record()["trainings"] <= 0
    assert bill(plan, tmp_path).nets == []


def test_a_dry_run_says_what_is_trained_for_measurements(tmp_path: Path) -> None:
    table(tmp_path, "twins", "onset")
    words = ("reproduce", "mine.toml", "--dry-run", "--offline")
    lines = ask(tmp_path, *words).out.splitlines()
    (line,) = [text for text in lines if text.startswith("to measure")]
    assert line.endswith("; at most 9 trainings for that: 4 of twins, 5 of onset")
    (cost,) = [text for text in lines if text.startswith("to train")]
    assert cost.startswith("to train    at most 12 trainings, ")
    nets = ask(tmp_path, *words, "--json").json["result"]["nets"]
    assert {(net["of"], net["trainings"]) for net in nets} == {("twins", 2), ("onset", 5)}
