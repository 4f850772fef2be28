"""Nets as a run's training left them after an epoch: which weights are meant, what is said of them, what is refused."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.stages import tiny
from tests.stages.test_reproduce import carry, planned, recipe_file, row
from tests.stages.test_reproduce_explored import ONSET, PLANE, file, lines
from tests.stages.test_transfer import shades, written
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.figures import landscape
from ticketctl.recipe_explore import InterpolateRecipe, TransferRecipe, parse_explore
from ticketctl.seeds import Seeds
from ticketctl.stages import due
from ticketctl.stages.audit import audit
from ticketctl.stages.auditing import exams
from ticketctl.stages.between import between
from ticketctl.stages.bill import survey
from ticketctl.stages.draw import draw
from ticketctl.stages.errands import tasks
from ticketctl.stages.explored import explored
from ticketctl.stages.gallery import gallery
from ticketctl.stages.interpolate import interpolate, interpolation
from ticketctl.stages.kept import epoch_near
from ticketctl.stages.named import at_epoch, of_run, of_ticket
from ticketctl.stages.probe import asked_of
from ticketctl.stages.reproduce import Planned
from ticketctl.stages.subject import Opener
from ticketctl.stages.trained_for import needs
from ticketctl.stages.transfer import errands, frozen, opened
from ticketctl.stages.transfer_target import Target

FLAT = ("curves.plane.dimensions=1", "curves.plane.points=3", "curves.plane.set=test")


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "LAP", 0.0)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ws") / "lenet-digits" / "imp-00000000" / "seed-0"
    tiny.draw(folder, "train.epochs=3", "draw.rounds=1", "keep.epochs=[1,2]")
    return folder


def run_of(drawn: Path) -> Run:
    return open_run(drawn / "levels/1")


def opener(drawn: Path) -> Opener:
    return Opener(tiny.around(drawn.parents[2] / "cache"))


def looked(drawn: Path, *sets: str) -> Report:
    """The loss about the run of level 1."""
    asked = explored("interpolate", "plane", (*FLAT, *sets), None, None)
    assert isinstance(asked.recipe, InterpolateRecipe)
    (alone,) = between([of_run(run_of(drawn))], asked.recipe.chosen, asked.recipe.interpolate, {})
    return interpolate(interpolation(alone, asked, Seeds(0), opener(drawn)))


def test_the_weights_of_an_epoch_are_those_of_the_file_that_was_kept(drawn: Path) -> None:
    run = run_of(drawn)
    for epoch in (1, 2):
        found = opener(drawn).open(at_epoch(of_run(run), epoch))
        file = load_file(drawn / f"levels/1/states/epoch-{epoch}.safetensors")
        assert {*found.state.weights} == {*file}
        assert all(np.array_equal(found.state.weights[name], value) for name, value in file.items())
        assert found.said.run_id == run.manifest.run_id
    assert at_epoch(of_run(run), None) == of_run(run)


def test_the_loss_at_the_net_after_an_epoch_is_what_the_training_measured_then(drawn: Path) -> None:
    series = run_of(drawn).series()
    assert series is not None
    losses = dict(
        zip(series.epoch.tolist(), series.scalars[:, series.columns.index("test.loss")], strict=True)
    )
    for sets, epoch in ((("interpolate.epoch=1",), 1), (("interpolate.epoch=2",), 2), ((), 3)):
        centre = looked(drawn, *sets).arrays["plane/loss"][1]
        assert centre == pytest.approx(losses[epoch], rel=1e-5)


def test_two_epochs_and_the_end_are_three_reports_which_say_the_epoch(drawn: Path) -> None:
    found = [looked(drawn), looked(drawn, "interpolate.epoch=1"), looked(drawn, "interpolate.epoch=2")]
    assert len({one.id for one in found}) == len({one.subject.weights for one in found}) == 3
    assert [one.recipe.get("epoch") for one in found] == [None, 1, 2]
    assert [{row.protocol.get("epoch") for row in one.metrics} for one in found] == [{None}, {1}, {2}]
    assert all((run_of(drawn).folder / one.file_name).is_file() for one in found)
    again = looked(drawn, "interpolate.epoch=1")
    assert again.id == found[1].id


def test_a_probe_and_a_path_take_the_epoch_too(drawn: Path) -> None:
    asked = explored("probe", "weight-distribution", ("probe.epoch=1",), None, None)
    net = at_epoch(of_run(run_of(drawn)), asked.recipe.epoch)
    report = audit(asked_of(opener(drawn).open(net), asked, Seeds(0), tiny.around(drawn / "cache")))
    assert report.recipe["epoch"] == 1
    assert {row.protocol.get("epoch") for row in report.metrics} == {1}
    asked = explored("interpolate", None, ("interpolate.epoch=2",), None, None)
    assert isinstance(asked.recipe, InterpolateRecipe)
    levels = [of_ticket(open_ticket(drawn / "ticket"), level) for level in (0, 1)]
    (pair,) = between(levels, asked.recipe.chosen, asked.recipe.interpolate, {})
    kept = [open_run(drawn / f"levels/{level}").manifest.states for level in (0, 1)]
    wanted = [next(one.digest for one in each if one.name == "epoch-2") for each in kept]
    assert [opener(drawn).open(end).said.weights for end in pair.ends] == wanted


def test_where_the_mask_moves_it_is_the_one_of_that_epoch(tmp_path: Path) -> None:
    draws = {"method": "set", "density": "0.2", "every": "2it"}
    wanted = tiny.recipe("train.epochs=6", "keep.epochs=[2]", tables={**tiny.TABLES, "draw": draws})
    draw(wanted, 0, tmp_path / "seed-0", tiny.around(tmp_path / "cache"))
    (run,) = (open_run(path.parent) for path in (tmp_path / "seed-0").rglob("run.json"))
    early, late = (opener(tmp_path).open(net) for net in (at_epoch(of_run(run), 2), of_run(run)))
    assert early.mask is not None
    assert late.mask is not None
    for name, keep in early.mask.keep.items():
        assert not early.state.weights[name][~keep].any()
        assert bool(early.state.weights[name][~late.mask.keep[name]].any()) == (
            not keep.equal(late.mask.keep[name])
        )
    assert any(not keep.equal(late.mask.keep[name]) for name, keep in early.mask.keep.items())


def test_where_the_mask_moved_and_was_not_written_down_it_is_not_guessed(tmp_path: Path) -> None:
    """GMP prunes along the training, and its run has the first mask, which keeps all, and the last."""
    draws = {"method": "gmp", "density": "0.2"}
    wanted = tiny.recipe("train.epochs=6", "keep.epochs=[3]", tables={**tiny.TABLES, "draw": draws})
    draw(wanted, 0, tmp_path / "seed-0", tiny.around(tmp_path / "cache"))
    (run,) = (open_run(path.parent) for path in (tmp_path / "seed-0").rglob("run.json"))
    with pytest.raises(UsageError, match="after epoch 3: its mask moved, and the one of that time was not"):
        opener(tmp_path).open(at_epoch(of_run(run), 3))
    assert opener(tmp_path).open(of_run(run)).mask is not None


def test_a_transfer_takes_the_features_of_the_epoch(drawn: Path, tmp_path: Path) -> None:
    sets = ("metrics.transfer.epochs=1", "metrics.transfer.converged=false", "transfer.of=trained")
    target = written(tmp_path / "shades.safetensors", shades(40, 0), shades(20, 1))
    ids = []
    for epoch in ((), ("transfer.epoch=1",), ("transfer.epoch=2",)):
        asked = explored("transfer", None, (*sets, *epoch), None, None)
        assert isinstance(asked.recipe, TransferRecipe)
        (errand,) = errands([of_ticket(open_ticket(drawn / "ticket"), 1)], asked.recipe.transfer, False, {})
        place = Target(target, asked.recipe, Seeds(0), tiny.around(tmp_path / "cache"))
        report = audit(frozen(opened(errand, opener(drawn)), place, asked))
        assert report.recipe.get("epoch") == asked.recipe.epoch
        ids.append((report.id, report.subject.weights))
    states = {one.name: one.digest for one in run_of(drawn).manifest.states}
    assert [weights for _, weights in ids][1:] == [states["epoch-1"], states["epoch-2"]]
    assert len({*ids}) == 3


# ------------------------------------------------------------------------------------------------------------ refused


def test_an_epoch_that_was_not_kept_or_a_net_that_was_not_trained_is_refused(drawn: Path) -> None:
    for epoch in (0, 3, 7):
        with pytest.raises(
            UsageError, match=rf"after epoch {epoch} were not kept; .*\(keep\.epochs\): 1, 2$"
        ):
            at_epoch(of_run(run_of(drawn)), epoch)
    with pytest.raises(UsageError, match=r"untrained, and epoch 1 is of a training: name a run that kept it"):
        at_epoch(of_ticket(open_ticket(drawn / "ticket"), 1), 1)


def test_damaged_weights_of_an_epoch_are_told_by_their_file(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "seed-0")
    path = tmp_path / "seed-0/levels/1/states/epoch-1.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    run = open_run(tmp_path / "seed-0/levels/1")
    with pytest.raises(ArtifactError, match=r"states/epoch-1\.safetensors: not the file that the manifest"):
        opener(drawn).open(at_epoch(of_run(run), 1))
    assert opener(drawn).open(at_epoch(of_run(run), 2)).said.run_id == run.manifest.run_id


@pytest.mark.parametrize(
    ("command", "tables", "says"),
    [
        (
            "interpolate",
            {"interpolate": {"epoch": 1}, "onset": {}},
            "interpolate.epoch: an onset trains its own",
        ),
        ("interpolate", {"interpolate": {"epoch": -1}}, "interpolate.epoch: must be 0 or more, not -1"),
        ("probe", {"probe": {"epoch": 1, "metrics": ["forgetting"]}}, "forgetting is of a whole training"),
    ],
)
def test_what_is_of_no_single_epoch_is_refused(command: str, tables: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_explore(command, tables, where="mine.toml")
    assert says in str(refused.value)


def test_a_probe_of_an_epoch_leaves_out_what_is_of_the_whole_training() -> None:
    every, own = (parse_explore("probe", {"probe": keys}, where="x").chosen for keys in ({}, {"epoch": 1}))
    assert {*every} - {*own} >= {"forgetting", "convergence", "mask-intersection"}
    assert "linear-probe" in own


# -------------------------------------------------------------------------------------------------- tables of a paper


def table(folder: Path, **asked: Any) -> Planned:
    """Two epochs of a level and of the dense net, of ten that are trained."""
    recipe = recipe_file(folder, epochs=10)
    plane = {"metric": "interpolate.plane", "unit": "number", "explore": file(folder, "plane", PLANE)}
    spread = {"over": "epoch", "sparsity": "50"}
    return planned(folder, row("plain", recipe, "5", "10", **spread, **plane),
                   row("soft", recipe, "5", "10", tweaks=["ls"], **spread, **plane), **asked)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Planned]:
    """The table at three tenths of its length, and where it was made."""
    folder = tmp_path_factory.mktemp("made")
    plan = table(folder, scale=Fraction(3, 10))
    assert carry(plan, folder).audited == 4
    return folder, plan


@pytest.mark.long
def test_cells_of_epochs_are_measured_of_weights_that_were_kept_for_them(made: tuple[Path, Planned]) -> None:
    tmp_path, plan = made
    assert [use.sets for use in plan.uses] == [("keep.epochs=[2]",), ("keep.epochs=[2]",)]  # of three
    assert len(exams(plan)) == 4
    found = lines(plan, tmp_path)
    assert all(line.ours is not None for line in found.values()), [line.why for line in found.values()]
    assert len({line.ours for line in found.values()}) == 4
    again = carry(plan, tmp_path)
    assert (again.audited, again.trained, again.drawn) == (0, 0, 0)


def test_the_landscapes_of_both_epochs_are_drawn_and_say_which(made: tuple[Path, Planned]) -> None:
    shelf = gallery([str(made[0] / "runs")], made[0]).shelf
    sheets = list(landscape.gather(shelf, params=landscape.Params()))
    assert [one.title.rpartition(": ")[2] for one in sheets] == [
        "loss around the net after the last epoch", "loss around the net after epoch 2",
    ]  # fmt: skip
    assert len({one.name for one in sheets}) == 2
    assert all(len(one.sources) == 2 for one in sheets)
    assert not {*sheets[0].sources} & {*sheets[1].sources}


def test_a_cell_whose_epoch_was_not_kept_says_so(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, epochs=10)
    carry(planned(tmp_path, row("plain", recipe, "50"), scale=Fraction(3, 10)), tmp_path)
    found = lines(table(tmp_path), tmp_path)
    assert found["plain", "5"].why == "its weights after 50 % of its training were not kept (keep.epochs)"
    assert "no interpolate of it; run: ticketctl interpolate" in found["plain", "10"].why


def test_a_share_of_a_training_is_the_kept_epoch_beside_it(drawn: Path) -> None:
    manifest = run_of(drawn).manifest  # 1 and 2 of 3
    shares = (Fraction(1, 100), Fraction(1, 3), Fraction(1, 2), Fraction(2, 3), Fraction(99, 100))
    assert [epoch_near(manifest, share) for share in shares] == [1, 1, 2, 2, 2]
    begin = manifest.states[0].model_copy(update={"name": "epoch-0"})
    assert epoch_near(manifest.model_copy(update={"states": (begin,)}), Fraction(1, 100)) is None
    none = manifest.model_copy(update={"states": ()})
    assert epoch_near(none, Fraction(1, 2)) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cells": ["11"]}, "a cell's name is an epoch of the training, from 1 to 10, not '11'"),
        ({"cells": ["0"]}, "from 1 to 10, not '0'"),
        ({"cells": ["half"]}, "from 1 to 10, not 'half'"),
        ({"of": "twins"}, 'over = "epoch" is for probes and interpolations of trained nets'),
        ({"metric": "test.accuracy"}, 'test.accuracy: over = "epoch" is for probes and interpolations'),
        ({"sparsity": None}, "say sparsity where `over` is a recipe key, target or epoch"),
    ],
)
def test_rows_of_epochs_that_cannot_be(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    one = row("a", recipe_file(tmp_path, epochs=10), "5", metric="interpolate.plane", over="epoch", sparsity="50",
              explore="interpolate/landscape") | changes  # fmt: skip
    with pytest.raises(UsageError, match=r"row 'a'") as refused:
        planned(tmp_path, {key: value for key, value in one.items() if value is not None})
    assert says in str(refused.value)


def test_an_onset_without_noise_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    recipe, still = recipe_file(tmp_path), {"train.batch": 1300}
    plan = planned(tmp_path, row("onset", recipe, "0", of="onset", metric="interpolate.onset", unit="epochs",
                                 explore=file(tmp_path, "onset", ONSET), sets=still))  # fmt: skip
    todo, asked = tasks(plan), exams(plan)
    with pytest.raises(UsageError, match=r"without SGD noise, all 1,238 images in every step"):
        survey(plan, todo, tiny.around(tmp_path / "cache"), timed=False, faults=None,
               trained=needs(plan, todo, asked))  # fmt: skip
    assert not (tmp_path / "runs").exists()
