"""A draw from its recipe to its files: repeatable, refused when it is another, and honest about its cost."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.stages import tiny
from ticketctl.artifacts.manifest import read_provenance
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.artifacts.verify import verify_run, verify_ticket
from ticketctl.errors import DivergedError, MismatchError, StoppedError, UsageError
from ticketctl.stages import draw as stage
from ticketctl.stages.estimate import estimate_draw
from ticketctl.stages.finished import finished_draw
from ticketctl.stages.intent import read_intent
from ticketctl.train.loop import Loop


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ticket, Path]:
    folder = tmp_path_factory.mktemp("drawn") / "seed-0"
    return tiny.draw(folder, "draw.rewind=3it", "draw.controls=true", "keep.epochs=[1]"), folder


SAME = ("draw.rewind=3it", "draw.controls=true", "keep.epochs=[1]")


def test_every_file_passes_verification(drawn: tuple[Ticket, Path]) -> None:
    _, folder = drawn
    tickets = [folder / "ticket", *sorted((folder / "controls").glob("*/ticket"))]
    runs = sorted((folder / "levels").iterdir())
    assert (len(tickets), len(runs)) == (5, 3)
    for path in tickets:
        assert all(check.ok for check in verify_ticket(path)), path
    for path in runs:
        assert all(check.ok for check in verify_run(path)), path
    assert not (folder / "work").exists()


def test_another_folder_gets_the_same_bytes(drawn: tuple[Ticket, Path], tmp_path: Path) -> None:
    _, folder = drawn
    tiny.draw(tmp_path / "elsewhere" / "out", *SAME)
    assert tiny.files_below(tmp_path / "elsewhere" / "out") == tiny.files_below(folder)


def test_what_differs_between_executions_stands_in_provenance_alone(drawn: tuple[Ticket, Path]) -> None:
    _, folder = drawn
    record = read_provenance(folder / "ticket")
    [session] = record["sessions"]
    assert session["command"] == ["ticketctl", "test"]
    assert float(session["seconds"]) > 0
    assert record["environment"]["torch"] == torch.__version__
    text = b"".join(tiny.files_below(folder).values())
    for secret in (str(folder).encode(), b"/home", session["started"].encode()):
        assert secret not in text


def test_the_same_call_again_returns_the_ticket_and_trains_nothing(
    drawn: tuple[Ticket, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, folder = drawn
    before = tiny.files_below(folder)
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained"))
    assert tiny.draw(folder, *SAME).manifest == ticket.manifest
    found = finished_draw(tiny.recipe(*SAME), 0, folder)
    assert found is not None
    assert found.manifest == ticket.manifest
    assert tiny.files_below(folder) == before


def test_controls_that_are_asked_for_later_are_those_that_were_drawn_at_once(
    drawn: tuple[Ticket, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, folder = tuple(item for item in SAME if "controls" not in item), tmp_path / "seed-0"
    tiny.draw(folder, *plain)
    assert not (folder / "controls").exists()
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained"))
    tiny.draw(folder, *SAME)
    ours, theirs = tiny.files_below(folder / "controls"), tiny.files_below(drawn[1] / "controls")
    assert ours.keys() == theirs.keys()
    for kind in ("shuffled", "reinit", "random-erk", "inverted"):
        for name in ("mask.safetensors", "rewind.safetensors", "ladder.zarr.zip"):
            assert ours[f"{kind}/ticket/{name}"] == theirs[f"{kind}/ticket/{name}"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("sets", "seed", "said"),
    [
        (("train.lr=0.06",), 0, "train.lr was '0.05', is '0.06'"),
        ((), 1, "seed was 0, is 1"),
        (("draw.rounds=3",), 0, "draw.rounds was 2, is 3"),
        (("train.nesterov=true",), 0, "train.nesterov was None, is True"),
    ],
)
@pytest.mark.parametrize("done", [False, True], ids=["begun", "done"])
def test_another_draw_does_not_go_on_here(
    sets: tuple[str, ...], seed: int, said: str, done: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "seed-0"
    if done:
        tiny.draw(folder)
    else:
        asked = iter(range(1000))
        with pytest.raises(StoppedError):
            tiny.draw(folder, stop=lambda: 75 if next(asked) > 12 else None)
    before = tiny.files_below(folder)
    with pytest.raises(MismatchError) as refused:
        tiny.draw(folder, *sets, seed=seed)
    assert refused.value.exit_code == 8
    assert said in str(refused.value)
    assert tiny.files_below(folder) == before


def test_another_version_does_not_go_on_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = iter(range(1000))
    with pytest.raises(StoppedError):
        tiny.draw(tmp_path / "seed-0", stop=lambda: 75 if next(asked) > 12 else None)
    monkeypatch.setattr(stage, "__version__", "9.9.9")
    with pytest.raises(MismatchError, match=r"versions\.ticketctl was '.*', is '9\.9\.9'"):
        tiny.draw(tmp_path / "seed-0")


@pytest.mark.long
def test_the_thread_count_of_the_first_session_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belongs to the bits: begun on two cores, gone on with on one. Two threads agree with themselves."""
    sets = ("train.threads=0", "draw.rounds=1")
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    tiny.draw(tmp_path / "truth" / "seed-0", *sets)
    folder, asked = tmp_path / "other" / "seed-0", iter(range(1000))
    with pytest.raises(StoppedError):
        tiny.draw(folder, *sets, stop=lambda: 75 if next(asked) > 12 else None)
    found = read_intent(folder)
    assert found is not None
    assert found["settled"]["threads"] == 2
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0})
    ticket = tiny.draw(folder, *sets)
    assert torch.get_num_threads() == 2
    assert ticket.manifest.draw.recipe["train"]["threads"] == 2
    assert tiny.files_below(folder) == tiny.files_below(tmp_path / "truth" / "seed-0")


