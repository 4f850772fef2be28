"""Label smoothing and distillation against torch, autograd and the formulas written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.train import small
from tests.tweaks import alone
from ticketctl.errors import UsageError
from ticketctl.seeds import Seeds
from ticketctl.train.hooks import Batch, Hooks
from ticketctl.train.kit import Kit
from ticketctl.tweaks import kd, ls

IMAGES, CLASSES = 7, 5


def logits(seed: int) -> Tensor:
    numbers = np.random.default_rng(seed).normal(0, 2, (IMAGES, CLASSES))
    return torch.from_numpy(numbers).requires_grad_()


LABELS = torch.from_numpy(np.random.default_rng(9).integers(0, CLASSES, IMAGES))


def gradient(value: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(value, at, retain_graph=True)[0]


def against(targets: Tensor, answers: Tensor) -> Tensor:
    """Mean cross-entropy between rows of probabilities, written out."""
    return -(targets * torch.log(answers.exp() / answers.exp().sum(1, keepdim=True))).sum(1).mean()


# -------------------------------------------------------------------------------------------------- label smoothing


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("form", ["torch", "tost"])
def test_smoothed_targets_are_the_printed_ones(alpha: float, form: ls.Form) -> None:
    """Value, and the gradient p - y'."""
    z = logits(0)
    onehot = nn.functional.one_hot(LABELS, CLASSES).double()
    if form == "torch":
        targets = (1 - alpha) * onehot + alpha / CLASSES
    else:
        targets = (1 - alpha) * onehot + alpha / (CLASSES - 1) * (1 - onehot)
    ours = ls.smoothed(z, LABELS, alpha, form)
    torch.testing.assert_close(ours, against(targets, z), rtol=1e-12, atol=1e-12)
    wanted = (z.detach().softmax(1) - targets) / IMAGES
    torch.testing.assert_close(gradient(ours, z), wanted, rtol=1e-12, atol=1e-12)


def test_the_codes_form_is_torchs_at_alpha_k_over_k_minus_1() -> None:
    z, alpha = logits(1), 0.1
    ours = ls.smoothed(z, LABELS, alpha, "tost")
    theirs = nn.functional.cross_entropy(z, LABELS, label_smoothing=alpha * CLASSES / (CLASSES - 1))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient(ours, z), gradient(theirs, z), rtol=1e-12, atol=1e-12)


def test_it_replaces_whatever_the_loss_was() -> None:
    hook = ls.tweak(Kit(small.bench(), Seeds(0), None), params=ls.Params())
    z, batch = logits(2).float(), Batch(torch.zeros(0), LABELS, torch.arange(IMAGES))
    wanted = nn.functional.cross_entropy(z, LABELS, label_smoothing=0.1)
    assert torch.equal(hook.loss(z, batch, torch.tensor(3.0)), wanted)
    low = hook.loss(z.bfloat16(), batch, torch.tensor(3.0))
    assert low.dtype == torch.float32


# ----------------------------------------------------------------------------------------------------- distillation


def divergence(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """The printed formula: sum_k q_k log(q_k / p_k), the mean over images."""
    p, q = (z / tau for z in (student, teacher))
    p, q = (z.exp() / z.exp().sum(1, keepdim=True) for z in (p, q))
    return (q * (q / p).log()).sum(1).mean()


@pytest.mark.parametrize("tau", [0.5, 1.0, 4.0])
def test_the_distance_is_the_printed_divergence_and_so_is_its_gradient(tau: float) -> None:
    z, taught = logits(3), logits(4).detach()
    ours, theirs = kd.distance(z, taught, tau), divergence(z, taught, tau)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient(ours, z), gradient(theirs, z), rtol=1e-11, atol=1e-12)
    closed = (z.detach() / tau).softmax(1) - (taught / tau).softmax(1)
    torch.testing.assert_close(gradient(ours, z), closed / (tau * IMAGES), rtol=1e-11, atol=1e-12)


def test_a_net_that_says_what_its_teacher_says_has_distance_zero() -> None:
    z = logits(5)
    assert abs(kd.distance(z, z.detach(), 4.0).item()) < 1e-15
    assert float(gradient(kd.distance(z, z.detach(), 4.0), z).abs().max()) < 1e-15


def test_at_a_high_temperature_tau2_gives_half_the_squared_distance_of_centred_logits() -> None:
    """tau^2 KL -> sum_k (z_s - z_t)^2 / 2K of logits less their means (Hinton et al. 2015, section 2.1)."""
    z, taught, tau = logits(6).detach(), logits(7).detach(), 1e4
    apart = (z - z.mean(1, keepdim=True)) - (taught - taught.mean(1, keepdim=True))
    wanted = apart.square().sum(1).mean() / (2 * CLASSES)
    torch.testing.assert_close(tau**2 * kd.distance(z, taught, tau), wanted, rtol=1e-3, atol=0)


class Labelled(nn.Module):
    """A teacher that says what it was told."""

    def __init__(self, answers: Tensor) -> None:
        super().__init__()
        self.answers, self.asked = answers, 0

    def forward(self, inputs: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        self.asked += 1
        return self.answers


def taught(**keys: Any) -> tuple[Hooks, Labelled]:
    net = Labelled(logits(8).detach().float())
    bench = small.bench()
    hook = kd.tweak(Kit(bench, Seeds(0), None, kd.Teacher(net, "d")), params=kd.Params(**keys))
    return hook, net


@pytest.mark.parametrize(
    ("keys", "factor", "share"),
    [
        ({}, 0.9 * 16, 0.1),
        ({"tau2": False}, 0.9, 0.1),
        ({"weight": 1.0, "tau2": False}, 1.0, 0.0),
        ({"tau": 1.0, "weight": 0.3}, 0.3, 0.7),
    ],
)
def test_the_terms_are_blended_as_specified(keys: dict[str, Any], factor: float, share: float) -> None:
    hook, net = taught(**keys)
    z = logits(10).detach().float().requires_grad_()
    value = nn.functional.cross_entropy(z, LABELS)
    ours = hook.loss(z, Batch(torch.zeros(0), LABELS, LABELS), value)
    theirs = factor * divergence(z, net.answers, keys.get("tau", 4.0)) + share * value
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient(ours, z), gradient(theirs, z), rtol=1e-4, atol=1e-6)


