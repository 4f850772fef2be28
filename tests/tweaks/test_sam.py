"""SAM and ASAM against two passes written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.train import small
from tests.tweaks import alone
from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.recipe import TrainSpec
from ticketctl.train.course import Course
from ticketctl.train.hooks import Batch, Hooks

KEYS: dict[str, dict[str, Any]] = {
    "sam": {"rho": 0.05},
    "asam": {"rho": 0.5},
    "asam with eta": {"rho": 0.5, "eta": 0.01},
}
each = pytest.mark.parametrize("which", KEYS)
Named = dict[str, Tensor]


def worn(which: str) -> alone.Worn:
    return [(which.partition(" ")[0], KEYS[which])]


# ---------------------------------------------------------------------------------------------- the rule, by hand


def climbed(weights: Named, gradient: Named, keep: Mapping[str, Tensor], which: str) -> Named:
    """theta + e of the masked gradient, one flat vector (Foret et al. 2021; Kwon et al. 2021; davda54/sam for T)."""
    rho, eta = KEYS[which]["rho"], KEYS[which].get("eta", 0.0)
    kept = {name: value * keep[name] if name in keep else value for name, value in gradient.items()}
    flat, at = (torch.cat([part[name].flatten() for name in weights]).double() for part in (kept, weights))
    unit = torch.ones_like(at) if which == "sam" else at.abs() + eta
    move = rho * unit**2 * flat / torch.sqrt(((unit * flat) ** 2).sum())
    parts = move.float().split([value.numel() for value in weights.values()])
    return {
        name: weights[name] + part.view_as(weights[name]) for name, part in zip(weights, parts, strict=True)
    }


def reference(which: str | None, spec: TrainSpec, mask: Mask | None) -> Named:
    """The whole training in functional form: masks, momentum, weight decay, statistics of the first pass."""
    net = small.Net()
    small.weights().load_into(net)
    keep = {name: value.float() for name, value in mask.keep.items()} if mask else {}
    weights = {n: p.detach() * keep.get(n, 1.0) for n, p in net.named_parameters()}
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    momenta = {name: torch.zeros_like(value) for name, value in weights.items()}
    for inputs, labels in alone.batches(spec):
        gradient = gradient_of(net, weights, buffers, inputs, labels)
        if which:
            aside = {name: value.clone() for name, value in buffers.items()}
            gradient = gradient_of(net, climbed(weights, gradient, keep, which), aside, inputs, labels)
        for name in weights:
            momenta[name] = spec.momentum * momenta[name] + gradient[name] + spec.weight_decay * weights[name]
            weights[name] = (weights[name] - spec.lr * momenta[name]) * keep.get(name, 1.0)
    return {**weights, **buffers}


def gradient_of(net: nn.Module, weights: Named, buffers: Named, inputs: Tensor, labels: Tensor) -> Named:
    """Of the mean cross-entropy in train mode, which moves `buffers`."""
    free = {name: value.clone().requires_grad_() for name, value in weights.items()}
    answers = torch.func.functional_call(net.train(), {**free, **buffers}, (inputs,))
    found = torch.autograd.grad(nn.functional.cross_entropy(answers, labels), list(free.values()))
    return dict(zip(free, found, strict=True))


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "dense"])
@each
def test_a_training_is_the_two_passes_written_out(tmp_path: Path, which: str, masked: bool) -> None:
    spec = alone.spec(epochs=3, schedule="constant")
    fit = alone.train(tmp_path, worn(which), train=spec, mask=masked)
    mask = small.half() if masked else None
    ours, theirs, plain = fit.end().weights, reference(which, spec, mask), reference(None, spec, mask)
    apart = 0.0
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=2e-4, atol=2e-5)
        apart = max(apart, float((plain[name] - value).abs().max()))
    assert apart > 1e-2  # and that is not what SGD does


def test_the_hand_written_training_without_a_second_pass_is_the_engines(tmp_path: Path) -> None:
    spec = alone.spec(epochs=3, schedule="constant")
    ours = alone.train(tmp_path, [], train=spec).end().weights
    for name, value in reference(None, spec, small.half()).items():
        torch.testing.assert_close(ours[name], value, rtol=2e-4, atol=2e-5)


# ----------------------------------------------------------------------------------------- what the net goes through


class Spy(Hooks):
    """Notes the weights at each pass, and what follows the first of two."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.passes: list[Named] = []
        self.after: list[Named] = []
        self.pruned: list[float] = []

    def identity(self) -> dict[str, Any]:
        return {"name": "spy"}

    def loss(self, logits: Tensor, batch: Batch, value: Tensor) -> Tensor:
        self.passes.append({name: p.detach().clone() for name, p in self.net.named_parameters()})
        return value

    def grads(self, loop: Course) -> bool:
        self.after.append({name: p.detach().clone() for name, p in loop.parameters.items()})
        gradients = [loop.parameters[name].grad for name in loop.masks]
        assert all(value is not None for value in gradients)
        dense = [value[keep == 0] for value, keep in zip(gradients, loop.masks.values(), strict=True)]
        self.pruned.append(float(torch.cat(dense).abs().max()))
        return True


