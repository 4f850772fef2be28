"""A training stopped anywhere and begun again ends in the same bytes as one that was never disturbed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train import small
from ticketctl.draws import imp
from ticketctl.errors import MismatchError, StoppedError
from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.train import evaluate, fitfiles, loop
from ticketctl.train.lab import Level, Target

ALWAYS, NEVER = 2 * loop.CHECKPOINT_SECONDS, 0.0
"""Seconds between two looks at the clock: a checkpoint is due at every step, or at none."""


@dataclass(frozen=True)
class Case:
    """A draw of two levels."""

    train: dict[str, Any] = field(default_factory=dict)
    rewind: int = 0
    restart: bool = False
    padding: int | None = None
    tick: float = NEVER
    keep: tuple[int, ...] = ()
    every: int = 4
    """One question in this many is answered with a stop, one written file in this many with a kill."""

    def draw(self, folder: Path, stop: Callable[[], int | None] = small.never) -> list[Level]:
        """As a new process would: everything is built anew, only the folder is what it was."""
        spec: TrainSpec = small.train_spec(**self.train)
        bench = small.bench(spec, stop=stop, clock=small.Clock(self.tick), padding=self.padding)
        lab = small.lab(folder, bench, rewind=self.rewind, restart=self.restart, keep=self.keep)
        return list(imp.draw(lab, target=Target(rounds=2), params=imp.Params(rate=Fraction(1, 3))))


MOMENTUM = {"momentum": 0.9, "weight_decay": 1e-3}
CASES = {
    "never a checkpoint": Case(MOMENTUM, every=1),
    "a checkpoint at every step": Case(MOMENTUM, tick=ALWAYS),
    "augmented, mid-epoch rewind": Case(
        {**MOMENTUM, "nesterov": True}, rewind=2, padding=1, tick=ALWAYS, every=1
    ),
    "rewind, schedule restarted": Case({**MOMENTUM, "schedule": "cosine"}, rewind=3, restart=True),
    "adam, kept states": Case({"optimizer": "adam", "lr": 0.01, "drop_last": True}, tick=ALWAYS, keep=(0, 2)),
    "no momentum, bf16, rarely evaluated": Case(
        {"momentum": 0.0, "precision": "bf16", "eval_every": 2, "epochs": 3}, rewind=4, tick=ALWAYS
    ),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


class StopAt:
    """Asks to stop at the n-th question (from 0), and counts the questions."""

    def __init__(self, at: int | None = None, code: int = 75) -> None:
        self.at, self.code, self.asked = at, code, 0

    def __call__(self) -> int | None:
        self.asked += 1
        return self.code if self.at is not None and self.asked > self.at else None


@pytest.fixture(autouse=True)
def _quick_and_fine_grained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions inside evaluations too, and no waiting for the disk: these tests kill nobody."""
    monkeypatch.setattr(evaluate, "BATCH", 4)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", float("inf"))
    monkeypatch.setattr("os.fsync", lambda handle: None)


def assert_same(levels: list[Level], folder: Path, truth: list[Level], undisturbed: Path) -> None:
    """What the draw handed out, and every result on disk; checkpoints and superseded files may be left in work."""
    assert len(levels) == len(truth)
    for ours, theirs in zip(levels, truth, strict=True):
        assert ours.mask.equal(theirs.mask)
        assert ours.fit is not None
        assert theirs.fit is not None
        assert dict(ours.fit.notes) == dict(theirs.fit.notes)
        assert torch.equal(ours.fit.history.nan_to_num(-7), theirs.fit.history.nan_to_num(-7))
        assert ours.fit.tensors.keys() == theirs.fit.tensors.keys()
        for name in ours.fit.tensors.keys() - {"history"}:
            assert torch.equal(ours.fit.tensors[name], theirs.fit.tensors[name]), name
    found, wanted = small.files_below(folder), small.files_below(undisturbed)
    assert wanted.items() <= found.items(), sorted(name for name in wanted if wanted[name] != found.get(name))
    extra = [
        name for name in found.keys() - wanted.keys() if "checkpoint" not in name and "best-" not in name
    ]
    assert not extra


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Case], tuple[list[Level], Path, int]]:
    """Levels, folder and number of questions of a draw that nobody disturbs."""
    made: dict[int, tuple[list[Level], Path, int]] = {}

    def of(case: Case) -> tuple[list[Level], Path, int]:
        if id(case) not in made:
            folder, stop = tmp_path_factory.mktemp("undisturbed"), StopAt()
            made[id(case)] = (case.draw(folder, stop), folder, stop.asked)
        return made[id(case)]

    return of


@pytest.mark.long
@each_case
def test_stopped_at_every_question_it_ends_in_the_same_bytes(
    case: Case, undisturbed: Callable[[Case], tuple[list[Level], Path, int]], tmp_path: Path
) -> None:
    truth, wanted, questions = undisturbed(case)
    steps = sum(level.fit.steps for level in truth if level.fit)
    assert questions > steps + 3 * len(truth)  # between all steps, and inside evaluations
    for at in range(0, questions, case.every):
        folder = tmp_path / str(at)
        with pytest.raises(StoppedError) as stopped:
            case.draw(folder, StopAt(at, code=130 if at % 2 else 75))
        assert stopped.value.exit_code == (130 if at % 2 else 75)
        assert_same(case.draw(folder), folder, truth, wanted)


@pytest.mark.long
@each_case
def test_stopped_again_and_again_it_ends_in_the_same_bytes(
    case: Case, undisturbed: Callable[[Case], tuple[list[Level], Path, int]], tmp_path: Path
) -> None:
    truth, wanted, _ = undisturbed(case)
    sessions, levels = 0, None
    while levels is None:
        sessions += 1
        assert sessions < 100, "no progress"
        try:
            levels = case.draw(tmp_path, StopAt(7))
        except StoppedError:
            continue
    assert sessions > 5
    assert_same(levels, tmp_path, truth, wanted)


