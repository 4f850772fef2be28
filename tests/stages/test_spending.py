"""A spend pays for nothing twice, and what it does not train is what training would have given."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.stages import tiny
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.errors import MismatchError, StoppedError, UsageError
from ticketctl.recipe_files import parse_recipe
from ticketctl.stages import spend as spend_stage
from ticketctl.stages.spent import as_record, table
from ticketctl.train.loop import Loop

CASES: dict[str, tuple[str, ...]] = {
    "imp from the initialisation": (),
    "rewound to 2 epochs": ("train.epochs=4", "draw.rewind=2ep", "keep.epochs=[1,3]"),
    "rewound into an epoch, schedule restarted": ("draw.rewind=3it", "draw.schedule=restart"),
    "one shot, other streams": (
        "draw.method=omp", "draw.density=0.3", "seeds.order=7", "seeds.init=5", "train.schedule=constant",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES.keys())
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ticket, Path]:
    folder = tmp_path_factory.mktemp("drawn") / "seed-0"
    tables = {**tiny.TABLES, "draw": {"method": "imp", "rounds": 2}}
    recipe = tiny.recipe(*request.param, tables=tables)
    return tiny.run_draw(recipe, 0, folder, tiny.around(folder.parent / "cache")), folder


@pytest.mark.long
def test_a_level_under_the_draws_recipe_and_seed_is_found_and_not_trained(
    drawn: tuple[Ticket, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, folder = drawn
    before = tiny.files_below(folder)
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained"))
    spent = tiny.spend(folder)
    last = ticket.manifest.draw.rounds
    assert [(one.level, one.trained) for one in spent] == [(level, False) for level in range(last + 1)]
    assert [one.run.folder for one in spent] == [folder / "levels" / str(one.level) for one in spent]
    assert tiny.files_below(folder) == before


def test_what_is_found_is_bit_for_bit_what_training_gives(drawn: tuple[Ticket, Path], tmp_path: Path) -> None:
    """Levels taken away, the same command trains them, the dense one too: every file of every run is the same."""
    _, folder = drawn
    copy = tmp_path / "seed-0"
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "levels")
    spent = tiny.spend(copy)
    assert all(one.trained for one in spent)
    for one in spent:
        truth = tiny.files_below(folder / "levels" / str(one.level))
        ours = tiny.files_below(one.run.folder)
        assert ours.keys() == truth.keys()
        assert [name for name in truth if ours[name] != truth[name]] == []


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A draw rewound to its second epoch of four, with controls."""
    folder = tmp_path_factory.mktemp("late") / "seed-0"
    tiny.draw(folder, "train.epochs=4", "draw.rewind=2ep", "draw.controls=true")
    return folder


def test_another_seed_trains_from_the_same_start_in_another_order(late: Path) -> None:
    spent = tiny.spend(late, levels="2", seeds=[0, 1])
    assert [(one.level, one.seed, one.trained) for one in spent] == [
        (0, 0, False), (0, 1, True), (2, 0, False), (2, 1, True),
    ]  # fmt: skip
    for ours, theirs in ((spent[1].run, spent[0].run), (spent[3].run, spent[2].run)):
        assert ours.manifest.start == theirs.manifest.start
        assert ours.manifest.weights.digest != theirs.manifest.weights.digest
        assert ours.manifest.run_id != theirs.manifest.run_id
    again = tiny.spend(late, levels="2", seeds=[0, 1])
    assert not any(one.trained for one in again)
    assert [one.run.manifest for one in again] == [one.run.manifest for one in spent]


def test_another_recipe_trains_in_a_folder_of_its_own(late: Path) -> None:
    plain, other = tiny.spend(late, levels="1"), tiny.spend(late, "train.lr=0.01", levels="1")
    assert all(one.trained for one in other)
    assert {one.run.folder.parent for one in other} != {one.run.folder.parent for one in plain}
    third = tiny.spend(late, "train.lr=0.02", levels="1")
    assert {one.run.folder.parent for one in third}.isdisjoint({one.run.folder.parent for one in other})


