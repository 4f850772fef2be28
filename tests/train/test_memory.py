"""Correct bits and forgetting events, against a recount in plain Python of everything the net was shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.train import small
from ticketctl.errors import StoppedError
from ticketctl.train.bench import Bench
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Fit
from ticketctl.train.memory import Memory
from ticketctl.train.state import State

CASES: dict[str, tuple[dict[str, Any], int, int | None]] = {
    "plain": ({"epochs": 5}, 0, None),
    "drop_last": ({"epochs": 6, "drop_last": True, "batch": 4}, 0, None),
    "augmented": ({"epochs": 4}, 0, 1),
    "from the middle of an epoch": ({"epochs": 6}, 4, 1),
    "from the end of an epoch": ({"epochs": 4, "drop_last": True}, 4, 1),
    "bf16": ({"epochs": 4, "precision": "bf16"}, 0, None),
}


@dataclass
class Witness:
    """Writes down every presentation: (step, image, was it right), from the logits and labels themselves."""

    shown: list[tuple[int, int, bool]] = field(default_factory=list)
    batch: tuple[torch.Tensor, torch.Tensor] | None = None
    step: int = 0

    def attend(self, bench: Bench, start: int) -> None:
        self.step = start
        original = bench.feed.batch

        def batch(position: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            inputs, labels, index = original(position)
            self.batch = labels, index
            return inputs, labels, index

        bench.feed.batch = batch
        bench.model.register_forward_hook(self.hear)

    def hear(self, model: torch.nn.Module, inputs: Any, logits: torch.Tensor) -> None:
        if not model.training:
            return
        assert self.batch is not None
        for row, label, image in zip(logits.tolist(), *(part.tolist() for part in self.batch), strict=True):
            best = max(range(len(row)), key=lambda at: (row[at], -at))
            self.shown.append((self.step, image, best == label))
        self.step += 1

    def recount(self, start: int, per_epoch: int, end: int) -> tuple[list[int], list[list[bool]]]:
        """Events of each image, and for each epoch whether its newest presentation was right."""
        events, newest = [0] * small.IMAGES, [False] * small.IMAGES
        rows = []
        for epoch in range(start // per_epoch, end // per_epoch):
            for step, image, right in self.shown:
                if step // per_epoch == epoch:
                    events[image] += newest[image] and not right
                    newest[image] = right
            rows.append(list(newest))
        return events, rows


def bits(fit: Fit) -> np.ndarray:
    return np.unpackbits(
        fit.tensors["memory.epochs"].numpy(), axis=1, count=small.IMAGES, bitorder="little"
    ).astype(bool)


def start_at(step: int) -> State:
    return State(small.weights().weights, step)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bits_and_events_are_those_of_a_recount(
    case: tuple[dict[str, Any], int, int | None], tmp_path: Path
) -> None:
    train, start, padding = case
    bench, witness = small.bench(small.train_spec(lr=1.0, **train), padding=padding), Witness()
    witness.attend(bench, start)
    fit = small.lab(tmp_path, bench).fit(start_at(start), None)
    per_epoch = bench.feed.steps_per_epoch
    events, rows = witness.recount(start, per_epoch, bench.train.epochs * per_epoch)
    assert fit.tensors["memory.events"].tolist() == events
    assert bits(fit).tolist() == rows
    assert sum(events) > 0
    shown = [right for step, _, right in witness.shown if step // per_epoch == start // per_epoch]
    accuracy = dict(zip(fit.columns, fit.history.T.tolist(), strict=True))["train.accuracy"]
    assert accuracy[1] == sum(shown) / len(shown)


def test_an_image_that_is_left_out_keeps_what_it_was_and_forgets_nothing() -> None:
    memory = Memory(3, torch.device("cpu"))
    right, wrong = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    label = torch.tensor([1])
    story = [{0: right, 1: right}, {1: wrong}, {0: wrong, 1: right}, {0: right}, {1: wrong, 2: wrong}]
    for shown in story:
        for image, logits in shown.items():
            memory.see(torch.tensor([image]), logits, label)
        memory.end_epoch()
    assert memory.events.tolist() == [1, 2, 0]
    unpacked = np.unpackbits(np.stack(memory.epochs), axis=1, count=3, bitorder="little")
    assert unpacked.tolist() == [[1, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]]


def test_of_equal_logits_the_first_class_is_the_answer() -> None:
    memory = Memory(2, torch.device("cpu"))
    memory.see(torch.tensor([0, 1]), torch.zeros(2, 4), torch.tensor([0, 1]))
    assert memory.right.tolist() == [True, False]


def test_memory_is_restored_with_the_checkpoint(tmp_path: Path) -> None:
    spec = small.train_spec(epochs=5, lr=1.0)
    truth = small.lab(tmp_path / "truth", small.bench(spec)).fit(small.weights(), None)
    for stop_after in range(6, 28, 5):
        asked = iter(range(1000))
        bench = small.bench(spec, stop=lambda asked=asked, n=stop_after: 75 if next(asked) >= n else None)
        folder = tmp_path / str(stop_after)
        with pytest.raises(StoppedError):
            small.lab(folder, bench).fit(small.weights(), None)
        fit = small.lab(folder, small.bench(spec)).fit(small.weights(), None)
        assert int(truth.tensors["memory.events"].sum()) > 0
        assert torch.equal(fit.tensors["memory.events"], truth.tensors["memory.events"])
        assert torch.equal(fit.tensors["memory.epochs"], truth.tensors["memory.epochs"])


def test_recording_changes_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = small.train_spec()
    with_it = small.lab(tmp_path / "with", small.bench(spec)).fit(small.weights(), None)
    monkeypatch.setattr(Memory, "see", lambda self, index, logits, labels: None)
    without = small.lab(tmp_path / "without", small.bench(spec)).fit(small.weights(), None)
    assert with_it.files.final.read_bytes() == without.files.final.read_bytes()
    assert isinstance(with_it.files, FitFiles)