def spied(folder: Path, which: str) -> Spy:
    on = small.bench(alone.spec())
    hooks = [alone.hook(*worn(which)[0], on), spy := Spy(on.model)]
    small.lab(folder, on).fit(small.weights(), small.half(), hooks=hooks)
    return spy


@each
def test_the_weights_come_back_to_the_bit_and_pruned_ones_never_move(tmp_path: Path, which: str) -> None:
    spy = spied(tmp_path, which)
    assert len(spy.passes) == 2 * len(spy.after) == 24
    for number, after in enumerate(spy.after):
        before, there = spy.passes[2 * number : 2 * number + 2]
        assert all(torch.equal(before[name], after[name]) for name in after)
        assert any(not torch.equal(before[name], there[name]) for name in there)
        for name, keep in small.half().keep.items():
            assert not there[name][~keep].any()


@each
def test_gradients_stay_dense_for_whoever_comes_after(tmp_path: Path, which: str) -> None:
    assert min(spied(tmp_path, which).pruned) > 0


def test_sam_moves_by_rho_over_all_weights_together(tmp_path: Path) -> None:
    spy = spied(tmp_path, "sam")
    for before, there in zip(spy.passes[::2], spy.passes[1::2], strict=True):
        moved = torch.cat([(there[name] - before[name]).flatten().double() for name in there])
        assert float(moved.norm()) == pytest.approx(0.05, rel=1e-4)


def test_asam_moves_by_rho_in_units_of_each_weight(tmp_path: Path) -> None:
    spy = spied(tmp_path, "asam with eta")
    for before, there in zip(spy.passes[::2], spy.passes[1::2], strict=True):
        steps = [
            (there[name] - before[name]).double() / (before[name].double().abs() + 0.01) for name in there
        ]
        assert float(torch.cat([step.flatten() for step in steps]).norm()) == pytest.approx(0.5, rel=1e-3)


def test_an_active_weight_at_zero_recovers_under_sam(tmp_path: Path) -> None:
    on = small.bench(alone.spec())
    start = small.weights()
    name, keep = "fc.weight", small.half().keep["fc.weight"]
    start.weights[name][keep] = 0.0  # type: ignore[index]  # weights are a Mapping, whose tensors may be written into
    fit = small.lab(tmp_path, on).fit(start, small.half(), hooks=[alone.hook("sam", {}, on)])
    assert bool((fit.end().weights[name][keep] != 0).all())


def test_a_gradient_of_zero_perturbs_nothing(tmp_path: Path) -> None:
    """The norm is then 0: weights stay finite, and where they were."""
    on = small.bench(alone.spec(weight_decay=0.0))

    class Flat(Hooks):
        def identity(self) -> dict[str, Any]:
            return {"name": "flat"}

        def loss(self, logits: Tensor, batch: Batch, value: Tensor) -> Tensor:
            return 0 * value

    fit = small.lab(tmp_path, on).fit(small.weights(), None, hooks=[Flat(), alone.hook("sam", {}, on)])
    assert torch.equal(fit.end().weights["fc.weight"], small.weights().weights["fc.weight"])


# ----------------------------------------------------------------------------------------------- in a whole training


@pytest.mark.parametrize("name", ["sam", "asam"])
def test_at_rho_zero_it_is_sgd_to_the_bit(tmp_path: Path, name: str) -> None:
    plain = alone.train(tmp_path / "plain", [])
    assert alone.same_bytes(alone.train(tmp_path / name, [(name, {"rho": 0.0})]), plain)


@pytest.mark.long
@pytest.mark.parametrize("spec", [{}, {"optimizer": "adam", "lr": 0.01}], ids=["sgd", "adam"])
@each
def test_stopped_anywhere_it_goes_on_to_the_same_bits(
    tmp_path: Path, which: str, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone.goes_on(tmp_path, worn(which), monkeypatch, train=alone.spec(epochs=2, **spec), each=2)


@each
def test_pruned_weights_are_zero_in_the_end(tmp_path: Path, which: str) -> None:
    assert not alone.pruned(alone.train(tmp_path, worn(which))).any()


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("sam", {"rho": -0.1}),
        ("sam", {"rho": float("nan")}),
        ("asam", {"rho": float("inf")}),
        ("asam", {"eta": -1.0}),
    ],
)
def test_keys_out_of_range_are_refused_by_name(name: str, keys: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=rf"tweaks\.{name}\.{next(iter(keys))}"):
        alone.hook(name, keys, small.bench())