def test_a_rewound_level_goes_on_with_the_schedule_or_runs_all_of_it(late: Path) -> None:
    goes_on, again = (
        tiny.spend(late, levels="2")[1].run,
        tiny.spend(late, "spend.schedule=restart", levels="2")[1].run,
    )
    assert (goes_on.manifest.start.step, again.manifest.start.step) == (10, 0)
    assert (goes_on.manifest.cost.steps, again.manifest.cost.steps) == (10, 20)
    assert goes_on.manifest.start.digest == again.manifest.start.digest
    first = [column(run, "lr")[1] for run in (goes_on, again)]
    assert first == pytest.approx([cosine(14), cosine(4)])  # rates of the last step of the first epoch


def cosine(step: int) -> float:
    return 0.025 * (1 + math.cos(math.pi * step / 20))


def column(run: Run, name: str) -> list[float]:
    series = run.series()
    assert series is not None
    values: list[float] = series.scalars[:, series.columns.index(name)].tolist()
    return values


@pytest.mark.long
@pytest.mark.parametrize(
    ("epochs", "sets", "start", "steps"),
    [
        (2, (), 5, 10),
        (6, (), 15, 30),
        (None, ("train.epochs=6",), 15, 30),
        (None, ("train.batch=512",), 6, 12),
        (None, ("train.batch=128",), 20, 40),
        (1, ("train.batch=1000", "train.drop_last=true"), 0, 1),
        (1, ("train.batch=700",), 1, 2),
    ],
)
def test_a_rewound_level_enters_another_schedule_at_the_same_share_of_it(
    late: Path, epochs: int | None, sets: tuple[str, ...], start: int, steps: int
) -> None:
    """Two of four epochs are one of two and three of six, whatever the batch; and something is left to train."""
    typed = tiny.Typed(sets=sets, epochs=epochs)
    chosen = tiny.prepare_spend(tiny.Wanted(str(late), "1", None, False, late.parent, typed))
    around = tiny.around(late.parent / "cache")
    run = list(tiny.run_spend(chosen.jobs, chosen.recipe, chosen.draw_seeds, around))[1].run.manifest
    assert (run.start.step, run.cost.steps) == (start, steps - start)
    assert run.status == "done"


# -------------------------------------------------------------------------------------------------------- controls


def controls(folder: Path) -> dict[str, Ticket]:
    return {
        kind: open_ticket(folder / "controls" / kind / "ticket")
        for kind in ("shuffled", "reinit", "random-erk", "inverted")
    }


def per_layer(ticket: Ticket, level: int) -> dict[str, int]:
    return {name: int(keep.sum()) for name, keep in ticket.mask(level).items()}


def weights(ticket: Ticket) -> dict[str, np.ndarray[Any, Any]]:
    return {name: tensor.array() for name, tensor in ticket.init().items()}


def test_shuffled_keeps_as_many_in_each_layer_and_not_the_same_ones(late: Path) -> None:
    ticket, shuffled = open_ticket(late / "ticket"), controls(late)["shuffled"]
    for level in (1, 2):
        assert per_layer(shuffled, level) == per_layer(ticket, level)
        for name, keep in ticket.mask(level).items():
            assert (shuffled.mask(level)[name] != keep).any(), name
    for name in ticket.mask(1):
        assert not (shuffled.mask(2)[name] & ~shuffled.mask(1)[name]).any()
    for name, value in weights(ticket).items():
        np.testing.assert_array_equal(weights(shuffled)[name], value)


def test_reinit_has_the_same_mask_over_other_weights(late: Path) -> None:
    ticket, reinit = open_ticket(late / "ticket"), controls(late)["reinit"]
    for level in (1, 2):
        for name, keep in ticket.mask(level).items():
            np.testing.assert_array_equal(reinit.mask(level)[name], keep)
    for name, value in weights(ticket).items():
        if name.endswith("weight"):
            assert (weights(reinit)[name] != value).mean() > 0.99
    assert (reinit.manifest.init.role, reinit.manifest.init.step) == ("init", 0)


