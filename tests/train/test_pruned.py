"""Pruned weights are exactly zero after every step, in every checkpoint and, as +0.0, in every file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests.train import small
from ticketctl.masks.bind import Binding
from ticketctl.masks.mask import Mask
from ticketctl.train import loop
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Fit
from ticketctl.train.loop import Loop

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "momentum, weight decay": {"momentum": 0.9, "weight_decay": 0.1},
    "adam": {"optimizer": "adam", "lr": 0.01},
    "adam, weight decay": {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1},
    "momentum, bf16": {"momentum": 0.9, "weight_decay": 0.1, "precision": "bf16"},
}


class LeakError(AssertionError):
    """A pruned weight that is not zero."""


def watch(mask: Mask, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Look at the pruned weights before the first and after every step; returns the steps that were looked at."""
    seen: list[int] = []
    original: Callable[[Loop], None] = Loop._at_boundary

    def looked(self: Loop) -> None:
        for name, parameter in self.model.named_parameters():
            if name in mask.keep and not bool((parameter.detach()[~mask.keep[name]] == 0).all()):
                raise LeakError(f"{name} after step {self.progress.step}")
        seen.append(self.progress.step)
        original(self)

    monkeypatch.setattr(Loop, "_at_boundary", looked)
    return seen


def fit(folder: Path, train: dict[str, Any], mask: Mask) -> Fit:
    bench = small.bench(small.train_spec(**train), clock=small.Clock(2 * loop.CHECKPOINT_SECONDS))
    lab = small.lab(folder, bench)
    return lab.fit_in(FitFiles(folder), small.weights(), mask, keep=(0, 2), title="test")


@pytest.mark.parametrize("train", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_pruned_weights_are_zero_after_every_step_and_in_every_file(
    train: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = small.half()
    steps = watch(mask, monkeypatch)
    checkpoints: list[dict[str, torch.Tensor]] = []
    write = FitFiles.write_checkpoint

    def kept(self: FitFiles, key: str, notes: Any, tensors: Any) -> None:
        write(self, key, notes, tensors)
        read = self.read_checkpoint(key)
        assert read is not None
        checkpoints.append(read[1])

    monkeypatch.setattr(FitFiles, "write_checkpoint", kept)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", float("inf"))
    done = fit(tmp_path, train, mask)
    assert steps == list(range(done.steps + 1))
    assert len(checkpoints) == done.steps + 1
    for tensors in checkpoints:
        for name, keep in mask.keep.items():
            assert bool((tensors[name][~keep] == 0).all()), name
    best = done.files.best(done.notes["best_epoch"])
    for path in (done.files.final, done.files.state(0), done.files.state(2), best):
        stored = safetensors.numpy.load_file(path)
        for name, keep in mask.keep.items():
            bits = stored[name].view(np.uint32)[~keep.numpy()]
            assert not bits.any(), f"{path.name}: {name}: a pruned weight is not +0.0"
            assert np.count_nonzero(stored[name]) == int(keep.sum())


def test_minus_zero_arises_in_the_net_and_never_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check above is no check if there is nothing to clean."""
    mask, negative = small.half(), []
    original: Callable[[Loop], None] = Loop._at_boundary

    def looked(self: Loop) -> None:
        weight = dict(self.model.named_parameters())["fc.weight"].detach()
        negative.append(int((torch.signbit(weight) & (weight == 0)).sum()))
        original(self)

    monkeypatch.setattr(Loop, "_at_boundary", looked)
    done = fit(tmp_path, {"momentum": 0.9}, mask)
    assert max(negative) > 0
    for name, value in safetensors.numpy.load_file(done.files.final).items():
        if value.dtype == np.float32:
            assert not (np.signbit(value) & (value == 0)).any(), name


def gradients_only(self: Binding) -> None:
    """The bug: gradients are masked, weights never are."""
    for weight, mask in zip(self.weights, self.masks, strict=True):
        if weight.grad is not None:
            weight.grad *= mask


class OnceAtTheStart:
    """The bug: weights are masked before training, and then the whole gradient moves them."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, binding: Binding) -> None:
        if not self.done:
            torch._foreach_mul_(binding.weights, binding.masks)
        self.done = True


def test_masking_gradients_alone_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = small.half()
    watch(mask, monkeypatch)
    monkeypatch.setattr(Binding, "apply_", torch.no_grad()(gradients_only))
    with pytest.raises(LeakError, match="after step 0"):
        fit(tmp_path, {"momentum": 0.9}, mask)


@pytest.mark.parametrize("train", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_masking_the_start_alone_is_caught(
    train: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask, bug = small.half(), OnceAtTheStart()
    watch(mask, monkeypatch)
    monkeypatch.setattr(Binding, "apply_", torch.no_grad()(lambda self: bug(self)))
    with pytest.raises(LeakError, match="after step 1"):
        fit(tmp_path, train, mask)


def test_weights_that_are_not_prunable_are_trained_freely(tmp_path: Path) -> None:
    mask = small.half()
    end, start = fit(tmp_path, {"momentum": 0.9}, mask).end().weights, small.weights().weights
    for name in ("norm.weight", "norm.bias", "fc.bias", "norm.running_mean"):
        assert bool((end[name] != start[name]).all()), name
    for name, keep in mask.keep.items():
        assert bool((end[name][keep] != start[name][keep]).any())


def test_a_mask_that_keeps_everything_is_no_mask(tmp_path: Path) -> None:
    full = Mask.full({name: keep.shape for name, keep in small.half().keep.items()})
    masked = fit(tmp_path / "full", {"momentum": 0.9}, full)
    bench = small.bench(small.train_spec(momentum=0.9))
    plain = small.lab(tmp_path / "none", bench).fit_in(
        FitFiles(tmp_path / "none"), small.weights(), None, keep=(0, 2), title="plain"
    )
    assert masked.key == plain.key
    assert masked.files.final.read_bytes() == plain.files.final.read_bytes()
