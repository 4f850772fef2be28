"""Runs of a full transfer beside others: rows of their own, and no cell of a paper that knows no transfer."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.stages import tiny
from tests.stages.test_reproduce import planned, recipe_file, row
from tests.stages.test_transfer import level, shades, to, training, written
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.stages.against import against
from ticketctl.stages.compare import Group, grouped
from ticketctl.stages.named import of_ticket
from ticketctl.stages.otherwise import changes
from ticketctl.stages.subjects import TRANSFER, subjects_in, transferred
from ticketctl.stages.transfer_fit import tuned
from ticketctl.stages.winning import accuracy_win


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ticket on another data set: its mask alone, with its weights before and after training, and its form."""
    folder = tmp_path_factory.mktemp("ws")
    draw = folder / "lenet-digits" / "imp-00000000" / "seed-0"
    tiny.draw(draw, "train.epochs=1")
    target = to(written(folder / "shades.safetensors", shades(80, 0), shades(60, 1)))
    plain = of_ticket(open_ticket(draw / "ticket"), 1)
    for net, keep in ((level(draw, 1), "mask+init"), (plain, "mask+init"), (level(draw, 1), "mask")):
        tuned(training(net, target, keep))
    tuned(training(level(draw, 0), target, "form"))
    return folder


@pytest.fixture
def groups(workspace: Path) -> list[Group]:
    found, copies = subjects_in([str(workspace)], workspace)
    assert copies == 0
    return [group for group in grouped(found) if group.data == "tensors"]


def test_runs_that_kept_other_things_are_rows_of_their_own(groups: list[Group]) -> None:
    said = [found[TRANSFER].partition(" sha")[0] for found in changes(groups)]
    assert sorted(said) == [
        "form",
        "mask of digits",
        "mask+init of trained digits",
        "mask+init of untrained digits",
    ]
    assert [len(group.runs) for group in groups] == [1, 1, 1, 1]


@pytest.mark.parametrize("sparsity", ["0", "50"])
def test_no_cell_of_a_paper_takes_them_for_runs_of_the_target(
    sparsity: str, groups: list[Group], workspace: Path, tmp_path: Path
) -> None:
    plan = planned(tmp_path, row("one", recipe_file(tmp_path), sparsity))
    (line,) = against(plan.asked.table, groups, data="tensors")
    assert (line.group, line.why) == (None, "no run")
    drawn = [
        group for group in grouped(subjects_in([str(workspace)], workspace)[0]) if group.data == "digits"
    ]
    (line,) = against(plan.asked.table, [*groups, *drawn])
    assert line.group in drawn


def test_a_transferred_ladder_is_held_against_the_dense_net_that_was_trained_there(
    groups: list[Group],
) -> None:
    (ticket,) = (group for group in groups if group.settings[TRANSFER].startswith("mask of"))
    win, _ = accuracy_win([ticket], groups)
    assert win.sparsity in (None, Fraction(1, 2))
    assert "no dense net" not in win.why


def test_runs_on_two_targets_of_one_name_are_two_rows(workspace: Path, tmp_path: Path) -> None:
    draw = next(workspace.rglob("imp-00000000")) / "seed-0"
    same = shades(80, 0), shades(60, 1)
    for place, parts in (("a", same), ("b", same), ("c", (shades(80, 0), shades(60, 3)))):  # b is a copy of a
        (tmp_path / place).mkdir()
        tuned(training(level(draw, 0), to(written(tmp_path / place / "shades.safetensors", *parts)), "form"))
    found = [
        group for group in grouped(subjects_in([str(workspace)], workspace)[0]) if group.data == "tensors"
    ]
    dense = [group for group in found if group.settings[TRANSFER] == "form"]
    assert sorted(len({run.manifest.data.fingerprint for run in group.runs}) for group in dense) == [1, 1]
    told = [one for one in changes(found) if one[TRANSFER] == "form"]
    assert len({one["data.content"] for one in told}) == 2
    shutil.rmtree(next(group for group in dense if len(group.runs) == 1).runs[0].folder)


@pytest.mark.parametrize("odd", [None, 5, [], {}, {"keep": [1], "data": 3, "net": "x"}])
def test_odd_words_make_another_transfer_of_it(odd: Any) -> None:
    assert transferred({"ticketctl.transfer": odd})[TRANSFER]
    assert transferred({}) == {}
