"""Of many reports that lie there, the one that a cell means: no ladder for twins, no stranger's path, no other keys."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.stages import tiny
from tests.stages.test_reproduce import carry, planned, recipe_file, row
from tests.stages.test_reproduce_explored import BARRIER, LINE, ONSET, TRANSFER, file, lines, table
from tests.stages.test_transfer import shades, written
from ticketctl.artifacts.report import Report, decode_report, encode_report
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.data import load as data
from ticketctl.errors import MismatchError
from ticketctl.progress import Silent
from ticketctl.recipe_explore import InterpolateRecipe
from ticketctl.seeds import Seeds
from ticketctl.stages import course, due
from ticketctl.stages.audits import refuse_mixed
from ticketctl.stages.between import between
from ticketctl.stages.explorations import Explorations, with_explorations
from ticketctl.stages.explored import explored
from ticketctl.stages.interpolate import interpolate, interpolation
from ticketctl.stages.measured import OF, Reading
from ticketctl.stages.named import Named, of_run, of_ticket
from ticketctl.stages.reproduce import Planned
from ticketctl.stages.stored import Shelf, words_of
from ticketctl.stages.subject import Opener
from ticketctl.stages.subjects import subjects_in


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in test_reproduce_explored."""
    monkeypatch.setattr(due, "LAP", 0.0)


def path(folder: Path, nets: Sequence[Named]) -> Report:
    """The report of a path under the keys of the tables' own, by hand."""
    asked = explored("interpolate", None, (), None, file(folder, "line", LINE))
    assert isinstance(asked.recipe, InterpolateRecipe)
    (pair,) = between(nets, asked.recipe.chosen, asked.recipe.interpolate, {})
    return interpolate(interpolation(pair, asked, Seeds(0), Opener(tiny.around(folder / "cache"))))


def below(folder: Path, name: str) -> Path:
    """The folder of the only file of this name below."""
    (found,) = (folder / "runs").rglob(name)
    return found.parent


def barrier(report: Report) -> float | None:
    return next(one.value for one in report.metrics if one.name == "barrier")


def test_a_ladder_of_three_levels_is_no_three_twins(tmp_path: Path) -> None:
    plan = table(tmp_path, "twins")
    carry(planned(tmp_path, row("plain", recipe_file(tmp_path, epochs=2), "75")), tmp_path)
    ticket = open_ticket(below(tmp_path, "ticket.json"))
    ladder = path(tmp_path, [of_ticket(ticket, level) for level in range(3)])
    assert len({end["run_id"] for end in ladder.recipe["ends"]}) == 3
    (line,) = lines(plan, tmp_path).values()
    assert line.ours is None
    assert line.why.startswith("no interpolate between 3 twins of its ticket")
    assert carry(table(tmp_path, "twins"), tmp_path).audited == 1
    (line,) = lines(plan, tmp_path).values()
    assert line.ours is not None
    assert line.ours != barrier(ladder)


@pytest.mark.long
def test_a_path_from_another_seeds_run_is_not_that_of_the_re_dense_net(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, epochs=2)
    words = {"tweaks": ["redense"], "sets": {"tweaks.redense.lr": 0.001}}
    trained = planned(tmp_path, row("re-dense", recipe, "50", **words))
    carry(trained, tmp_path)
    draw = below(tmp_path, "ticket.json").parent
    tiny.spend(draw, levels="1", seeds=[5])
    (dense,) = (one for one in runs(tmp_path) if one.manifest.arch.tweaks)
    (other,) = (one for one in runs(tmp_path) if (one.manifest.seeds["root"], one.manifest.level) == (5, 1))
    stranger = path(tmp_path, [of_run(other), of_run(dense)])
    plan = planned(
        tmp_path, row("re-dense", recipe, "50", of="before", explore=str(tmp_path / "line.toml"), **BARRIER, **words)
    )  # fmt: skip
    (line,) = lines(plan, tmp_path).values()
    assert line.ours is None
    assert "no interpolate from the net that it went on from to it" in line.why
    assert carry(plan, tmp_path).audited == 1
    (line,) = lines(plan, tmp_path).values()
    own = path(tmp_path, [of_run(open_run(draw / "levels/1")), of_run(dense)])
    assert line.ours == barrier(own) != barrier(stranger)


def runs(folder: Path) -> list[Run]:
    return [open_run(one.parent) for one in sorted((folder / "runs").rglob("run.json"))]


