"""The speed of a training from timed laps, against laps whose times are given."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.stages import tiny
from tests.stages.test_reproduce import planned, recipe_file, row
from ticketctl.cli.planned import time_told
from ticketctl.errors import StoppedError
from ticketctl.stages import estimate
from ticketctl.stages.bill import Bill, Item, bill_of, item_of, key_of, survey
from ticketctl.stages.errands import tasks
from ticketctl.stages.estimate import (
    ENOUGH,
    Watch,
    estimate_draw,
    part_of,
    speed_from,
    speed_of,
    together,
)
from ticketctl.stages.pace import PARAMETER, START, TRAINING, Pace, Speed
from ticketctl.stages.setting import Setting, prepare, seeds_of


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
    Item(2, 4.0, 8, 60.0 - START, 600.0 - 10 * START),
    Item(3, 6.0, None, None, None),
    Item(0, 0.0, 0, 0.0, 0.0),
)


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([TIMED], "about 60 s if this machine has nothing else to do, 10 min if it stays as busy as now"),
        ([Item(1, 1.0, 1, 60.0 - START, 60.0 - START)], "about 60 s on this machine"),
        ([Item(1, 1.0, 1, 0.1, 0.1)], f"about {START:.0f} s on this machine"),
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


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    recipe = tiny.recipe()
    return prepare(recipe, seeds_of(recipe, 0), tiny.around(tmp_path))


def test_timing_leaves_the_net_as_it_was(setting: Setting) -> None:
    before = {name: value.clone() for name, value in setting.bench.model.state_dict().items()}
    quick = speed_of(setting, 0.1)
    assert 0 < quick.now <= quick.alone
    assert quick.share > 0
    after = setting.bench.model.state_dict()
    assert all((after[name] == value).all() for name, value in before.items())
    assert setting.bench.model.training
    assert setting.bench.feed.batch_size == 256


@pytest.mark.parametrize(("devices", "part"), [(1, 256), (2, 128), (3, 86), (5, 52)])
def test_of_several_devices_one_is_timed_with_its_part_of_each_batch(
    devices: int, part: int, setting: Setting
) -> None:
    seen: list[int] = []
    setting.bench.model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    lap = estimate._training(part_of(setting, devices), part)
    assert lap(1) == part
    assert seen == [part]
    assert part_of(setting, devices).bench.feed.batch_size == part
    assert setting.bench.feed.batch_size == 256


def test_several_devices_are_at_most_so_many_times_as_fast() -> None:
    alone = Speed(100.0, 80.0, 0.25)
    paces = [replace(QUICK, setup=0.0, parameters=0, speed=together(alone, devices)) for devices in (1, 4)]
    one, four = (pace.seconds(tiny.recipe(), 8, 1) for pace in paces)
    assert (one[0] - TRAINING) / (four[0] - TRAINING) == pytest.approx(4)
    assert one[1] / one[0] == pytest.approx(100 / 80)
    assert four[1] / four[0] == pytest.approx(100 / 80)


def fixed(parameters: int) -> float:
    """Seconds that a training takes without a step."""
    return TRAINING + PARAMETER * parameters


def slowed(setting: Setting, seconds: float) -> list[int]:
    """Every image takes so long from now on; the sizes of the batches that come."""
    seen: list[int] = []

    def wait(_: Any, inputs: Any) -> None:
        seen.append(len(inputs[0]))
        time.sleep(seconds * len(inputs[0]))

    setting.bench.model.register_forward_pre_hook(wait)
    return seen


def test_of_a_slow_net_parts_of_batches_are_timed(setting: Setting) -> None:
    seen = slowed(setting, 0.01)  # a whole batch would take 2.6 s
    speed_of(setting, 0.4)
    assert max(seen) < 32
    assert sum(seen) < 120


def test_timing_can_be_stopped(setting: Setting) -> None:
    with pytest.raises(StoppedError):
        speed_of(replace(setting, bench=replace(setting.bench, stop=lambda: 75)), 0.1)


@pytest.mark.parametrize(
    ("took", "granted"),
    [
        (0.5, [2.5, ENOUGH]),  # what the first leaves is the second's
        (4.0, [2.5, 1.0]),
        (5.5, [2.5]),  # of the second nothing is known
    ],
)
def test_all_nets_share_a_few_seconds(
    took: float, granted: list[float], setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked = [0.0], []

    def timed(_: Setting, seconds: float) -> Speed:
        asked.append(seconds)
        now[0] += took
        return Speed(1.0, 1.0)

    monkeypatch.setattr(estimate, "speed_of", timed)
    monkeypatch.setattr(estimate, "ENOUGH", ENOUGH)  # tests glance: tests.glance
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    watch = Watch(tiny.Heard(), 2, 5.0)
    found = [watch.speed(net, setting) for net in ("one", "one", "two", "two")]
    assert asked == granted
    assert [speed is None for speed in found] == [False, False, len(granted) < 2, len(granted) < 2]


def test_it_says_what_it_times(tmp_path: Path) -> None:
    heard = tiny.Heard()
    found = estimate_draw(tiny.recipe(), 0, tiny.around(tmp_path, reporter=heard))
    assert heard.notes == ["timing lenet-300-100 on digits …"]
    assert found["seconds"] > START + 3 * fixed(found["parameters"])


def test_nets_that_take_as_long_are_timed_once(tmp_path: Path) -> None:
    recipe, heard = recipe_file(tmp_path), tiny.Heard()
    noise = [
        {"data.noise.kind": '"symmetric"', "data.noise.rate": f'"{rate}"', "data.validation": '"last:200"'}
        for rate in ("0.1", "0.2")
    ]
    plan = planned(tmp_path, *(row(str(at), recipe, "50", sets=sets) for at, sets in enumerate(noise)))
    paces = survey(plan, tasks(plan), tiny.around(tmp_path, reporter=heard), timed=True, faults=None)
    assert len(paces) == 2
    assert heard.notes == ["timing lenet-300-100 on digits …"]


QUICK = Pace(100, 10, Speed(1e12, 1e12), 1000, 100.0)


def test_a_training_costs_more_than_its_steps() -> None:
    recipe = tiny.recipe()
    assert item_of(recipe, 3, 0.0, QUICK).seconds == pytest.approx(3 * fixed(1000))
    assert item_of(recipe, 3, 0.0, QUICK, begins=True).seconds == pytest.approx(100 + 3 * fixed(1000))
    slow = replace(QUICK, speed=Speed(1.0, 0.5, 0.25), parameters=0)
    each = 2 * (100 + 10 * 0.25) + 10 * 0.25  # two epochs of a batch, and an evaluation before the first
    assert item_of(recipe, 1, 2.0, slow).seconds == pytest.approx(fixed(0) + each)
    assert item_of(recipe, 1, 2.0, slow).as_busy == pytest.approx(2 * (fixed(0) + each))


@pytest.mark.parametrize(
    ("batch", "drop_last", "steps", "images"),  # of an epoch
    [
        (64, False, 20, 1238),  # 22 in the last batch
        (64, True, 19, 1216),
        (1238, True, 1, 1238),
        (4096, False, 1, 1238),
    ],
)
def test_an_epoch_has_all_images_but_those_of_a_batch_that_is_dropped(
    batch: int, drop_last: bool, steps: int, images: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a draw and of a table alike: three trainings of two epochs, at an image a second, evaluations four times as
    fast; 200 images to validate with and 359 to test with."""
    recipe = tiny.recipe(f"train.batch={batch}", f"train.drop_last={str(drop_last).lower()}")
    monkeypatch.setattr(estimate, "speed_of", lambda setting: Speed(1.0, 0.5, 0.25))
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    found = estimate_draw(recipe, 0, tiny.around(tmp_path))
    assert (found["trainings"], found["epochs"], found["steps"]) == (3, 6, 6 * steps)
    seconds = 3 * fixed(found["parameters"]) + 6 * images + (6 + 3) * (200 + 359) / 4
    assert found["seconds"] == pytest.approx(START + seconds)
    assert found["seconds_as_busy"] == pytest.approx(2 * (START + seconds))
    pace = Pace(1238, 200 + 359, Speed(1.0, 0.5, 0.25), found["parameters"], 7.0)
    item = item_of(recipe, 3, 6.0, pace)
    assert item.steps == 6 * steps
    assert item.seconds == pytest.approx(seconds)
    assert item.as_busy == pytest.approx(2 * seconds)


def test_data_and_net_are_set_up_once_for_each_draw_and_each_spend(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path)
    tweaked = [row(name, recipe, "50", "75", tweaks=[name]) for name in ("ls", "mish")]
    batch = row("batch", recipe, "50", sets={"train.batch": 128})
    plan = planned(tmp_path, row("plain", recipe, "50"), *tweaked, batch)
    todo = tasks(plan)
    paces = {key_of(one.recipe): QUICK for one in (*plan.draws, *todo)}
    cost = bill_of(plan, todo, paces).record()
    assert cost["seconds"] == pytest.approx(START + 300 + cost["trainings"] * fixed(1000))
