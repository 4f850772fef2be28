"""Twins of a ticket: spends under other seeds, from the same state, that differ in SGD noise alone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.stages import tiny
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.errors import DivergedError, UsageError
from ticketctl.stages.request import Typed
from ticketctl.stages.twins import Twins, found_twins, planned_twins, price_of, trained_twins


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "seed-3"
    tiny.draw(folder, "draw.rewind=2it", seed=3)
    return folder


def ticket(drawn: Path) -> Ticket:
    return open_ticket(drawn / "ticket")


def planned(drawn: Path, levels: list[int], count: int, *sets: str) -> Twins:
    return planned_twins(ticket(drawn), levels, count, Typed(sets=sets), drawn.parent)


def trained(drawn: Path, twins: Twins, heard: tiny.Heard | None = None) -> dict[int, list[Path]]:
    around = tiny.around(drawn.parent / "cache", reporter=heard)
    return {level: [run.folder for run in runs] for level, runs in trained_twins(twins, around).items()}


def test_the_first_twin_is_the_draws_own_run_and_the_others_are_those_of_a_spend(drawn: Path) -> None:
    found = trained(drawn, planned(drawn, [1], 3))
    spent = [one.run.folder for one in tiny.spend(drawn, levels="1", seeds=[3, 4, 5]) if one.level == 1]
    assert found == {1: spent}
    assert found[1][0] == drawn / "levels/1"


def test_a_second_time_nothing_is_trained_and_more_twins_train_only_the_new_ones(drawn: Path) -> None:
    first = trained(drawn, planned(drawn, [2], 2))
    assert [len(runs) for runs in first.values()] == [2]
    again = planned(drawn, [2], 2)
    assert again.left == []
    assert price_of(again, tiny.around(drawn.parent / "cache")) is None
    assert {level: [run.folder for run in runs] for level, runs in found_twins(again).items()} == first
    more = planned(drawn, [2], 3)
    assert [(job.level, job.seed) for job in more.left] == [(2, 5)]
    cost = price_of(more, tiny.around(drawn.parent / "cache"))
    assert cost is not None
    assert (cost.trainings, cost.epochs, cost.steps) == (1, float(2 - Fraction(2, tiny.PER_EPOCH)), 8)
    assert trained(drawn, more)[2][:2] == first[2]


def test_twins_start_from_one_state_under_one_mask_and_end_apart(drawn: Path) -> None:
    one, two = (open_run(folder) for folder in trained(drawn, planned(drawn, [1], 2))[1])
    assert one.manifest.start == two.manifest.start
    masks = one.mask(), two.mask()
    assert masks[0] is not None
    assert masks[1] is not None
    assert all(np.array_equal(keep, masks[1][name]) for name, keep in masks[0].items())
    assert one.manifest.weights.digest != two.manifest.weights.digest
    assert one.manifest.data == two.manifest.data, "the same images are held out"


def test_the_dense_net_is_not_trained_beside_them_unless_it_is_asked_for(drawn: Path) -> None:
    assert {job.level for job in planned(drawn, [2], 4).chosen.jobs} == {2}
    asked = trained(drawn, planned(drawn, [0, 2], 2))
    assert [len(asked[level]) for level in (0, 2)] == [2, 2]


@pytest.mark.long
def test_what_the_draws_recipe_says_for_its_spends_is_not_the_twins(tmp_path: Path) -> None:
    folder = tmp_path / "seed-0"
    tiny.draw(
        folder, "draw.rounds=1", "spend.tweaks=['ls','swish']", "spend.attribution=true", "spend.small=true"
    )
    twins = planned(folder, [1], 2)
    assert [(job.level, job.seed, job.tweaks) for job in twins.chosen.jobs] == [(1, 0, ()), (1, 1, ())]
    (runs,) = trained(folder, twins).values()
    assert runs[0] == folder / "levels/1"
    spent = [one.run.folder for one in tiny.spend(folder, levels="1", seeds=[0, 1])]
    assert {*runs} <= {*spent}


def test_twins_that_could_only_be_one_net_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "seed-0"
    tiny.draw(folder, "draw.rounds=1", "train.epochs=1", "seeds.order=9")
    with pytest.raises(
        UsageError, match=r"seeds\.order set apart, which its spends keep: all twins would be one net"
    ):
        planned(folder, [1], 2)


def test_twins_of_whole_batches_are_one_net_and_that_is_said(drawn: Path, tmp_path: Path) -> None:
    assert planned(drawn, [1], 2).remark == ""
    folder = tmp_path / "seed-0"
    tiny.draw(folder, "draw.rounds=1", "train.epochs=1", "train.batch=1238")
    twins = planned(folder, [1], 2)
    assert "are trained without SGD noise, all 1,238 images in every step" in twins.remark
    one, two = (open_run(path).weights() for path in trained(folder, twins)[1])
    assert all(np.allclose(one[name].array(), two[name].array(), atol=1e-6) for name in one)
    flipped = planned(folder, [1], 2, "data.augment=crop-flip")
    assert flipped.remark == ""


def test_fewer_than_two_and_levels_beyond_the_ladder_are_refused(drawn: Path) -> None:
    with pytest.raises(UsageError, match="--twins 1: a barrier lies between two nets; give 2 or more"):
        planned(drawn, [1], 1)
    with pytest.raises(UsageError, match="--level '7': there is"):
        planned(drawn, [7], 2)


def test_from_a_twin_that_diverged_there_is_no_path(tmp_path: Path) -> None:
    folder = tmp_path / "seed-0"
    tiny.draw(folder, "draw.rounds=1", "train.epochs=1")
    twins = planned(folder, [1], 2, "train.lr=1e20")
    with pytest.raises(DivergedError, match=r"1-seed-0: diverged; there is no path from it to its twins"):
        trained(folder, twins)