def test_random_erk_keeps_as_many_in_all_spread_otherwise(late: Path) -> None:
    ticket, random = open_ticket(late / "ticket"), controls(late)["random-erk"]
    for level in (1, 2):
        assert sum(per_layer(random, level).values()) == sum(per_layer(ticket, level).values())
        assert per_layer(random, level) != per_layer(ticket, level)
        for name, keep in random.mask(level).items():
            assert not (keep & ~random.mask(level - 1)[name]).any()


def test_controls_are_spent_like_tickets_from_where_they_start(late: Path) -> None:
    spent = tiny.spend(late, levels="2", seeds=[3], controls=True)
    kinds = {one.control or ("ticket" if one.level else "dense"): one.run.manifest for one in spent}
    assert list(kinds) == ["dense", "ticket", "shuffled", "reinit", "random-erk", "inverted"]
    assert {kind: run.start.step for kind, run in kinds.items()} == {
        "dense": 0, "ticket": 10, "shuffled": 10, "reinit": 0, "random-erk": 10, "inverted": 10,
    }  # fmt: skip
    assert len({run.kept for kind, run in kinds.items() if kind != "dense"}) == 1
    assert kinds["ticket"].start.digest == kinds["shuffled"].start.digest == kinds["random-erk"].start.digest
    assert len({run.weights.digest for run in kinds.values()}) == 6


def test_controls_name_the_ticket_they_control(late: Path) -> None:
    ticket = open_ticket(late / "ticket")
    for kind, control in controls(late).items():
        record = control.manifest.control
        assert record is not None
        assert (record.kind, record.of) == (kind, ticket.manifest.ticket_id)
        assert list(control.manifest.draw.parents) == [ticket.manifest.ticket_id]


def test_controls_that_were_not_drawn_are_refused(drawn: tuple[Ticket, Path]) -> None:
    with pytest.raises(UsageError, match="drawn without controls"):
        tiny.spend(drawn[1], controls=True)


# ------------------------------------------------------------------------------------------------------ divergence


def test_a_diverged_run_is_kept_and_flagged_and_the_others_go_on(tmp_path: Path, monkeypatch: Any) -> None:
    """Seed 2 of five is poisoned: four are averaged, one is counted."""
    folder = tmp_path / "seed-0"
    tiny.draw(folder)
    step = Loop._step

    def poisoned(self: Loop) -> None:
        if self.order.seeds.root == 2 and self.progress.step == 6:
            self.model.fc3.bias.data.fill_(math.nan)
        step(self)

    monkeypatch.setattr(Loop, "_step", poisoned)
    heard = tiny.Heard()
    spent = tiny.spend(folder, "spend.dense=false", levels="1", seeds=[0, 1, 2, 3, 4], reporter=heard)
    assert [one.run.manifest.status for one in spent] == ["done", "done", "diverged", "done", "done"]
    assert any("diverged" in note or "left out of every mean" in note for note in heard.notes)
    bad = spent[2].run
    assert all(np.isfinite(tensor.array()).all() for tensor in bad.weights().values())
    [row] = table(spent)
    assert (row.n, row.diverged) == (4, 1)
    sound = [float(one.run.manifest.metrics["test.accuracy"]) for one in spent if one.seed != 2]
    assert row.values["test.accuracy"] == pytest.approx(np.mean(sound))
    assert row.values["test.accuracy.std"] == pytest.approx(np.std(sound, ddof=1))
    record = as_record(row)
    assert (record["n"], record["diverged"], len(record["runs"])) == (4, 1, 5)
    monkeypatch.undo()
    again = tiny.spend(folder, "spend.dense=false", levels="1", seeds=[0, 1, 2, 3, 4])
    assert not any(one.trained for one in again)
    assert again[2].run.manifest.status == "diverged"


@pytest.mark.long
def test_a_net_with_batchnorm_diverges_into_a_run_too(tmp_path: Path) -> None:
    """Its running statistics leave the finite numbers before, or without, the loss."""
    folder = tmp_path / "seed-0"
    sets = (
        "model.name=resnet20", "data.validation=last:1400", "train.batch=19", "train.epochs=2", "draw.rounds=1",
        "train.momentum=0.0", "train.schedule=constant",
    )  # fmt: skip
    tiny.draw(folder, *sets)
    for lr in ("1e4", "1e30"):
        spent = tiny.spend(folder, f"train.lr={lr}", levels="1")
        assert all(one.trained for one in spent)
        assert {one.run.manifest.status for one in spent} == {"diverged"}
        for one in spent:
            assert all(np.isfinite(tensor.array()).all() for tensor in one.run.weights().values())
        rows = table(spent)
        assert all(row.n == 0 and row.diverged == 1 and row.gap is None for row in rows)
        json.dumps([as_record(row) for row in rows], allow_nan=False)


