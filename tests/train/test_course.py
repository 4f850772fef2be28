"""What a training measures on its way: when, on what, and which weights it keeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch.nn import functional as F

from tests.train import small
from ticketctl.masks.mask import Mask
from ticketctl.train import loop
from ticketctl.train.bench import Bench
from ticketctl.train.evaluate import evaluate
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Fit
from ticketctl.train.state import State


def fit(
    folder: Path,
    bench: Bench,
    *,
    start: State | None = None,
    mask: Mask | None = None,
    keep: tuple[int, ...] = (),
) -> Fit:
    lab = small.lab(folder, bench)
    return lab.fit_in(FitFiles(folder), start or small.weights(), mask, keep=keep, title="test")


def table(of: Fit) -> dict[str, list[float]]:
    return dict(zip(of.columns, of.history.T.tolist(), strict=True))


def test_rows_stand_before_training_and_after_every_epoch(tmp_path: Path) -> None:
    found = table(fit(tmp_path / "0", small.bench(small.train_spec(epochs=4))))
    assert found["step"] == [0, 3, 6, 9, 12]
    assert found["epoch"] == [0, 1, 2, 3, 4]
    late = State(small.weights().weights, 4)
    found = table(fit(tmp_path / "4", small.bench(small.train_spec(epochs=4)), start=late))
    assert found["step"] == [4, 6, 9, 12]
    assert found["epoch"] == [4 / 3, 2, 3, 4]
    assert math.isnan(found["train.loss"][0])
    assert not any(math.isnan(value) for value in found["train.loss"][1:] + found["test.loss"])


@pytest.mark.parametrize(("every", "measured"), [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 4, 5]), (9, [0, 5])])
def test_evaluations_follow_eval_every_and_the_ends(every: int, measured: list[int], tmp_path: Path) -> None:
    found = table(fit(tmp_path, small.bench(small.train_spec(epochs=5, eval_every=every))))
    for name in ("val.loss", "val.accuracy", "test.loss", "test.accuracy"):
        assert [epoch for epoch, value in enumerate(found[name]) if not math.isnan(value)] == measured
    assert not any(math.isnan(value) for value in found["distance.masked"] + found["train.loss"][1:])


def test_how_often_it_is_evaluated_does_not_touch_the_weights(tmp_path: Path) -> None:
    ends = [
        fit(
            tmp_path / str(every), small.bench(small.train_spec(epochs=4, eval_every=every))
        ).files.final.read_bytes()
        for every in (1, 2, 4)
    ]
    assert ends[0] == ends[1] == ends[2]


def test_the_rate_of_a_row_is_that_of_the_step_before_it(tmp_path: Path) -> None:
    spec = small.train_spec(epochs=2, schedule="step", milestones=("2it", "5it"), lr=0.1, gamma=0.5)
    found = table(fit(tmp_path, small.bench(spec)))
    assert found["lr"][1:] == pytest.approx([0.05, 0.025])


def test_an_evaluation_is_the_mean_over_all_images_in_eval_mode_and_float32() -> None:
    """BatchNorm's statistics are used and not moved, and precision bf16 is for training alone."""
    bench = small.bench(small.train_spec(precision="bf16"))
    small.weights(3).load_into(bench.model)
    bench.model.train()
    before = {name: value.clone() for name, value in bench.model.state_dict().items()}
    for images in bench.exams.values():
        loss, accuracy = evaluate(bench.model, images)
        other = small.Net().eval()
        small.weights(3).load_into(other)
        logits = other.double()(images.batch(0, 10**6)[0].double()).detach()
        assert loss == pytest.approx(float(F.cross_entropy(logits, images.labels)), rel=1e-5)
        assert accuracy == float((logits.argmax(1) == images.labels).double().mean())
    assert bench.model.training
    assert all(torch.equal(value, before[name]) for name, value in bench.model.state_dict().items())


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "dense"])
def test_distances_are_those_from_the_start_over_convolution_and_linear_weights(
    masked: bool, tmp_path: Path
) -> None:
    """Paper 002 section 5: no BatchNorm, no biases; over the kept weights, and over all against the full start."""
    mask = small.half() if masked else None
    done = fit(tmp_path, small.bench(small.train_spec(epochs=3)), mask=mask, keep=(0, 3, 6, 9))
    found, start = table(done), small.weights().weights
    for row, step in enumerate((0, 3, 6, 9)):
        weights = safetensors.numpy.load_file(done.files.state(step))
        kept = full = 0.0
        for name in ("conv.weight", "fc.weight"):
            moved = (weights[name].astype(np.float64) - start[name].double().numpy()) ** 2
            full += moved.sum()
            kept += moved[mask.keep[name].numpy()].sum() if mask else moved.sum()
        assert found["distance.masked"][row] == pytest.approx(math.sqrt(kept), rel=1e-6, abs=1e-9)
        assert found["distance.full"][row] == pytest.approx(math.sqrt(full), rel=1e-6, abs=1e-9)
    assert found["distance.masked"][0] == 0
    assert (found["distance.full"][0] > 0) == masked


