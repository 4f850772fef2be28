"""What an interpolation measures, of which nets, and what its values are a function of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.stages import tiny
from tests.stages.interpolating import FEW, asked, interpolated
from tests.stages.other_runs import arrays_of, as_run, exchanged
from ticketctl.artifacts.report import Report, decode_report
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.weights import weights_digest
from ticketctl.curves import line, plane
from ticketctl.errors import DivergedError, MismatchError, UsageError
from ticketctl.stages import ends as ends_stage
from ticketctl.stages.interpolate import WORK, Interpolation, interpolate, params_of, seconds_of
from ticketctl.train.exam import Absent
from ticketctl.train.state import State

PLANE = ("curves.plane.dimensions=1", "curves.plane.points=3", "curves.plane.images=50")
LEVELS = ("levels/0", "levels/1")


@pytest.fixture(autouse=True)
def _not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticketctl.stages.interpolate.passes_a_second", lambda net: 1e5)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "seed-0"
    tiny.draw(folder, "draw.rounds=1")
    return folder


@pytest.fixture
def ladder(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "seed-0"))


def opened(folder: Path, *names: str, sets: tuple[str, ...] = FEW, **more: Any) -> Interpolation:
    (one,) = asked(
        tiny.around(folder.parent / "cache"), folder.parent, [str(folder / n) for n in names], *sets, **more
    )
    return one


def values(report: Report) -> dict[str, float | None]:
    return {row.name: row.value for row in report.metrics}


# ----------------------------------------------------------------------------------------------------------- the nets


def test_ends_are_the_weights_and_masks_of_the_runs_and_the_net_holds_the_first(ladder: Path) -> None:
    one, runs = opened(ladder, *LEVELS), [open_run(ladder / name) for name in LEVELS]
    for end, run in zip(one.nets.ends, runs, strict=True):
        assert weights_digest(end.state.tensors()) == run.manifest.weights.digest
        kept = run.mask()
        assert (end.mask is None) == (kept is None)
        if end.mask is not None and kept is not None:
            assert all(np.array_equal(end.mask.keep[name].numpy(), keep) for name, keep in kept.items())
    assert [said["run_id"] for said in one.nets.said] == [run.manifest.run_id for run in runs]
    held = State.of(one.specimen().model, 0)
    assert weights_digest(held.tensors()) == runs[0].manifest.weights.digest
    assert one.nets.subject.run_id == runs[0].manifest.run_id


def test_of_many_nets_the_data_of_two_are_held_at_most(ladder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twins have seeds, and so settings, of their own."""
    spent = tiny.spend(ladder, levels="1", seeds=[0, 1, 2, 3])
    runs = [str(one.run.folder) for one in spent if one.level == 1]
    held, plain = list[int](), ends_stage.Opener.open

    def counted(opener: Any, net: Any) -> Any:
        found = plain(opener, net)
        held.append(len(opener.settings))
        return found

    monkeypatch.setattr(ends_stage.Opener, "open", counted)
    (one,) = asked(tiny.around(ladder.parent / "cache"), ladder.parent, runs, *FEW)
    assert len(one.nets.ends) == len(runs) == 4
    assert max(held) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"recipe": {"data": {"mean": [0.5]}}}, "normalisation is "),
        ({"recipe": {"model": {"stem": "imagenet"}}}, "model.stem is imagenet, not cifar"),
    ],
)
def test_a_net_that_would_say_something_else_under_the_same_weights_is_refused(
    ladder: Path, change: dict[str, Any], says: str
) -> None:
    run = open_run(ladder / "levels/1")
    recipe = {table: dict(keys) for table, keys in run.manifest.recipe.items() if isinstance(keys, dict)}
    for table, keys in change["recipe"].items():
        recipe[table] |= keys
    as_run(ladder / "other", run, *arrays_of(run), recipe=recipe)
    with pytest.raises(UsageError, match="another net than") as refused:
        opened(ladder, "levels/1", "other")
    assert says in str(refused.value)


def test_a_net_that_a_tweak_has_changed_lies_on_no_path_with_a_plain_one(ladder: Path) -> None:
    for spent in tiny.spend(ladder, levels="1", tweaks=["swish"]):
        if spent.job.tweaks:
            with pytest.raises(UsageError, match=r"another net than .*: tweaks is swish, not none"):
                opened(ladder, "levels/1", str(spent.run.folder))
            alone = interpolated(ladder, [str(spent.run.folder)], *PLANE, curves="plane")
            assert alone.subject.run_id == spent.run.manifest.run_id