def test_an_onset_under_other_keys_of_the_line_does_not_count(tmp_path: Path) -> None:
    plan = table(tmp_path, "onset")
    carry(plan, tmp_path)
    (line,) = lines(plan, tmp_path).values()
    assert line.ours is not None
    file(tmp_path, "onset", {**ONSET, "curves": {"line": {**LINE["curves"]["line"], "alphas": 5}}})
    (line,) = lines(plan, tmp_path).values()
    assert line.ours is None
    assert "measured otherwise, curves.line.alphas 3 instead of 5" in line.why


# ---------------------------------------------------------------------------------------------------- retrained


def retrained(folder: Path, target: str, explore: str, **asked: Any) -> Planned:
    one = row("retrained", recipe_file(folder), target, of="retrained", over="target", sparsity="0")
    return planned(folder, one, head={"metric": "transfer.transfer", "explore": explore}, **asked)


def target(folder: Path, name: str = "shades", seed: int = 0) -> str:
    return written(folder / f"{name}.safetensors", shades(80, seed), shades(60, seed + 1))


def starts(folder: Path) -> set[str]:
    return {one.manifest.start.digest for one in runs(folder) if "transfers" in one.folder.parts}


def test_the_retrained_net_is_another_under_each_seed(tmp_path: Path) -> None:
    frozen = file(tmp_path, "transfer", TRANSFER)
    plan = retrained(tmp_path, target(tmp_path), frozen, seeds=[0, 1])
    assert carry(plan, tmp_path).audited == 2
    (line,) = lines(plan, tmp_path).values()
    assert line.n == 2
    assert len(starts(tmp_path)) == 2
    assert carry(plan, tmp_path).audited == 0


def test_a_retrained_net_under_other_words_or_another_seed_is_another_net(tmp_path: Path) -> None:
    place = target(tmp_path)
    short = retrained(tmp_path, place, file(tmp_path, "transfer", TRANSFER))
    carry(short, tmp_path)
    (first,) = lines(short, tmp_path).values()
    every = {"transfer": {"train": "all"}, "train": {"epochs": 6, "lr": 0.1, "batch": 16}}
    long = retrained(tmp_path, place, file(tmp_path, "long", every))
    (line,) = lines(long, tmp_path).values()
    assert line.ours is None
    assert "--controls --seed 0" in line.why
    assert carry(long, tmp_path).audited == 1
    (line,) = lines(long, tmp_path).values()
    assert line.ours not in (None, first.ours)
    (again,) = lines(short, tmp_path).values()
    assert again.ours == first.ours
    for one in (tmp_path / "runs").rglob("transfers/*/0-seed-0/reports/transfer-*"):
        put(one, replace(read(one), seeds={"root": 4}))
    assert [line.ours for line in lines(short, tmp_path).values()] == [None]


def test_reports_of_several_folders_come_the_newest_first(tmp_path: Path) -> None:
    carry(table(tmp_path, "trained"), tmp_path)
    (one,) = (tmp_path / "runs").rglob("reports/probe-*")
    places = [tmp_path / name / one.name for name in "abc"]
    for place, age in zip(places, (2, 3, 1), strict=True):
        place.parent.mkdir()
        place.write_bytes(one.read_bytes())
        os.utime(place, ns=(0, 10**12 - age))
    shelf = Shelf()
    found = shelf.below([place.parent for place in places], "probe")
    assert [id(each) for each in found] == [id(shelf.read[places[number]]) for number in (2, 0, 1)]


# ------------------------------------------------------------------------------------------------------ targets


def test_a_mean_over_two_targets_is_refused(tmp_path: Path) -> None:
    recipe, explore = recipe_file(tmp_path), file(tmp_path, "transfer", TRANSFER)
    head = {"metric": "transfer.transfer", "explore": explore}
    for seed, place in enumerate((target(tmp_path), target(tmp_path, "others", 7))):
        one = row("trained", recipe, place, over="target", sparsity="50")
        carry(planned(tmp_path, one, head=head, seeds=[seed]), tmp_path)
    subjects = subjects_in([str(tmp_path / "runs")], tmp_path)[0]
    found = with_explorations(subjects, Reading("transfer", None))
    assert sum(run.value("transfer.transfer") is not None for run in found) == 2
    with pytest.raises(MismatchError, match=r"measured differently: target\.fingerprint is "):
        refuse_mixed(found, "transfer.transfer")


