"""Numbers written down along a training: which epochs, what survives a stop, and that nothing is changed by looking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, nan
from pathlib import Path

import pytest
import torch

from tests.train import small
from tests.train.test_resume import KillAtWrite, Killed
from ticketctl.errors import StoppedError, UsageError
from ticketctl.train import fitfiles, loop
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.lab import Fit
from ticketctl.train.state import State
from ticketctl.train.watch import Watch

Stop = Callable[[], int | None]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: nobody's power fails here."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


def weight_sum(course: Course) -> dict[str, float]:
    course.poll()
    return {"sum": float(course.parameters["fc.weight"].detach().double().sum()), "step": float(course.step)}


def fit(
    folder: Path,
    *hooks: Hooks,
    epochs: int = 5,
    start: int = 0,
    stop: Stop = small.never,
) -> Fit:
    bench = small.bench(small.train_spec(epochs=epochs), stop=stop, clock=small.Clock(0.1))
    lab = small.lab(folder, bench)
    return lab.fit(State(small.weights().weights, start), small.half(), hooks=hooks)


def record_of(found: Fit) -> bytes:
    return (found.files.folder / "record.safetensors").read_bytes()


def watch(spacing: int = 1, **about: str) -> Watch:
    return Watch(weight_sum, spacing, about)


@pytest.mark.parametrize(
    ("spacing", "epochs", "start", "measured"),
    [
        (1, 3, 0, [0, 1, 2, 3]),
        (2, 5, 0, [0, 2, 4, 5]),
        (2, 4, 0, [0, 2, 4]),
        (9, 4, 0, [0, 4]),
        (2, 6, 9, [3, 4, 6]),  # rewound to the end of epoch 3
        (4, 6, 7, [2, 4, 6]),  # rewound into epoch 3
    ],
)
def test_the_start_every_nth_epoch_of_the_schedule_and_the_last_are_measured(
    spacing: int, epochs: int, start: int, measured: list[int], tmp_path: Path
) -> None:
    held = fit(tmp_path, watch(spacing), epochs=epochs, start=start).hook(0)
    assert held["metrics.epoch"].dtype == torch.int64
    assert held["metrics.epoch"].tolist() == measured
    assert held["metrics.sum"].dtype == torch.float64
    assert held["metrics.step"].tolist() == [start, *(3 * epoch for epoch in measured[1:])]


def test_what_is_measured_is_the_net_of_that_moment(tmp_path: Path) -> None:
    done = fit(tmp_path, watch(2))
    last = float(done.end().weights["fc.weight"].double().sum())
    assert done.hook(0)["metrics.sum"][-1] == last


def test_watching_changes_no_bit_of_the_training(tmp_path: Path) -> None:
    plain, watched = fit(tmp_path / "plain"), fit(tmp_path / "watched", watch())
    assert plain.files.final.read_bytes() == watched.files.final.read_bytes()
    assert torch.equal(plain.history.nan_to_num(-1), watched.history.nan_to_num(-1))
    assert plain.key != watched.key


@pytest.mark.long
@pytest.mark.parametrize("seconds", [-1.0, 20.0], ids=["a checkpoint at every step", "when stopped alone"])
def test_a_training_that_was_stopped_anywhere_ends_in_the_same_record(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(fit(tmp_path / "whole", watch(2)))
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", seconds)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", inf)
    for polls in range(1, 200, 3):
        left = iter(range(10_000))
        try:
            fit(
                tmp_path / str(polls),
                watch(2),
                stop=lambda left=left, polls=polls: 75 if next(left) >= polls else None,
            )
        except StoppedError:
            assert record_of(fit(tmp_path / str(polls), watch(2))) == record
        else:
            break
    assert polls > 30


@pytest.mark.long
def test_a_training_that_was_killed_around_any_file_it_writes_ends_in_the_same_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, write = record_of(fit(tmp_path / "whole", watch(2))), fitfiles.write_atomic
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", inf)
    for at in range(0, 200, 3):
        folder = tmp_path / str(at)
        monkeypatch.setattr(fitfiles, "write_atomic", KillAtWrite(write, at))
        try:
            fit(folder, watch(2))
        except Killed:
            monkeypatch.setattr(fitfiles, "write_atomic", write)
            assert record_of(fit(folder, watch(2))) == record
        else:
            break
    assert at > 15


def test_a_name_that_comes_late_or_goes_and_what_is_not_finite_is_nan(tmp_path: Path) -> None:
    course: list[Mapping[str, float]] = [
        {"a": 1.0}, {"a": inf, "b": 2.0}, {"b": nan}, {}, {"a": 3.0, "b": 4.0}, {"a": -inf},
    ]  # fmt: skip
    seen = iter(course)
    held = fit(tmp_path, Watch(lambda course: next(seen), 1, {})).hook(0)
    assert held["metrics.a"].nan_to_num(-1).tolist() == [1, -1, -1, -1, 3, -1]
    assert held["metrics.b"].nan_to_num(-1).tolist() == [-1, 2, -1, -1, 4, -1]
    again = Watch(weight_sum, 1, {})
    again.restore(held)
    assert all(
        torch.equal(value.nan_to_num(-1), held[name].nan_to_num(-1)) for name, value in again.state().items()
    )


def test_names_are_written_as_tensors_may_be_called_and_two_are_never_one(tmp_path: Path) -> None:
    held = fit(tmp_path / "one", Watch(lambda course: {"auroc/svhn@0.5": 1.0}, 1, {})).hook(0)
    assert sorted(held) == ["metrics.auroc_svhn_0.5", "metrics.epoch"]
    for names in (("a-b", "a_b"), ("epoch",)):
        with pytest.raises(UsageError, match="another's place"):
            fit(tmp_path / names[0], Watch(lambda course, names=names: dict.fromkeys(names, 1.0), 1, {}))


def test_what_is_measured_and_how_often_belongs_to_the_training(tmp_path: Path) -> None:
    hooks = [watch(1, what="a"), watch(2, what="a"), watch(1, what="b")]
    keys = {fit(tmp_path / str(number), hook, epochs=1).key for number, hook in enumerate(hooks)}
    assert len(keys) == 3
