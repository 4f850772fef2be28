"""Tweaks in trainings of the tiny net, without a stage above them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from tests.train import small
from ticketctl.errors import StoppedError
from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.train import evaluate, loop, recalibrate
from ticketctl.train.bench import Bench
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit, Teacher
from ticketctl.train.lab import Fit

Worn = list[tuple[str, dict[str, Any]]]
"""Tweaks in the order in which they are asked, with their keys."""


def teacher() -> Teacher:
    net = small.Net()
    small.weights(7).load_into(net)
    return Teacher(net.to(memory_format=torch.channels_last).requires_grad_(False).eval(), "of seed 7")


def hook(name: str, keys: dict[str, Any], bench: Bench, begun: int = 0) -> Hooks:
    module = import_module(f"ticketctl.tweaks.{name}")
    taught = teacher() if "teacher" in getattr(module, "NEEDS", ()) else None
    kit = Kit(bench, Seeds(0), small.half(), taught, begun=begun)
    made: Hooks = module.tweak(kit, params=TypeAdapter(module.Params).validate_python(keys))
    return made


def spec(**keys: Any) -> TrainSpec:
    return small.train_spec(**{"epochs": 4, "momentum": 0.9, "weight_decay": 0.01, **keys})


def train(
    folder: Path,
    worn: Worn,
    *,
    train: TrainSpec | None = None,
    others: tuple[Hooks, ...] = (),
    stop: Callable[[], int | None] = small.never,
    mask: bool = True,
    until: int | None = None,
    **bench: Any,
) -> Fit:
    """As a new process would: everything is built anew, only the folder is what it was."""
    on = small.bench(train or spec(), stop=stop, **bench)
    hooks = [*(hook(name, keys, on) for name, keys in worn), *others]
    return small.lab(folder, on).fit(
        small.weights(), small.half() if mask else None, hooks=hooks, until=until
    )


def goes_on(folder: Path, worn: Worn, monkeypatch: pytest.MonkeyPatch, *, each: int = 1, **keys: Any) -> None:
    """Stopped at one question in `each`, in turn, it ends in the bytes of a training that was never stopped."""
    monkeypatch.setattr(evaluate, "BATCH", 4)
    monkeypatch.setattr(recalibrate, "BATCH", 5)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", float("inf"))
    monkeypatch.setattr("os.fsync", lambda handle: None)
    whole = train(folder / "whole", worn, **keys)
    for at in range(1, 400, each):
        left = iter(range(10**6))
        try:
            train(
                folder / str(at), worn, stop=lambda left=left, at=at: 75 if next(left) >= at else None, **keys
            )
        except StoppedError:
            pass
        else:
            assert at > each
            return
        fit = train(folder / str(at), worn, **keys)
        assert fit.files.final.read_bytes() == whole.files.final.read_bytes(), at
        assert torch.equal(fit.history.nan_to_num(-1), whole.history.nan_to_num(-1)), at
        for number in range(len(worn)):
            ours, theirs = fit.hook(number), whole.hook(number)
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[name], theirs[name]) for name in theirs), at


def same_bytes(one: Fit, other: Fit) -> bool:
    return one.files.final.read_bytes() == other.files.final.read_bytes()


def pruned(fit: Fit) -> torch.Tensor:
    """Every weight outside the mask, at the end."""
    weights = fit.end().weights
    return torch.cat([weights[name][~keep] for name, keep in small.half().keep.items()])


def batches(train: TrainSpec) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and labels of every step of a training in the seeds of `small.lab`."""
    feed = small.bench(train).feed
    found = []
    for epoch in range(train.epochs):
        feed.begin_epoch(Seeds(0), epoch)
        for position in range(feed.steps_per_epoch):
            inputs, labels, _ = feed.batch(position)
            found.append((inputs.clone(), labels.clone()))
    return found