def test_the_teacher_is_asked_once_for_a_batch_and_not_at_all_at_weight_0() -> None:
    batch, z = Batch(torch.zeros(0), LABELS, LABELS), logits(11).float()
    for weight, asked in ((0.9, 1), (0.0, 0)):
        hook, net = taught(weight=weight)
        hook.loss(z, batch, z.sum())
        hook.loss(z, batch, z.sum())
        assert net.asked == asked
        hook.loss(z, Batch(torch.zeros(0), LABELS, LABELS), z.sum())
        assert net.asked == 2 * asked


def test_the_teacher_sees_the_students_batch_and_stays_as_it_was() -> None:
    hook = alone.hook("kd", {"weight": 1.0, "tau": 1.0, "tau2": False}, small.bench())
    assert isinstance(hook, kd.Distillation)
    before = {name: value.clone() for name, value in hook.teacher.net.state_dict().items()}
    inputs, labels, index = small.bench(padding=1).feed.batch(0)
    student = alone.teacher().net.requires_grad_(True)
    value = hook.loss(student(inputs), Batch(inputs, labels, index), torch.tensor(9.0))
    assert abs(value.item()) < 1e-6  # the student is the teacher's twin
    value.backward()
    assert all(p.grad is None for p in hook.teacher.net.parameters())
    assert all(torch.equal(before[name], value) for name, value in hook.teacher.net.state_dict().items())


def test_the_training_is_named_by_the_teachers_weights_and_not_by_where_they_lie() -> None:
    one, other = (
        alone.hook("kd", {"teacher": where}, small.bench()).identity() for where in ("dense", "x/y")
    )
    assert one == other == {"tweak": "kd", "teacher": "of seed 7", "tau": 4.0, "weight": 0.9, "tau2": True}


# ----------------------------------------------------------------------------------------------- in a whole training

BOTH: alone.Worn = [("ls", {"form": "tost"}), ("kd", {})]


@pytest.mark.parametrize("worn", [[("ls", {"alpha": 0})], [("kd", {"weight": 0})]], ids=["ls", "kd"])
def test_at_strength_zero_no_bit_changes(tmp_path: Path, worn: alone.Worn) -> None:
    plain = alone.train(tmp_path / "plain", [])
    assert alone.same_bytes(alone.train(tmp_path / "worn", worn), plain)


@pytest.mark.long
@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("worn", [BOTH[:1], BOTH[1:], BOTH], ids=["ls", "kd", "both"])
def test_stopped_anywhere_it_goes_on_to_the_same_bits(
    tmp_path: Path, worn: alone.Worn, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = alone.spec(epochs=2, precision=precision)
    alone.goes_on(tmp_path, worn, monkeypatch, train=spec, padding=1)


def test_pruned_weights_are_zero_and_what_is_minimised_is_recorded_beside_the_cross_entropy(
    tmp_path: Path,
) -> None:
    fit = alone.train(tmp_path / "a", BOTH)
    assert not alone.pruned(fit).any()
    row = dict(zip(fit.columns, fit.history[-1].tolist(), strict=True))
    assert row["train.objective"] != row["train.loss"]
    assert not alone.same_bytes(fit, alone.train(tmp_path / "b", []))


def test_with_both_the_labels_term_is_smoothed(tmp_path: Path) -> None:
    """The first step's objective, from the weights before it."""
    spec = alone.spec(epochs=1, batch=small.IMAGES)
    fit = alone.train(tmp_path, [("ls", {"alpha": 0.2}), ("kd", {"weight": 0.5, "tau": 2.0})], train=spec)
    inputs, labels = alone.batches(spec)[0]
    net = small.Net()
    small.weights().load_into(net)
    net.train()
    with torch.no_grad():
        for name, keep in small.half().keep.items():
            net.get_parameter(name).mul_(keep)
        z, q = net(inputs).double(), alone.teacher().net(inputs).double()
    smooth = nn.functional.cross_entropy(z, labels, label_smoothing=0.2)
    wanted = 0.5 * 4 * divergence(z, q, 2.0) + 0.5 * smooth
    row = dict(zip(fit.columns, fit.history[-1].tolist(), strict=True))
    assert row["train.objective"] == pytest.approx(float(wanted), rel=1e-5)
    assert row["train.loss"] == pytest.approx(float(nn.functional.cross_entropy(z, labels)), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("ls", {"alpha": 1.0}),
        ("ls", {"alpha": -0.1}),
        ("ls", {"alpha": float("nan")}),
        ("kd", {"tau": 0.0}),
        ("kd", {"tau": float("inf")}),
        ("kd", {"weight": 1.5}),
        ("kd", {"weight": float("nan")}),
    ],
)
def test_keys_out_of_range_are_refused_by_name(name: str, keys: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=rf"tweaks\.{name}\.{next(iter(keys))}"):
        alone.hook(name, keys, small.bench())


def test_without_a_teacher_nothing_is_distilled() -> None:
    with pytest.raises(UsageError, match=r"tweaks\.kd\.teacher"):
        kd.tweak(Kit(small.bench(), Seeds(0), None), params=kd.Params())
