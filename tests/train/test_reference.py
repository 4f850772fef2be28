"""The engine against a training loop written out by hand: plain tensors, textbook optimizers, no mask machinery.

What both share is the order of the images and the initial weights. Pixels come from scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from ticketctl.masks.mask import Mask
from ticketctl.progress import Silent
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import parse_recipe
from ticketctl.seeds import Seeds
from ticketctl.stages.setting import Setting, Surroundings, prepare
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Fit
from ticketctl.train.state import State

HELD, SEED = 200, 11


# ------------------------------------------------------------------------------------------------ the reference


@dataclass
class Digits:
    """Train, validation and test digits as the recipe's words define them, from scikit-learn's copy."""

    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


@pytest.fixture(scope="module")
def digits() -> Digits:
    raw = load_digits()
    pixels = np.round(raw.images * 255 / 16).astype(np.uint8)
    test = np.arange(len(pixels)) % 5 == 4
    mean, std = (round(float(f(pixels[~test] / 255)), 4) for f in (np.mean, np.std))  # four decimals
    inputs = torch.from_numpy(((pixels / 255 - mean) / std).astype(np.float32)).reshape(-1, 64)
    labels = torch.from_numpy(raw.target.astype(np.int64))
    x, y = inputs[~test], labels[~test]
    return Digits((x[:-HELD], y[:-HELD]), (x[-HELD:], y[-HELD:]), (inputs[test], labels[test]))


def forward(w: Mapping[str, Tensor], x: Tensor) -> Tensor:
    h = F.relu(F.linear(x, w["fc1.weight"], w["fc1.bias"]))
    h = F.relu(F.linear(h, w["fc2.weight"], w["fc2.bias"]))
    return F.linear(h, w["fc3.weight"], w["fc3.bias"])


def sgd(train: Mapping[str, Any]) -> Callable[[str, Tensor, Tensor, float], Tensor]:
    """Sutskever et al. (2013) in torch's convention: v = mu v + g, w -= lr v (or lr (g + mu v))."""
    mu, nesterov, decay = (
        train.get("momentum", 0.9),
        train.get("nesterov", False),
        train.get("weight_decay", 0),
    )
    velocity: dict[str, Tensor] = {}

    def step(name: str, w: Tensor, g: Tensor, lr: float) -> Tensor:
        if train.get("decay", "all") == "all" or w.dim() > 1:
            g = g + decay * w
        velocity[name] = mu * velocity[name] + g if name in velocity else g
        return w - lr * (g + mu * velocity[name] if nesterov else velocity[name])

    return step


def adam(train: Mapping[str, Any]) -> Callable[[str, Tensor, Tensor, float], Tensor]:
    """Kingma & Ba (2015), Algorithm 1, with L2 in the gradient."""
    first: dict[str, Tensor] = {}
    second: dict[str, Tensor] = {}
    count: dict[str, int] = {}

    def step(name: str, w: Tensor, g: Tensor, lr: float) -> Tensor:
        if train.get("decay", "all") == "all" or w.dim() > 1:
            g = g + train.get("weight_decay", 0) * w
        t = count[name] = count.get(name, 0) + 1
        first[name] = 0.9 * first.get(name, torch.zeros_like(g)) + 0.1 * g
        second[name] = 0.999 * second.get(name, torch.zeros_like(g)) + 0.001 * g * g
        centre, spread = first[name] / (1 - 0.9**t), second[name] / (1 - 0.999**t)
        return w - lr * centre / (spread.sqrt() + 1e-8)

    return step


@dataclass
class Course:
    """What a training did."""

    logits: list[Tensor]
    losses: list[float]
    weights: dict[str, Tensor]
    epochs: list[tuple[float, float]]
    """Training loss and accuracy of each epoch."""
    exams: list[list[float]]
    """Loss and accuracy on validation and test, before training and after each epoch."""


