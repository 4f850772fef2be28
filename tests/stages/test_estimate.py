"""The speed of a training from timed laps, against laps whose times are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.stages import tiny
from ticketctl.cli.planned import time_told
from ticketctl.stages.bill import Bill, Item
from ticketctl.stages.estimate import speed_from, speed_of
from ticketctl.stages.setting import prepare, seeds_of


@pytest.mark.parametrize(
    ("laps", "alone", "now"),
    [
        ([(128, 0.1, 0.1)] * 4, 1280, 1280),
        ([(128, 0.1, 0.1), *[(128, 1.2, 1.2)] * 3], 1280, 512 / 3.7),  # three laps took twelve times as long
        ([(128, 0.1, 1.2)] * 4, 1280, 512 / 4.8),  # others had the processor
        ([(64, 0.1, 0.1), (128, 0.1, 0.1)], 1280, 960),
    ],
)
def test_the_fastest_lap_is_the_speed_alone_and_all_laps_that_beside_other_work(
    laps: list[tuple[int, float, float]], alone: float, now: float
) -> None:
    found = speed_from(laps)
    assert found.alone == pytest.approx(alone)
    assert found.now == pytest.approx(now)


def bill(*items: Item) -> Bill:
    """The sums read the items alone."""
    nobody: Any = None
    return Bill({}, [(nobody, item) for item in items])


TIMED, UNTIMED, THERE = (
    Item(2, 4.0, 8, 60.0, 600.0),
    Item(3, 6.0, None, None, None),
    Item(0, 0.0, 0, 0.0, 0.0),
)


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([TIMED], "about 60 s if this machine has nothing else to do, 10 min if it stays as busy as now"),
        ([Item(1, 1.0, 1, 60.0, 60.2)], "about 60 s on this machine"),
        ([Item(1, 1.0, 1, 0.1, 0.4)], "about a second or less on this machine"),
        ([UNTIMED], "unknown: nothing could be timed here"),
        ([UNTIMED, THERE], "unknown: nothing could be timed here"),
        ([TIMED, UNTIMED], "as busy as now; of the other 3 trainings nothing is known"),
        ([THERE], "none: nothing is to be trained"),
    ],
)
def test_what_was_not_measured_is_never_about_nothing(items: list[Item], says: str) -> None:
    cost = bill(*items).record()
    assert says in time_told(cost)
    assert "about 0" not in time_told(cost)
    known = all(item.seconds is not None for item in items)
    assert (cost["seconds"] is not None, cost["seconds_as_busy"] is not None) == (known, known)


def test_timing_leaves_the_net_as_it_was(tmp_path: Path) -> None:
    recipe = tiny.recipe()
    setting = prepare(recipe, seeds_of(recipe, 0), tiny.around(tmp_path))
    before = {name: value.clone() for name, value in setting.bench.model.state_dict().items()}
    quick = speed_of(setting)
    assert 0 < quick.now <= quick.alone
    after = setting.bench.model.state_dict()
    assert all((after[name] == value).all() for name, value in before.items())