def test_masks_alone_are_kept_on_request(drawn: tuple[Ticket, Path], tmp_path: Path) -> None:
    ticket, _ = drawn
    bare = tiny.draw(tmp_path / "seed-0", "draw.rewind=3it", "draw.keep=masks")
    assert not (tmp_path / "seed-0" / "levels").exists()
    for level in range(3):
        for name, keep in bare.mask(level).items():
            np.testing.assert_array_equal(keep, ticket.mask(level)[name])


def test_levels_stopped_anywhere_come_out_the_same(drawn: tuple[Ticket, Path], tmp_path: Path) -> None:
    _, folder = drawn
    again, stops = tmp_path / "seed-0", 0
    while stops < 50:
        asked = iter(range(10**6))
        try:
            tiny.draw(again, *SAME, stop=lambda asked=asked: 130 if next(asked) >= 11 else None)
            break
        except StoppedError:
            stops += 1
    assert stops > 2
    assert tiny.files_below(again) == tiny.files_below(folder)
    # a stop among the controls comes after the ticket is sealed: its provenance does not grow any more
    assert 2 <= len(read_provenance(again / "ticket")["sessions"]) <= stops + 1


def test_the_ticket_carries_the_rewound_weights_and_each_run_its_own(drawn: tuple[Ticket, Path]) -> None:
    ticket, folder = drawn
    dense, last = (open_run(folder / "levels" / level) for level in ("0", "2"))
    assert (ticket.manifest.init.role, ticket.manifest.init.step) == ("rewind", 3)
    assert dense.manifest.start.role == "init"
    assert (last.manifest.start.role, last.manifest.start.step) == ("rewind", 3)
    assert last.manifest.start.digest == ticket.manifest.init.digest != dense.manifest.start.digest
    kept = last.mask()
    assert kept is not None
    for name, keep in kept.items():
        np.testing.assert_array_equal(keep, ticket.mask()[name])
        assert not last.weights()[name].array()[~keep].any()
    assert {state.name for state in dense.manifest.states} == {"best_val", "epoch-1"}


def test_series_hold_a_row_per_epoch_and_a_bit_per_image(drawn: tuple[Ticket, Path]) -> None:
    _, folder = drawn
    for level, first in ((0, 0), (2, 3)):
        run = open_run(folder / "levels" / str(level))
        series = run.series()
        assert series is not None
        assert series.step.tolist() == [first, 5, 10]
        assert series.epoch.tolist() == [0, 1, 2]
        assert series.correct_bits is not None
        assert series.forget_count is not None
        assert series.correct_bits.shape == (2, math.ceil(1238 / 8))
        assert series.forget_count.shape == (1238,)
        last = dict(zip(series.columns, series.scalars[-1].tolist(), strict=True))
        for name in ("val.accuracy", "test.accuracy", "train.loss", "distance.masked"):
            assert last[name] == pytest.approx(float(run.manifest.metrics[name]), rel=1e-6)


