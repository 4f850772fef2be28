"""Running ahead of the device: the same course as reading every loss, and the net before the bad step after one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train import small
from tests.train.test_hooks import Everything
from ticketctl.recipe import TrainSpec
from ticketctl.train import loop as loop_module
from ticketctl.train.bench import Bench
from ticketctl.train.course import Course
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.hooks import Batch, Hooks
from ticketctl.train.lab import Fit, Wish
from ticketctl.train.machine import Machine
from ticketctl.train.stepper import Ahead
from ticketctl.tweaks.ema import Exponential


class Unpaced(Ahead):
    """As on a GPU, without events."""

    def _pace(self, step: int) -> None:
        pass


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    def stepper(bench: Bench, machine: Machine) -> Ahead:
        machine.ahead = machine.ahead or Unpaced(bench, machine)
        found: Ahead = machine.ahead
        return found

    monkeypatch.setattr(loop_module, "stepper_for", stepper)


def fits(folder: Path, bench: Bench, hooks: tuple[Hooks, ...] = ()) -> list[Fit]:
    lab = small.lab(folder, bench)
    first = lab.fit(small.weights(), small.half(), hooks=hooks)
    return [first, lab.fit(small.weights(), small.half(3))]


def broken(folder: Path, spec: TrainSpec, hook: Hooks) -> Fit:
    """A training that may diverge, which is no error here."""
    files, wish = FitFiles(folder), Wish(hooks=(hook,))
    lab = small.lab(folder, small.bench(spec))
    return lab.fit_in(files, small.weights(), small.half(), keep=(), title="t", wish=wish)


SPECS = {
    "momentum": small.train_spec(epochs=3, weight_decay=0.01),
    "none": small.train_spec(epochs=3, momentum=0.0),
    "nesterov": small.train_spec(epochs=3, nesterov=True, schedule="cosine"),
    "adam": small.train_spec(epochs=3, optimizer="adam", lr=0.003),
}


@pytest.mark.long
@pytest.mark.parametrize("padding", [None, 1])
@pytest.mark.parametrize("name", SPECS)
def test_it_takes_the_same_course_to_the_bit(
    name: str, padding: int | None, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    truth = fits(tmp_path / "each", small.bench(SPECS[name], padding=padding))
    request.getfixturevalue("ahead")
    found = fits(tmp_path / "ahead", small.bench(SPECS[name], padding=padding))
    for ours, theirs in zip(found, truth, strict=True):
        assert ours.files.final.read_bytes() == theirs.files.final.read_bytes()
        assert torch.equal(ours.history.nan_to_num(-1), theirs.history.nan_to_num(-1))
        assert torch.equal(ours.tensors["memory.epochs"], theirs.tensors["memory.epochs"])


def test_hooks_see_the_same(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    truth = fits(tmp_path / "each", small.bench(SPECS["momentum"]), (Everything(),))
    request.getfixturevalue("ahead")
    found = fits(tmp_path / "ahead", small.bench(SPECS["momentum"]), (Everything(),))
    assert found[0].files.final.read_bytes() == truth[0].files.final.read_bytes()
    assert torch.equal(found[0].hook(0)["sums"], truth[0].hook(0)["sums"])


class Average(Exponential):
    """An average of the weights; the loss of the fifth batch may be no number."""

    def __init__(self, breaks: bool) -> None:
        super().__init__(0.5)
        self.breaks, self.count = breaks, 0
        self.seen: list[int] = []

    def step(self, loop: Course) -> None:
        super().step(loop)
        self.seen.append(loop.step)
        assert all(one.grad is None for one in loop.parameters.values())
        with pytest.raises(AssertionError, match="reads_grads"):
            loop.batch  # noqa: B018  # asked for, not used

    def state(self) -> dict[str, torch.Tensor]:
        return {**super().state(), "seen": torch.tensor(self.seen)}

    def loss(self, logits: torch.Tensor, batch: Batch, value: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return value * (float("nan") if self.breaks and self.count == 5 else 1.0)


@pytest.mark.parametrize("breaks", [False, True])
def test_what_looks_at_weights_alone_follows_whole_steps(
    breaks: bool, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = broken(tmp_path / "each", SPECS["momentum"], Average(breaks))
    request.getfixturevalue("ahead")
    monkeypatch.delattr(Ahead, "_hooked")
    found = broken(tmp_path / "ahead", SPECS["momentum"], Average(breaks))
    assert found.diverged == truth.diverged == breaks
    assert found.files.final.read_bytes() == truth.files.final.read_bytes()
    assert found.hook(0).keys() == truth.hook(0).keys()
    assert all(torch.equal(value, truth.hook(0)[name]) for name, value in found.hook(0).items())
    assert found.hook(0)["seen"].tolist() == [*range(4 if breaks else 9)]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_after_a_loss_that_is_not_finite_the_net_is_the_one_before_it(
    optimizer: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    class Breaks(Everything):
        def identity(self) -> dict[str, str]:
            return {"name": "breaks"}

        def forward(self, model: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = model(inputs)
            return logits

        def loss(self, logits: torch.Tensor, batch: object, value: torch.Tensor) -> torch.Tensor:
            self.count = getattr(self, "count", 0) + 1
            return value * (float("nan") if self.count == 5 else 1.0)

    spec = SPECS["adam" if optimizer == "adam" else "momentum"]
    truth = broken(tmp_path / "each", spec, Breaks())
    request.getfixturevalue("ahead")
    found = broken(tmp_path / "ahead", spec, Breaks())
    assert found.diverged
    assert found.notes["step"] == truth.notes["step"] == 4
    assert torch.equal(found.hook(0)["seen"], truth.hook(0)["seen"])
    assert found.mask_at_end().equal(truth.mask_at_end())
    assert found.files.final.read_bytes() == truth.files.final.read_bytes()
    assert torch.equal(found.tensors["memory.epochs"], truth.tensors["memory.epochs"])