@pytest.mark.long
def test_two_targets_of_one_name_in_one_table_have_a_value_each(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    target(tmp_path / "a", "x")
    odd = [
        {**shades(count, 7), "labels": np.arange(count) % 2} for count in (80, 60)
    ]  # nothing to be learned
    written(tmp_path / "b" / "x.safetensors", odd[0], odd[1])
    places = [f"tensors:{tmp_path / name / 'x.safetensors'}" for name in "ab"]
    recipe, head = recipe_file(tmp_path), {"explore": file(tmp_path, "transfer", TRANSFER)}
    of = [
        row(name, recipe, *places, of=name, metric="transfer.transfer", over="target", sparsity=sparsity)
        for name, sparsity in (("trained", "50"), ("retrained", "0"))
    ]
    plan = planned(tmp_path, *of, head={"metric": "transfer.transfer", **head})
    assert carry(plan, tmp_path).audited == 4
    assert carry(plan, tmp_path).audited == 0
    told = [read(one) for one in (tmp_path / "runs").rglob("reports/transfer-*")]
    found = lines(plan, tmp_path)
    for place in places:
        images = data.load(place, cache=tmp_path / "cache", reporter=Silent(), form=(1, 8, 8))
        mine = [one for one in told if one.recipe["target"]["fingerprint"] == images.fingerprint]
        ours = sorted(found[name, place].ours or 0.0 for name in ("trained", "retrained"))
        assert ours == pytest.approx(sorted(100 * (one.metrics[0].value or 0.0) for one in mine))
        assert (max(ours) < 80) == (place == places[1])
    Path(places[1].partition(":")[2]).rename(tmp_path / "gone")  # nobody knows what that was
    assert [line.ours is None for line in lines(plan, tmp_path).values()] == [False, True] * 2


def test_a_transfer_that_is_missing_is_told_with_a_command_that_has_a_target(tmp_path: Path) -> None:
    found = Explorations(tmp_path, (), None, Reading("transfer", None), 0, 0)
    assert found.why("transfer.transfer").endswith(f"run: ticketctl transfer {tmp_path} --to DATA")


# -------------------------------------------------------------------------------------------------- hostile words


def read(place: Path) -> Report:
    return decode_report(place.read_bytes(), where="it")


def put(place: Path, report: Report) -> None:
    """In the place of another; its name is not asked."""
    place.write_bytes(encode_report(replace(report, id="", digest="")))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and a ticket with a report of interpolate each."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(due, "LAP", 0.0)
        carry(table(folder, "levels", "plane"), folder)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("odd", [5, None, "ends", [5, 5], [None, {"run_id": 3}], {"a": 1}])
def test_odd_words_of_a_report_are_passed_over(odd: Any, measured: Path) -> None:
    for place in (measured / "runs").rglob("reports/interpolate-*"):
        told = read(place)
        put(
            place,
            replace(told, recipe={**told.recipe, "ends": odd, "keys": odd, "target": odd, "transfer": odd}),
        )
    subjects = subjects_in([str(measured / "runs")], measured)[0]
    for of in OF["interpolate"]:
        for recipe in (None, str(measured / "line.toml")):
            found = with_explorations(subjects, Reading("interpolate", recipe, of))
            refuse_mixed(found, "interpolate.barrier")
            assert {run.value("interpolate.barrier") for run in found} <= {None}


@pytest.mark.parametrize("odd", ["x", None, [1], {}, "9" * 400 + "e999", "nan"])
def test_odd_words_of_a_draws_course_are_no_values(
    odd: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    notes = {"1": {"chosen_epoch": 2, "pretrain_epochs": 1, "overlap": [odd, "0.5"]}}
    manifest = SimpleNamespace(ext={course.LEVELS: notes})
    monkeypatch.setattr(course, "open_ticket", lambda _: SimpleNamespace(manifest=manifest))
    (tmp_path / course.MANIFEST).touch()
    assert course.course_of(tmp_path, 1, "overlap_at_60") is None
    notes["1"] |= {"chosen_epoch": odd, "pretrain_epochs": 2}
    assert course.course_of(tmp_path, 1, "epochs") is None
    assert course.course_of(tmp_path, 1, "overlap_at_60") == 0.5


def test_odd_keys_of_a_plug_in_are_none_to_be_compared(measured: Path) -> None:
    told = read(next((measured / "runs").rglob("reports/interpolate-*")))
    odd = replace(told, recipe={**told.recipe, "keys": {"line": 5}})
    assert words_of(odd, "line", "curves", "interpolate") is None
