"""Running ahead of the device: the same course as reading every loss, and the net before the bad step after one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train import small
from tests.train.test_hooks import Everything
from ticketctl.train import loop as loop_module
from ticketctl.train.bench import Bench
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.hooks import Hooks
from ticketctl.train.lab import Fit
from ticketctl.train.machine import Machine
from ticketctl.train.stepper import Ahead


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

    def fit(folder: Path) -> Fit:
        bench = small.bench(SPECS["adam" if optimizer == "adam" else "momentum"])
        lab = small.lab(folder, bench)
        keys = {"keep": (), "title": "t"}
        from ticketctl.train.lab import Wish

        return lab.fit_in(
            FitFiles(folder), small.weights(), small.half(), **keys, wish=Wish(hooks=(Breaks(),))
        )

    truth = fit(tmp_path / "each")
    request.getfixturevalue("ahead")
    found = fit(tmp_path / "ahead")
    assert found.diverged
    assert found.notes["step"] == truth.notes["step"] == 4
    assert torch.equal(found.hook(0)["seen"], truth.hook(0)["seen"])
    assert found.mask_at_end().equal(truth.mask_at_end())
    assert found.files.final.read_bytes() == truth.files.final.read_bytes()
    assert torch.equal(found.tensors["memory.epochs"], truth.tensors["memory.epochs"])