# --------------------------------------------------------------------------------------------------- interruptions


@pytest.mark.long
def test_a_spend_that_is_stopped_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "seed-0"
    tiny.draw(folder)
    copy = tmp_path / "copy" / "seed-0"
    shutil.copytree(folder, copy)
    tiny.spend(folder, levels="1,2", seeds=[1])
    truth = tiny.files_below(folder)
    stops = 0
    while True:
        asked = iter(range(10**6))
        try:
            tiny.spend(
                copy, levels="1,2", seeds=[1], stop=lambda asked=asked: 75 if next(asked) >= 15 else None
            )
            break
        except StoppedError:
            stops += 1
            assert stops < 50
    assert stops >= 2
    assert tiny.files_below(copy) == truth
    assert not list(copy.rglob("work"))


def test_what_a_kill_between_run_and_sweep_leaves_is_swept(tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "seed-0"
    tiny.draw(folder)
    monkeypatch.setattr("ticketctl.stages.spend.shutil.rmtree", lambda *arguments, **options: None)
    [dense, _] = tiny.spend(folder, levels="1", seeds=[1])
    assert (dense.run.folder / "work").is_dir()
    monkeypatch.undo()
    tiny.spend(folder, levels="1", seeds=[1])
    assert not list(folder.rglob("work"))


def test_a_run_of_another_training_is_never_overwritten(drawn: tuple[Ticket, Path], tmp_path: Path) -> None:
    """The same folder, the same recipe, but the data changed underneath: refused, and the old run stays whole."""
    job = SimpleNamespace(folder=tmp_path, drawn=None, level=1)
    (tmp_path / "run.json").write_bytes((drawn[0].folder.parent / "levels" / "1" / "run.json").read_bytes())
    for entry in open_run(drawn[0].folder.parent / "levels" / "1").manifest.files:
        target = tmp_path / entry.path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((drawn[0].folder.parent / "levels" / "1" / entry.path).read_bytes())
    with pytest.raises(MismatchError, match="another training"):
        spend_stage._there(job, "0" * 64)
    assert open_run(tmp_path).manifest.status == "done"


def test_the_dense_net_is_trained_once_for_all_draws_of_a_net_on_its_data(tmp_path: Path) -> None:
    subject = tmp_path / "lenet-300-100-digits"
    one, other = subject / "imp-00000001" / "seed-0", subject / "random-00000002" / "seed-0"
    tiny.draw(one)
    tables = {**tiny.TABLES, "draw": {"method": "random", "density": "1/2"}}
    tiny.run_draw(parse_recipe(tables, where="test"), 0, other, tiny.around(tmp_path / "cache"))
    dense, ticket = tiny.spend(other)
    assert not dense.trained
    assert dense.run.folder == one / "levels" / "0"
    (one / "levels" / "0" / "run.json").write_text("damaged")
    again, _ = tiny.spend(other)
    assert again.trained
    assert again.run.manifest.weights.digest == dense.run.manifest.weights.digest
    assert ticket.level == 1


def test_inverted_keeps_what_the_dense_net_ranked_lowest(late: Path) -> None:
    inverted = controls(late)["inverted"]
    dense = open_run(late / "levels" / "0").weights()
    for level in (1, 2):
        keep = inverted.mask(level)
        magnitude = {name: np.abs(dense[name].array()) for name in keep}
        kept = np.concatenate([magnitude[name][keep[name]].ravel() for name in keep])
        lost = np.concatenate([magnitude[name][~keep[name]].ravel() for name in keep])
        assert kept.max() <= lost.min()
        assert kept.size == sum(per_layer(open_ticket(late / "ticket"), level).values())