def reference(
    start: Mapping[str, Tensor], keep: Mapping[str, Tensor], data: Digits, train: Mapping[str, Any]
) -> Course:
    """Train as a textbook says."""
    x, y = data.train
    batch, count = train["batch"], len(y)
    per_epoch = count // batch if train.get("drop_last") else math.ceil(count / batch)
    update = (adam if train.get("optimizer") == "adam" else sgd)(train)
    w = {name: value * keep.get(name, torch.tensor(1.0)) for name, value in start.items()}
    done = Course([], [], w, [], [exam(w, data)])
    for epoch in range(train["epochs"]):
        order = torch.from_numpy(Seeds(SEED).order("order", epoch, count=count))
        loss_sum, right, seen = 0.0, 0, 0
        for position in range(per_epoch):
            chosen = order[position * batch : (position + 1) * batch]
            leaves = {name: value.detach().clone().requires_grad_() for name, value in w.items()}
            logits = forward(leaves, x[chosen])
            loss = F.cross_entropy(logits, y[chosen])
            gradients = torch.autograd.grad(loss, list(leaves.values()))
            lr = rate(train, epoch * per_epoch + position, per_epoch)
            for name, gradient in zip(leaves, gradients, strict=True):
                w[name] = update(name, w[name], gradient, lr)
                if name in keep:
                    w[name] = w[name] * keep[name]
            done.logits.append(logits.detach())
            done.losses.append(loss.item())
            loss_sum += loss.item() * len(chosen)
            right += int((logits.argmax(1) == y[chosen]).sum())
            seen += len(chosen)
        done.epochs.append((loss_sum / seen, right / seen))
        done.exams.append(exam(w, data))
    return done


def exam(w: Mapping[str, Tensor], data: Digits) -> list[float]:
    found = []
    for x, y in (data.val, data.test):
        logits = forward({name: value.double() for name, value in w.items()}, x.double())
        found += [float(F.cross_entropy(logits, y)), float((logits.argmax(1) == y).double().mean())]
    return found


def rate(train: Mapping[str, Any], step: int, per_epoch: int) -> float:
    """The learning rate, for the schedules below alone."""
    lr, total = train["lr"], train["epochs"] * per_epoch
    if train.get("schedule") == "cosine":
        lr *= 0.5 + 0.5 * math.cos(math.pi * step / total)
    if train.get("schedule") == "step":
        lr *= 0.1 ** sum(step >= mark for mark in (3, per_epoch))  # milestones 3it and 1ep
    warm = 4 if train.get("warmup") else 0
    return lr * (step + 1) / warm if step < warm else lr


# --------------------------------------------------------------------------------------------------- the engine


def engine_setting(cache: Path, train: Mapping[str, Any]) -> Setting:
    tables = {
        "model": {"name": "lenet-300-100"},
        "data": {"name": "digits", "validation": f"last:{HELD}"},
        "train": {"threads": 1, "precision": "f32", **train},
    }
    recipe: Recipe = parse_recipe(tables, where="test")
    around = Surroundings(torch.device("cpu"), cache, Silent(), lambda: None, offline=True)
    return prepare(recipe, Seeds(SEED), around)


def engine(
    setting: Setting, mask: Mask | None, folder: Path, start: State | None = None
) -> tuple[Fit, list[Tensor]]:
    """The engine's training, and the logits of each of its steps."""
    logits: list[Tensor] = []

    def listen(model: torch.nn.Module, inputs: Any, output: Tensor) -> None:
        if model.training:
            logits.append(output.detach().clone())

    hook = setting.bench.model.register_forward_hook(listen)
    try:
        lab = setting.lab(folder)
        fit = lab.fit_in(FitFiles(folder), start or setting.initial, mask, keep=(), title="test")
    finally:
        hook.remove()
    return fit, logits


def some_mask(setting: Setting) -> Mask:
    """Half of the weights of the prunable layers, by an independent generator."""
    numbers = np.random.default_rng(1)
    return Mask.from_arrays({n: numbers.random(tuple(s)) < 0.5 for n, s in setting.shapes.items()})


