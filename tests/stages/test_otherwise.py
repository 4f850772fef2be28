"""What rows of a comparison are told apart by: against pairs of recipes whose difference is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.stages.written import drawn, run
from ticketctl.stages.compare import Compared, compare, grouped
from ticketctl.stages.otherwise import folded, told
from ticketctl.stages.recorded import shown
from ticketctl.stages.subjects import subjects_in

OMP = "papers/001-toast/omp-resnet18-cifar100"
LTR = "papers/001-toast/ltr-resnet18-cifar100"


def found_in(folder: Path) -> list[Compared]:
    return compare(grouped(subjects_in([str(folder)], folder)[0]), "test.accuracy")


def told_of(folder: Path, *changes: Mapping[str, Any], **more: Any) -> list[str]:
    """What is told of runs with these changes, in their order."""
    for at, change in enumerate(changes):
        run(folder / str(at), 0.5 + at / 100, changes=change, seed=at, **more)
    by_seed = {one.group.runs[0].seeds[0]: told(one.changes) for one in found_in(folder)}
    return [by_seed.get(at, "") for at in range(len(changes))]


def data(**tables: Mapping[str, Any]) -> dict[str, Any]:
    return {"data": tables}


def test_a_noise_of_kind_none_is_no_noise_and_has_no_rate(tmp_path: Path) -> None:
    rate = data(noise={"rate": "2/5"})
    off = data(noise={"kind": "none", "rate": "2/5"})
    assert told_of(tmp_path, {}, rate) == ["data.noise.kind=none", "data.noise.rate=0.4"]
    run(tmp_path / "off", 0.7, changes=off, seed=2)
    plain, noisy = found_in(tmp_path)
    assert [len(one.group.runs) for one in (plain, noisy)] == [2, 1], "kind none is no noise at all"


def test_two_kinds_of_noise_are_both_named(tmp_path: Path) -> None:
    kinds = [data(noise={"kind": kind, "rate": "0.2"}) for kind in ("symmetric", "pair-flip")]
    assert told_of(tmp_path, *kinds) == ["data.noise.kind=symmetric", "data.noise.kind=pair-flip"]


def test_parts_of_the_images_are_told_by_what_users_wrote(tmp_path: Path) -> None:
    half, five = data(subset={"fraction": "1/2"}), data(subset={"count": 5})
    said = told_of(tmp_path, {}, half, five)
    assert said == ["data.subset=none", "data.subset.fraction=0.5", "data.subset.count=5"]


def test_a_subset_of_all_images_is_none(tmp_path: Path) -> None:
    assert told_of(tmp_path, {}, data(subset={"fraction": "1"})) == ["", ""]
    assert len(found_in(tmp_path)) == 1


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_milestones_and_gamma_are_the_step_schedules_own(tmp_path: Path, schedule: str) -> None:
    one = {"train": {"schedule": schedule, "milestones": [], "gamma": 0.1}}
    other = {"train": {"schedule": schedule, "milestones": ["3ep"], "gamma": 0.5}}
    assert told_of(tmp_path, one, other) == ["", ""]
    assert len(found_in(tmp_path)) == 1


def test_keys_that_are_equal_in_value_are_not_told(tmp_path: Path) -> None:
    drawn(tmp_path / "ticket")
    run(tmp_path / "levels/10", 0.5)
    run(tmp_path / "spends/aa/10-seed-1", 0.5, seed=1, changes={"train": {"lr": 0.05}})
    assert [told(one.changes) for one in found_in(tmp_path)] == ["train.lr=0.1", "train.lr=0.05"], (
        "both masks were found with 0.1"
    )


def test_what_a_mask_was_found_with_is_told_where_it_differs(tmp_path: Path) -> None:
    for place, batch in (("a", 128), ("b", 64)):
        drawn(tmp_path / place / "ticket", changes={"train": {"batch": batch}})
        run(tmp_path / place / "levels/10", 0.5)
    said = {told(one.changes) for one in found_in(tmp_path)}
    assert said == {"drawn with train.batch=128", "drawn with train.batch=64"}


def test_an_unknown_draw_is_told_only_beside_known_ones(tmp_path: Path) -> None:
    run(tmp_path / "x", 0.5)
    assert [one.changes for one in found_in(tmp_path)] == [{}]
    drawn(tmp_path / "b/ticket")
    run(tmp_path / "b/levels/10", 0.5, seed=1)
    assert sorted(told(one.changes) for one in found_in(tmp_path)) == ["", "its draw unknown"]


def test_keys_of_tweaks_have_their_defaults_and_not_those_of_absent_tweaks(tmp_path: Path) -> None:
    run(tmp_path / "a", 0.5, tweaks=["ls"])
    run(tmp_path / "b", 0.5, tweaks=["ls"], changes={"tweaks": {"ls": {"alpha": 0.3}}})
    run(tmp_path / "c", 0.5, changes={"tweaks": {"ls": {"alpha": 0.3}}})
    run(tmp_path / "d", 0.5, seed=1)
    found = found_in(tmp_path)
    assert [len(one.group.runs) for one in found] == [2, 1, 1], "a net without ls reads none of its keys"
    assert [told(one.changes) for one in found] == ["", "tweaks.ls.alpha=0.1", "tweaks.ls.alpha=0.3"]


def test_draws_are_told_apart_within_their_method(tmp_path: Path) -> None:
    run(tmp_path / "a", 0.5, recipe=OMP)
    run(tmp_path / "b", 0.5)
    assert [told(one.changes) for one in found_in(tmp_path)] == ["", ""]
    run(tmp_path / "c", 0.5, changes={"draw": {"rate": "1/2"}})
    assert sorted(told(one.changes) for one in found_in(tmp_path)) == ["", "draw.rate=0.2", "draw.rate=0.5"]


def test_a_schedule_that_is_not_gone_back_to_is_not_told(tmp_path: Path) -> None:
    run(tmp_path / "a", 0.5, recipe=LTR, changes={"draw": {"rewind": "0"}})
    run(tmp_path / "b", 0.5, recipe=LTR)
    said = [told(one.changes) for one in found_in(tmp_path)]
    assert sum("draw.rewind=" in text for text in said) == 2
    assert not any("draw.schedule" in text for text in said)


def test_long_lists_are_folded_and_whole_in_a_wide_place() -> None:
    many = {f"train.key{at}": str(at) for at in range(6)}
    assert folded(many) == "train.key0=0, train.key1=1, train.key2=2, and 3 more"
    assert told(many).count("=") == 6
    assert folded(dict([*many.items()][:4])).count("=") == 4, "one more is as long as saying so"
    course = '["30ep", "60ep", "90ep", "120ep", "150ep"]'
    assert folded({"train.milestones": course}) == "train.milestones=30ep,60ep,... (5)"
    assert told({"train.milestones": course}) == "train.milestones=30ep,60ep,90ep,120ep,150ep"
    digest = "sha256:" + "6" * 64
    assert len(folded({"tweaks.kd.teacher": digest})) < 45
    assert digest in told({"tweaks.kd.teacher": digest})


@pytest.mark.parametrize(
    ("value", "text"),
    [("1/5", "0.2"), ("1/3", "1/3"), ("0.05", "0.05"), ('["3ep"]', "3ep"), ("1/0", "1/0"), ("true", "true")],
)
def test_values_are_shown_as_users_write_them(value: str, text: str) -> None:
    assert shown(value) == text


def test_a_key_whose_value_is_empty_is_left_out(tmp_path: Path) -> None:
    """The widths of a net that has its usual ones are an empty list; that row is the one without the key."""
    assert told({"model.widths": "[]", "train.epochs": "2"}) == folded(
        {"model.widths": "[]", "train.epochs": "2"}
    )
    assert told_of(tmp_path, {"model": {"widths": []}}, {"model": {"widths": [3, 5]}}) == [
        "",
        "model.widths=3,5",
    ]