class Killed(BaseException):
    """Nobody catches this."""


class KillAtWrite:
    """Dies at the n-th file that is written (from 0): before it if n is even, after it if n is odd."""

    def __init__(self, write: Callable[[Path, bytes], None], at: int) -> None:
        self.write, self.at, self.count = write, at, -1

    def __call__(self, path: Path, data: bytes) -> None:
        self.count += 1
        if self.count == self.at and self.at % 2 == 0:
            raise Killed
        self.write(path, data)
        if self.count == self.at:
            raise Killed


@pytest.mark.long
@each_case
def test_killed_around_every_file_it_writes_it_ends_in_the_same_bytes(
    case: Case,
    undisturbed: Callable[[Case], tuple[list[Level], Path, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth, wanted, _ = undisturbed(case)
    write, at = fitfiles.write_atomic, 0
    while True:
        folder = tmp_path / str(at)
        monkeypatch.setattr(fitfiles, "write_atomic", KillAtWrite(write, at))
        try:
            case.draw(folder)
        except Killed:
            monkeypatch.setattr(fitfiles, "write_atomic", write)
            assert_same(case.draw(folder), folder, truth, wanted)
            at += case.every if case.every == 1 else case.every + 1  # both sides of a write have their turn
            continue
        break  # fewer files than `at` were written
    assert at >= 2 * len(truth) * (2 if case.tick == ALWAYS else 1)


def test_when_checkpoints_are_written_does_not_touch_the_bits(tmp_path: Path) -> None:
    draws = {}
    for tick in (ALWAYS, loop.CHECKPOINT_SECONDS / 3, NEVER):
        Case(MOMENTUM, rewind=2, tick=tick).draw(tmp_path / str(tick))
        draws[tick] = small.files_below(tmp_path / str(tick))
    assert draws[ALWAYS] == draws[NEVER] == draws[loop.CHECKPOINT_SECONDS / 3]


def test_checkpoints_follow_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(
        fitfiles.FitFiles,
        "write_checkpoint",
        lambda self, key, notes, tensors: written.append(notes["step"]),
    )
    spec = small.train_spec(epochs=4)

    def checkpoints(tick: float) -> list[int]:
        written.clear()
        bench = small.bench(spec, clock=small.Clock(tick))
        small.lab(tmp_path / str(tick), bench).fit(small.weights(), None)
        return list(written)

    assert checkpoints(NEVER) == []
    assert checkpoints(ALWAYS) == list(range(13))
    rare = checkpoints(loop.CHECKPOINT_SECONDS / 4)
    assert 1 < len(rare) < 6


def test_checkpoints_that_take_long_are_further_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five seconds a write and half a minute a step: no more than one hundredth of the time is spent on writing."""
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 0.01)
    written: list[float] = []
    clock = small.Clock(0.0)

    def slow(self: fitfiles.FitFiles, key: str, notes: Any, tensors: Any) -> None:
        clock.now += 5.0
        written.append(clock.now)

    def pass_time() -> None:
        clock.now += 30.0

    monkeypatch.setattr(fitfiles.FitFiles, "write_checkpoint", slow)
    bench = small.bench(small.train_spec(epochs=20), stop=pass_time, clock=clock)
    small.lab(tmp_path, bench).fit(small.weights(), None)
    assert len(written) > 2
    assert all(later - earlier >= 500 for earlier, later in pairwise(written))


def test_a_finished_training_is_answered_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(MOMENTUM)
    truth = case.draw(tmp_path)
    before = small.files_below(tmp_path)
    monkeypatch.setattr(loop.Loop, "run", lambda self: pytest.fail("trained again"))
    again = case.draw(tmp_path)
    assert_same(again, tmp_path, truth, tmp_path)
    assert small.files_below(tmp_path) == before


def test_another_training_is_not_continued(tmp_path: Path) -> None:
    stop = StopAt(20)
    with pytest.raises(StoppedError):
        Case(MOMENTUM).draw(tmp_path, stop)
    for other in (Case({**MOMENTUM, "lr": 0.06}), Case({**MOMENTUM, "epochs": 3})):
        with pytest.raises(MismatchError, match="belongs to another training") as refused:
            other.draw(tmp_path)
        assert refused.value.exit_code == 8
    bench = small.bench(small.train_spec(**MOMENTUM))
    with pytest.raises(MismatchError):
        small.lab(tmp_path, bench, seeds=Seeds(1)).fit(small.weights(), None)
    with pytest.raises(MismatchError):
        small.lab(tmp_path, bench).fit(small.weights(seed=1), None)


def test_a_checkpoint_of_other_versions_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spend has no record of what it was begun with but this."""
    with pytest.raises(StoppedError):
        Case(MOMENTUM).draw(tmp_path, StopAt(8))
    monkeypatch.setattr(fitfiles, "_VERSIONS", {"ticketctl": "0.1.0", "torch": "9.9"})
    with pytest.raises(MismatchError, match=r"9\.9") as refused:
        Case(MOMENTUM).draw(tmp_path)
    assert refused.value.exit_code == 8


def test_memory_and_best_state_survive_a_stop_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    case = Case({**MOMENTUM, "epochs": 4})
    truth = case.draw(tmp_path / "truth")
    for at in (40, 47, 55):
        folder = tmp_path / str(at)
        with pytest.raises(StoppedError):
            case.draw(folder, StopAt(at))
        assert_same(case.draw(folder), folder, truth, tmp_path / "truth")
    assert any(int(level.fit.tensors["memory.events"].sum()) for level in truth if level.fit)
    assert all(level.fit.notes["best_epoch"] is not None for level in truth if level.fit)