def test_a_levels_line_says_what_its_run_measured(drawn: tuple[Ticket, Path]) -> None:
    ticket, folder = drawn
    for level in ticket.manifest.draw.levels:
        run = open_run(folder / "levels" / str(level.level)).manifest
        assert dict(level.metrics) == dict(run.metrics)
        assert level.kept == run.kept


@pytest.mark.long
@pytest.mark.parametrize("sets", [(), ("train.drop_last=true",), ("train.batch=100", "draw.rewind=7it")])
def test_the_cost_is_the_steps_and_images_that_were_trained(
    sets: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, list[int]] = {}
    step = Loop._step

    def counted(self: Loop) -> None:
        seen = self.progress.seen
        step(self)
        shown.setdefault(self.order.title[:7], []).append(self.progress.seen - seen)

    monkeypatch.setattr(Loop, "_step", counted)
    folder = tmp_path / "seed-0"
    estimate = estimate_draw(tiny.recipe(*sets), 0, tiny.around(tmp_path / "cache"))
    assert not shown
    ticket = tiny.draw(folder, *sets)
    for level in range(3):
        cost = open_run(folder / "levels" / str(level)).manifest.cost
        assert (cost.steps, cost.images) == (len(shown[f"level {level}"]), sum(shown[f"level {level}"]))
    assert ticket.manifest.draw.cost.steps == sum(map(len, shown.values())) == estimate["steps"]
    assert ticket.manifest.draw.cost.images == sum(map(sum, shown.values()))
    assert estimate["kept"] == ticket.manifest.mask.kept


def test_an_estimate_writes_nothing_and_leaves_no_trace(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = torch.random.get_rng_state()
    found = estimate_draw(tiny.recipe(), 0, tiny.around(tmp_path / "cache"))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not list((tmp_path / "here").iterdir())
    assert found["trainings"] == 3
    assert found["seconds"] > 0


def test_a_batch_larger_than_the_data_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="larger than the 1238 training images"):
        tiny.draw(tmp_path / "seed-0", "train.batch=5000", "train.drop_last=true")
    assert not (tmp_path / "seed-0" / "intent.json").exists()


def test_a_ticket_copied_elsewhere_is_spent_there(drawn: tuple[Ticket, Path], tmp_path: Path) -> None:
    _, folder = drawn
    shutil.copytree(folder / "ticket", tmp_path / "lone" / "ticket")
    assert open_ticket(tmp_path / "lone" / "ticket").manifest.ticket_id == drawn[0].manifest.ticket_id
    spent = tiny.spend(tmp_path / "lone", levels="2")
    truth = open_run(folder / "levels" / "2")
    assert all(one.trained for one in spent)
    assert spent[1].run.manifest.run_id == truth.manifest.run_id
    assert (spent[1].run.folder / "final.safetensors").read_bytes() == (
        folder / "levels" / "2" / "final.safetensors"
    ).read_bytes()


def test_controls_can_be_had_after_the_draw_and_cost_no_training(tmp_path: Path) -> None:
    asked_first = tiny.draw(tmp_path / "with" / "seed-0", "draw.controls=true")
    plain = tiny.draw(tmp_path / "without" / "seed-0", "draw.controls=false")
    assert not (tmp_path / "without" / "seed-0" / "controls").exists()
    trained = {
        path: path.stat().st_mtime_ns
        for path in (plain.folder.parent / "levels").rglob("*")
        if path.is_file()
    }
    tiny.draw(tmp_path / "without" / "seed-0", "draw.controls=true")
    for path, when in trained.items():
        assert path.stat().st_mtime_ns == when
    for kind in ("shuffled", "reinit", "random-erk", "inverted"):
        late = tiny.files_below(tmp_path / "without" / "seed-0" / "controls" / kind)
        soon = tiny.files_below(asked_first.folder.parent / "controls" / kind)
        assert late.keys() == soon.keys()
        assert late["ticket/mask.safetensors"] == soon["ticket/mask.safetensors"]
        assert late["ticket/rewind.safetensors"] == soon["ticket/rewind.safetensors"]


@pytest.mark.parametrize(("optimizer", "usual"), [("sgd", "0.1"), ("adam", "0.001")])
def test_after_a_divergence_the_rate_that_it_had_and_a_usual_one_are_named(
    optimizer: str, usual: str, tmp_path: Path
) -> None:
    said = rf"it had train\.lr = 1e\+30; try a lower rate, e\.g\. --set train\.lr={usual}$"
    with pytest.raises(DivergedError, match=said):
        tiny.draw(tmp_path / "draw", "train.lr=1e30", f"train.optimizer={optimizer}")