def test_runs_on_other_data_are_refused(ladder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ends_stage.Opener.open

    def other(opener: Any, net: Any) -> Any:
        found = plain(opener, net)
        if net.level == 1:
            found = replace(
                found, setting=replace(found.setting, data=replace(found.setting.data, fingerprint="x"))
            )
        return found

    monkeypatch.setattr(ends_stage.Opener, "open", other)
    with pytest.raises(
        MismatchError, match=r"were trained on other data: digits \(x\), digits \(sha256:"
    ) as refused:
        opened(ladder, *LEVELS)
    assert refused.value.exit_code == 8


def test_from_a_training_that_diverged_there_is_no_path(ladder: Path) -> None:
    run = open_run(ladder / "levels/1")
    as_run(ladder / "lost", run, *arrays_of(run), status="diverged")
    with pytest.raises(DivergedError, match="lost: its training diverged"):
        opened(ladder, "levels/1", "lost")
    assert interpolated(ladder, [str(ladder / "lost")], *PLANE, curves="plane").subject.status == "diverged"


# ---------------------------------------------------------------------------------------------------------- the report


def test_a_report_says_nets_keys_alignment_and_images_and_lies_where_it_says(ladder: Path) -> None:
    found = interpolated(ladder, None, *FEW, "interpolate.align=activations", "interpolate.align_images=50")
    file = ladder / "levels/0" / found.file_name
    assert decode_report(file.read_bytes(), where="here").id == found.id
    said = found.recipe
    assert said["curves"] == ["line"]
    assert said["keys"]["line"]["alphas"] == 4
    assert said["interpolate"] == {"align": "activations", "align_images": 50}
    assert {*said["own"]} == {"train", "val", "test"}
    assert [end["name"] for end in said["ends"]] == ["0", "1"]
    assert found.seeds["root"] == 0
    assert {row.metric for row in found.metrics} == {"line"}


def test_several_curves_make_one_report_of_several_parts(ladder: Path) -> None:
    sets = (*PLANE, "curves.input-plane.points=3", "curves.input-plane.images=20")
    run = [str(ladder / "levels/1")]
    both = interpolated(ladder, run, *sets, curves="plane,input-plane")
    alone = [interpolated(ladder, run, *sets[:3], curves="plane")]
    alone += [interpolated(ladder, run, *sets[3:], curves="input-plane")]
    assert sorted(both.metrics, key=lambda row: row.name) == sorted(
        (row for one in alone for row in one.metrics), key=lambda row: row.name
    )
    assert len([*(ladder / "levels/1" / WORK).glob("*.zarr.zip")]) == 2


def test_a_planted_permutation_is_undone_and_its_mask_moves_along(ladder: Path) -> None:
    """T28: the barrier is exactly 0 by weights, and the aligned net is the first one to the bit."""
    run = open_run(ladder / "levels/1")
    as_run(ladder / "other", run, *exchanged(run))
    one = opened(ladder, "levels/1", "other", sets=(*FEW, "interpolate.align=weights"))
    first, second = one.aligned().ends
    assert all(torch.equal(value, second.state.weights[name]) for name, value in first.state.weights.items())
    assert first.mask is not None
    assert second.mask is not None
    assert all(torch.equal(keep, second.mask.keep[name]) for name, keep in first.mask.keep.items())
    assert values(interpolate(one))["barrier"] == 0
    apart = opened(ladder, "levels/1", "other")
    assert not all(
        torch.equal(value, apart.aligned().ends[1].state.weights[name])
        for name, value in first.state.weights.items()
    )
    assert (values(interpolate(apart))["barrier"] or 0) > 10


def test_how_far_each_net_was_aligned_is_said_once_in_a_report_and_kept_with_every_part(ladder: Path) -> None:
    run = open_run(ladder / "levels/1")
    as_run(ladder / "one", run, *exchanged(run))
    as_run(ladder / "two", run, *arrays_of(run))  # as it was
    three = ["levels/1", "one", "two"]
    found = values(interpolate(opened(ladder, *three, sets=(*FEW, "interpolate.align=weights"))))
    assert found["aligned@2"] == 0
    assert found["aligned"] == pytest.approx((found["aligned@1"] or 0) / 2)
    bezier = (*FEW, "interpolate.align=weights", "curves.bezier.epochs=1", "curves.bezier.points=3")
    pair = [str(ladder / name) for name in three[:2]]
    both = interpolated(ladder, pair, *bezier, curves="line,bezier")
    assert [row.name for row in both.metrics].count("aligned") == 1
    lost = interpolated(ladder, pair, *bezier, "curves.bezier.lr=1e30", curves="line,bezier")
    assert [(row.name, row.status) for row in lost.metrics if row.metric == "bezier"] == [
        ("bezier", "absent")
    ]
    assert values(lost)["aligned"] == values(both)["aligned"]
    alone = interpolated(ladder, pair, *bezier[:-2], curves="line")
    assert values(alone)["aligned"] == values(both)["aligned"] == found["aligned@1"]


def test_equal_nets_have_no_barrier_and_what_has_no_value_says_why(
    ladder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = str(ladder / "levels/1")
    found = interpolated(ladder, [run, run], *FEW)
    assert values(found)["barrier"] == 0

    def absent(*_: object, **__: object) -> None:
        raise Absent("there is nothing")

    monkeypatch.setattr(plane, "measure", absent)
    (row,) = interpolated(ladder, [run], *PLANE, curves="plane").metrics
    assert (row.name, row.status, row.reason) == ("plane", "absent", "there is nothing")


# --------------------------------------------------------------------------------------- what a part is a function of


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Whether an interpolation measures anything."""
    told, plain = list[int](), line.measure

    def counted(*rest: Any, **more: Any) -> Any:
        told.append(1)
        return plain(*rest, **more)

    monkeypatch.setattr(line, "measure", counted)

    def asks(folder: Path, *more: Any, **most: Any) -> bool:
        told.clear()
        interpolated(folder, *more, **most)
        return bool(told)

    return asks


@pytest.mark.long
def test_the_same_again_measures_nothing_and_other_ends_keys_alignment_and_seeds_do(
    ladder: Path, measured: Callable[..., bool]
) -> None:
    zero, one = (str(ladder / name) for name in LEVELS)
    assert measured(ladder, [zero, one], *FEW)
    assert not measured(ladder, [zero, one], *FEW)
    assert measured(ladder, [one, zero], *FEW)
    assert measured(ladder, [zero, one, one], *FEW)
    assert measured(ladder, [zero, one], *FEW, "curves.line.threshold=3.0")
    assert measured(ladder, [zero, one], *FEW, "interpolate.align=weights")
    assert measured(ladder, [zero, one], *FEW, "interpolate.align=activations", "interpolate.align_images=50")
    assert measured(ladder, [zero, one], *FEW, "interpolate.align=activations", "interpolate.align_images=51")
    assert not measured(ladder, [zero, one], *FEW, "interpolate.align=weights", "interpolate.align_images=51")
    assert measured(ladder, [zero, one], *FEW, seed=1)
    assert not measured(ladder, [zero, one], *FEW)


def test_an_end_of_other_weights_or_another_mask_is_another_end(
    ladder: Path, measured: Callable[..., bool]
) -> None:
    run = open_run(ladder / "levels/1")
    weights, keep = arrays_of(run)
    pair = [str(ladder / "levels/0"), str(ladder / "other")]
    as_run(ladder / "other", run, weights, keep)
    assert measured(ladder, pair, *FEW)
    shutil.rmtree(ladder / "other")
    as_run(ladder / "other", run, {name: value * np.float32(2) for name, value in weights.items()}, keep)
    assert measured(ladder, pair, *FEW)


@pytest.mark.parametrize("word", ["threads", "data", "images", "version", "device"])
def test_other_threads_data_images_versions_and_devices_measure_anew(
    ladder: Path, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = opened(ladder, *LEVELS)
    before = one.parts.path("line")
    assert one.parts.path("line") == before
    if word == "threads":
        torch.set_num_threads(2)  # the tests' own fixture sets it back
    elif word == "data":
        first = one.nets.first
        data = replace(first.setting.data, fingerprint="sha256:" + "0" * 64)
        first = replace(first, setting=replace(first.setting, data=data))
        one = replace(one, nets=replace(one.nets, first=first))
    elif word == "images":
        monkeypatch.setattr("ticketctl.stages.interpolate.own_images", lambda images: {"test": "others"})
    elif word == "device":
        monkeypatch.setattr(
            type(one.nets.first.setting.bench.place), "describe", lambda place: {"device": "x"}
        )
    else:
        monkeypatch.setattr("ticketctl.stages.conditions.__version__", "0.0.0")
    assert one.parts.path("line") != before


# ---------------------------------------------------------------------------------------------------------- keys, price


def test_keys_that_cannot_be_are_refused_before_a_net_is_opened(
    ladder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends_stage.Opener, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(UsageError, match=r"curves\.line\.alphas = 1 must be 2 or more"):
        opened(ladder, *LEVELS, sets=("curves.line.alphas=1",))


def test_what_is_left_is_priced_by_the_curves_and_the_nets_speed(ladder: Path) -> None:
    one = opened(ladder, *LEVELS)
    first, params = one.nets.first, params_of(one.asked)
    sizes = {name: len(images) for name, images in first.images.items()}
    assert seconds_of(first, params, 2) == {"line": line.price(sizes, params["line"], 2) / 1e5}
    assert seconds_of(first, params, 4)["line"] == pytest.approx(6 * seconds_of(first, params, 2)["line"])
    assert seconds_of(first, {}, 2) == {}


@pytest.mark.gpu
def test_on_a_gpu_the_barrier_is_that_of_the_cpu(ladder: Path) -> None:
    found = values(interpolated(ladder))
    place = tiny.around(ladder.parent / "cache")
    (one,) = asked(
        replace(place, device=torch.device("cuda")), ladder.parent, [str(ladder / n) for n in LEVELS], *FEW
    )
    there = values(interpolate(one))
    assert found["barrier"] is not None
    assert there["barrier"] == pytest.approx(found["barrier"], abs=1.0)  # one image of 200 is half a point
