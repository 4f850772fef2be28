"""A training that leaves the finite numbers stops at once, and what it leaves behind can be loaded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
import torch

from tests.train import small
from ticketctl.errors import DivergedError, StoppedError
from ticketctl.masks.mask import Mask
from ticketctl.stages.records import metric_record, series_of
from ticketctl.train import loop
from ticketctl.train.bench import Bench
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Fit
from ticketctl.train.state import State


def fit(folder: Path, bench: Bench, *, mask: Mask | None = None, keep: tuple[int, ...] = ()) -> Fit:
    return small.lab(folder, bench).fit_in(FitFiles(folder), small.weights(), mask, keep=keep, title="test")


def poison(bench: Bench, step: int, what: float = math.nan) -> None:
    """The logits of one training step become NaN or infinite, and BatchNorm sees an input that is no number."""
    seen = {"steps": 0}

    def spoil(model: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        if not model.training:
            return None
        seen["steps"] += 1
        return (arguments[0] * what,) if seen["steps"] == step + 1 else None

    bench.model.register_forward_pre_hook(spoil)


def all_finite(path: Path) -> bool:
    values = safetensors.numpy.load_file(path).values()
    return all(bool(torch.from_numpy(value.copy()).isfinite().all()) for value in values)


@pytest.mark.parametrize("what", [math.nan, math.inf])
@pytest.mark.parametrize("step", [0, 1, 3, 5])
def test_a_loss_that_is_not_finite_ends_the_training_before_its_step(
    step: int, what: float, tmp_path: Path
) -> None:
    """The weights and BatchNorm statistics that are kept are those before the step, as an undisturbed run has them."""
    whole = fit(tmp_path / "whole", small.bench(), keep=(0, 1, 3, 5))
    bench = small.bench()
    poison(bench, step, what)
    done = fit(tmp_path / "poisoned", bench)
    assert done.diverged
    assert done.notes["step"] == done.steps == step
    assert done.files.final.read_bytes() == whole.files.state(step).read_bytes()
    rows = dict(zip(done.columns, done.history.T.tolist(), strict=True))
    assert rows["step"] == [0, 3][: 1 + step // 3]
    assert "the loss is not finite" in done.why_diverged


@pytest.mark.parametrize("lr", [1e4, 1e9, 1e20, 1e38])
@pytest.mark.parametrize(
    "train",
    [{"momentum": 0.9}, {"momentum": 0.0, "weight_decay": 0.1}, {"optimizer": "adam"}],
    ids=["momentum", "decay", "adam"],
)
def test_whatever_the_rate_every_file_is_finite_and_a_run_can_be_written(
    train: dict[str, Any], lr: float, tmp_path: Path
) -> None:
    """BatchNorm hides infinite statistics from the loss: then the training counts as diverged all the same."""
    bench = small.bench(small.train_spec(lr=lr, epochs=3, **train))
    done = fit(tmp_path, bench, mask=small.half(), keep=(0, 3, 4, 6, 9))
    files = [path for path in tmp_path.glob("*.safetensors") if path.name != "record.safetensors"]
    assert files
    assert all(all_finite(path) for path in files)
    for name, keep in small.half().keep.items():
        assert bool((done.end().weights[name][~keep] == 0).all())
    metric_record(done.metrics())
    series_of(done)
    if lr > 1e19:
        assert done.diverged


def test_weights_that_are_not_finite_at_the_end_are_divergence_too(tmp_path: Path) -> None:
    bench = small.bench()
    original = bench.feed.batch

    def batch(position: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        bench.model.norm.running_var[0] = math.inf
        return original(position)

    bench.feed.batch = batch
    done = fit(tmp_path, bench, mask=small.half())
    assert done.diverged
    assert "those from before training are kept" in done.why_diverged
    start = small.weights().weights
    for name, value in done.end().weights.items():
        keep = small.half().keep.get(name, torch.tensor(True))
        assert torch.equal(value, start[name] * keep), name


def test_a_lab_raises_exit_code_4_and_names_file_and_way_out(tmp_path: Path) -> None:
    bench = small.bench(small.train_spec(lr=1e30))
    lab = small.lab(tmp_path, bench)
    with pytest.raises(DivergedError) as refused:
        lab.fit(small.weights(), None, title="level 3")
    assert refused.value.exit_code == 4
    text = str(refused.value)
    assert text.startswith("level 3: ")
    assert str(tmp_path / "000" / "final.safetensors") in text
    assert "train.lr = 1e+30" in text
    assert "--set train.lr=0.1" in text
    assert all_finite(tmp_path / "000" / "final.safetensors")


def test_a_diverged_training_diverges_again_without_being_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small.train_spec(lr=1e30)
    first = fit(tmp_path, small.bench(spec))
    monkeypatch.setattr(loop.Loop, "run", lambda self: pytest.fail("trained again"))
    again = fit(tmp_path, small.bench(spec))
    assert again.diverged
    assert dict(again.notes) == dict(first.notes)
    (tmp_path / "lab").mkdir()
    tmp_path.joinpath("lab", "000").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(DivergedError):
        small.lab(tmp_path / "lab", small.bench(spec)).fit(small.weights(), None)


def test_divergence_is_the_same_after_stops(tmp_path: Path) -> None:
    spec = small.train_spec(lr=1e9, epochs=3)
    truth = fit(tmp_path / "truth", small.bench(spec))
    assert truth.diverged
    for at in range(12):
        asked = iter(range(1000))
        bench = small.bench(spec, stop=lambda asked=asked, at=at: 75 if next(asked) >= at else None)
        folder = tmp_path / str(at)
        try:
            fit(folder, bench)
        except StoppedError:
            done = fit(folder, small.bench(spec))
            assert done.files.final.read_bytes() == truth.files.final.read_bytes()
            assert (folder / "record.safetensors").read_bytes() == (
                tmp_path / "truth" / "record.safetensors"
            ).read_bytes()


def test_a_start_that_is_not_finite_is_not_trained(tmp_path: Path) -> None:
    weights = dict(small.weights().weights)
    weights["fc.bias"] = torch.full((3,), math.nan)
    done = small.lab(tmp_path, small.bench()).fit_in(
        FitFiles(tmp_path), State(weights, 0), None, keep=(), title="test"
    )
    assert done.diverged
    assert done.steps == 0