# ------------------------------------------------------------------------------------------------------- best_val

Script = dict[str, list[float]]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], None]:
    """Evaluations answer from a script, one list for each exam."""

    def script(answers: Script) -> None:
        rest: dict[str, Iterator[float]] = {name: iter(values) for name, values in answers.items()}

        def examine(
            model: object, exams: Mapping[str, object], poll: object, forward: object, ranks: object
        ) -> list[float]:
            return [value for name in exams for value in (1.0, next(rest[name]))]

        monkeypatch.setattr(loop, "examine", examine)

    return script


@pytest.mark.parametrize(
    ("validation", "test", "best"),
    [
        ([0.1, 0.5, 0.7, 0.6, 0.7], [0.9, 0.8, 0.1, 0.9, 1.0], 2),  # the earliest of two, whatever test says
        ([0.9, 0.2, 0.3, 0.1, 0.1], [0.1, 0.1, 0.1, 0.9, 0.9], 2),  # not the start, which is not trained
        ([0.0, 0.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4, 0.5], 1),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.4, 0.3, 0.2, 0.1], 4),
    ],
)
def test_the_best_epoch_is_the_earliest_best_on_validation(
    validation: list[float],
    test: list[float],
    best: int,
    scripted: Callable[[Script], None],
    tmp_path: Path,
) -> None:
    bench = small.bench(small.train_spec(epochs=4))
    scripted({"val": validation, "test": test})
    done = fit(tmp_path, bench, keep=(3, 6, 9, 12))
    assert done.notes["best_epoch"] == best
    assert done.files.best(best).read_bytes() == done.files.state(3 * best).read_bytes()
    assert [path.name for path in tmp_path.glob("best-*")] == [f"best-{best}.safetensors"]
    metrics = done.metrics()
    assert metrics["best_val.val.accuracy"] == validation[best]
    assert metrics["best_val.test.accuracy"] == test[best]
    assert metrics["best_val.epoch"] == best
    assert metrics["test.accuracy"] == test[-1]


def test_only_epochs_that_were_evaluated_can_be_best(
    scripted: Callable[[Script], None], tmp_path: Path
) -> None:
    bench = small.bench(small.train_spec(epochs=5, eval_every=2))
    scripted({"val": [0.0, 0.4, 0.9, 0.5], "test": [0.0] * 4})
    assert fit(tmp_path, bench).notes["best_epoch"] == 4


def test_without_validation_there_is_no_best(tmp_path: Path) -> None:
    bench = small.bench()
    del bench.exams["val"]
    done = fit(tmp_path, bench)
    assert done.notes["best_epoch"] is None
    assert not list(tmp_path.glob("best-*"))
    assert "val.accuracy" not in done.columns
    assert not any(name.startswith("best_val") for name in done.metrics())


def test_kept_states_are_those_of_their_steps(tmp_path: Path) -> None:
    """A shorter training under a constant rate passes through the same weights."""
    done = fit(tmp_path / "long", small.bench(small.train_spec(epochs=3)), keep=(0, 3, 6, 9))
    assert [path.name for path in sorted((tmp_path / "long").glob("state-*"))] == [
        f"state-{step}.safetensors" for step in (0, 3, 6, 9)
    ]
    for epochs in (1, 2, 3):
        short = fit(tmp_path / str(epochs), small.bench(small.train_spec(epochs=epochs)))
        assert short.files.final.read_bytes() == done.files.state(3 * epochs).read_bytes()
    assert torch.equal(done.state(0).weights["fc.weight"], small.weights().weights["fc.weight"])
    assert done.state(6).step == 6


def test_rates_and_kept_states_of_a_late_start_are_those_of_its_steps(tmp_path: Path) -> None:
    spec = small.train_spec(epochs=3, momentum=0.0, schedule="cosine")
    whole = fit(tmp_path / "whole", small.bench(spec), keep=(4, 6))
    rest = fit(tmp_path / "rest", small.bench(spec), start=whole.state(4), keep=(0, 4, 6))
    assert not rest.files.state(0).exists()
    assert rest.files.state(4).read_bytes() == whole.files.state(4).read_bytes()
    assert rest.files.state(6).read_bytes() == whole.files.state(6).read_bytes()
    assert rest.files.final.read_bytes() == whole.files.final.read_bytes()
    assert rest.steps == 5


def test_the_optimizer_sees_the_schedules_rate_at_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    step = torch.optim.SGD.step

    def watched(self: Any, *arguments: Any) -> Any:
        seen.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    spec = small.train_spec(epochs=2, schedule="cosine", lr=0.2)
    fit(tmp_path, small.bench(spec), start=State(small.weights().weights, 2))
    assert seen == pytest.approx([0.1 * (1 + math.cos(math.pi * at / 6)) for at in (2, 3, 4, 5)])