BASE = {"epochs": 2, "batch": 256, "lr": 0.05}
TRAININGS: dict[str, dict[str, Any]] = {
    "sgd": {**BASE, "momentum": 0.0},
    "momentum": {**BASE, "momentum": 0.9},
    "nesterov, decay on all": {**BASE, "nesterov": True, "weight_decay": 0.01},
    "momentum, decay on weights": {**BASE, "weight_decay": 0.01, "decay": "weights"},
    "adam": {**BASE, "optimizer": "adam", "lr": 0.003},
    "adam, decay on all": {**BASE, "optimizer": "adam", "lr": 0.003, "weight_decay": 0.01},
    "drop_last, cosine": {**BASE, "drop_last": True, "schedule": "cosine"},
    "step, warm-up": {
        **BASE, "batch": 128, "schedule": "step", "milestones": ("3it", "1ep"), "warmup": "4it", "lr": 0.2,
    },
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("masked", [False, True], ids=["dense", "masked"])
@pytest.mark.parametrize("train", TRAININGS.values(), ids=TRAININGS.keys())
def test_the_engine_trains_as_the_reference_does(
    train: dict[str, Any], masked: bool, digits: Digits, tmp_path: Path
) -> None:
    setting = engine_setting(tmp_path / "cache", train)
    mask = some_mask(setting) if masked else None
    keep = {name: value.float() for name, value in mask.keep.items()} if mask else {}
    truth = reference(setting.initial.weights, keep, digits, train)
    fit, logits = engine(setting, mask, tmp_path / "fit")
    assert len(logits) == len(truth.logits) == fit.steps == len(fit_rates(fit, train)) * train["epochs"]
    assert {len(batch) for batch in logits} == {len(batch) for batch in truth.logits}
    for step, (ours, theirs) in enumerate(zip(logits, truth.logits, strict=True)):
        torch.testing.assert_close(
            ours, theirs, rtol=1e-4, atol=1e-4, msg=lambda text, s=step: f"step {s}: {text}"
        )
    end = fit.end().weights
    assert end.keys() == truth.weights.keys()
    for name, value in truth.weights.items():
        torch.testing.assert_close(end[name], value, rtol=1e-4, atol=2e-5, msg=lambda t, n=name: f"{n}: {t}")
    table = {name: fit.history[:, at].tolist() for at, name in enumerate(fit.columns)}
    assert table["train.loss"][1:] == pytest.approx([loss for loss, _ in truth.epochs], rel=1e-5)
    assert table["train.accuracy"][1:] == [accuracy for _, accuracy in truth.epochs]
    for at, name in enumerate(("val.loss", "val.accuracy", "test.loss", "test.accuracy")):
        assert table[name] == pytest.approx([row[at] for row in truth.exams], rel=2e-5), name


def fit_rates(fit: Fit, train: Mapping[str, Any]) -> range:
    """Steps of an epoch, by the recipe's words."""
    count = 1438 - HELD
    return range(count // train["batch"] if train.get("drop_last") else -(-count // train["batch"]))


def test_with_the_same_operations_it_is_the_same_bits(tmp_path: Path) -> None:
    """torch's own module, optimizer and loss in a loop of ten lines; masks by plain multiplication."""
    train = {**BASE, "nesterov": True, "weight_decay": 0.01}
    setting = engine_setting(tmp_path / "cache", train)
    mask = some_mask(setting)
    fit, logits = engine(setting, mask, tmp_path / "fit")
    layers = [torch.nn.Linear(64, 300), torch.nn.Linear(300, 100), torch.nn.Linear(100, 10)]
    start = iter(setting.initial.weights.values())
    for layer in layers:
        layer.weight.data, layer.bias.data = next(start).clone(), next(start).clone()
    net = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01, fused=True
    )
    masks = list(mask.keep.values())
    for layer, keep in zip(layers, masks, strict=True):
        layer.weight.data *= keep
    images = setting.bench.feed.images
    position = 0
    for epoch in range(2):
        order = torch.from_numpy(Seeds(SEED).order("order", epoch, count=len(images)))
        for chosen in order.split(256):
            inputs = images.scaling(images.pixels[chosen]).flatten(1)
            outputs = net(inputs)
            assert torch.equal(outputs, logits[position]), f"step {position}"
            optimizer.zero_grad()
            F.cross_entropy(outputs, images.labels[chosen]).backward()
            optimizer.step()
            for layer, keep in zip(layers, masks, strict=True):
                layer.weight.data *= keep
            position += 1
    assert position == fit.steps
    for name, theirs in zip(setting.initial.weights, net.parameters(), strict=True):
        assert torch.equal(fit.end().weights[name], theirs), name


def test_a_start_on_the_way_goes_on_with_order_rate_and_a_fresh_optimizer(
    digits: Digits, tmp_path: Path
) -> None:
    """Without momentum there is nothing to forget: from step 7 of 10 the second half is that of the whole."""
    train = {**BASE, "momentum": 0.0, "schedule": "cosine"}
    setting = engine_setting(tmp_path / "cache", train)
    lab = setting.lab(tmp_path / "whole")
    whole = lab.fit_in(FitFiles(tmp_path / "whole"), setting.initial, None, keep=(7,), title="whole")
    rest, logits = engine(setting, None, tmp_path / "rest", start=whole.state(7))
    assert rest.steps == len(logits) == 3
    for name, value in whole.end().weights.items():
        assert torch.equal(rest.end().weights[name], value), name
    truth = reference(setting.initial.weights, {}, digits, train)
    for ours, theirs in zip(logits, truth.logits[7:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
