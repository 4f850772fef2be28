"""Bezier curves: their ends and coefficients, their training against torch.optim, and a barrier that they go around."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from tests.curves.grounds import (
    Keeper,
    Stopped,
    check_same,
    check_untouched,
    conv_net,
    end,
    found_state,
    masked,
    seen,
    terrain,
)
from tests.metrics.specimens import specimen
from ticketctl.curves import bezier as module
from ticketctl.curves._bezier import (
    Curve,
    Plan,
    Stage,
    Trainer,
    coefficients,
    joined,
    midpoint,
    rate,
    uniform,
)
from ticketctl.curves.bezier import Params, measure, price
from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Absent
from ticketctl.train.specimen import Specimen
from ticketctl.train.terrain import End

SMALL = Params(epochs=3, batch=7, points=5, lr=0.05)


def parts(seed: int) -> list[Tensor]:
    return [value.detach() for value in conv_net(seed).parameters()]


def test_coefficients_are_those_of_bernstein_and_the_ends_are_the_nets_to_the_bit() -> None:
    assert coefficients(0.5) == (0.25, 0.5, 0.25)
    assert coefficients(0.0) == (1, 0, 0)
    assert coefficients(1.0) == (0, 0, 1)
    for t in np.linspace(0, 1, 61):
        assert sum(coefficients(t)) == pytest.approx(1)
    curve = Curve(parts(0), parts(2), parts(1))
    for t, seed in ((0.0, 0), (1.0, 1)):
        assert all(torch.equal(a, b) for a, b in zip(curve.at(t), parts(seed), strict=True))
    for a, c, b, there in zip(parts(0), parts(2), parts(1), curve.at(0.5), strict=True):
        torch.testing.assert_close(there, a / 4 + c / 2 + b / 4)
    straight = Curve(parts(0), midpoint(parts(0), parts(1), [""] * 7, {}), parts(1))
    for a, b, there in zip(parts(0), parts(1), straight.at(0.3), strict=True):
        torch.testing.assert_close(there, 0.7 * a + 0.3 * b)


def test_the_length_is_that_of_the_integral_and_of_the_line() -> None:
    curve = Curve(parts(0), parts(2), parts(1))
    a, c, b = (torch.cat([part.flatten() for part in parts(k)]).double().numpy() for k in (0, 2, 1))
    truth = quad(lambda t: np.linalg.norm(2 * (1 - t) * (c - a) + 2 * t * (b - c)), 0, 1)[0]
    assert curve.lengths() == pytest.approx((truth, np.linalg.norm(b - a)), rel=1e-6)
    straight = Curve(parts(0), midpoint(parts(0), parts(1), [""] * 7, {}), parts(1))
    assert straight.lengths() == pytest.approx((np.linalg.norm(b - a),) * 2, rel=1e-6)


def test_the_middle_may_be_where_the_masks_join() -> None:
    one, two = (
        Mask.from_arrays({"w": np.array(keep)}) for keep in ([True, True, False, False], [True, False] * 2)
    )
    ends = [End(str(k), None, mask) for k, mask in enumerate((one, two))]
    dense = End("2", None, None)
    names = ["w", "b"]
    assert joined(*ends, names, "union")["w"].tolist() == [True, True, True, False]
    assert joined(*ends, names, "intersection")["w"].tolist() == [True, False, False, False]
    assert joined(ends[0], dense, names, "union") == {}
    assert joined(dense, ends[0], names, "intersection")["w"].tolist() == [True, True, False, False]
    assert joined(dense, dense, names, "intersection") == {}


def test_the_rate_stays_falls_and_stays() -> None:
    assert [rate(done) for done in (0, 0.5, 0.7, 0.9, 1)] == pytest.approx([1, 1, 0.505, 0.01, 0.01])


@pytest.mark.parametrize("join", ["union", "intersection"])
def test_the_middle_is_trained_as_torch_trains_a_leaf_of_the_curve(join: Any) -> None:
    nets = [conv_net(k) for k in range(2)]
    masks = [masked(net, 0.5, k) for k, net in enumerate(nets)]
    subject = seen(nets[0], masks[0])
    ends = [end(str(k), net, mask) for k, (net, mask) in enumerate(zip(nets, masks, strict=True))]
    names = [name for name, _ in nets[0].named_parameters()]
    keeps = joined(ends[0], ends[1], names, join)
    first, second = ([value.detach().clone() for value in net.parameters()] for net in nets)
    start = Curve(first, midpoint(first, second, names, keeps), second)
    plan = Plan(epochs=4, lr=0.1, momentum=0.9, batch=7, weight_decay=0.01)
    trainer = Trainer(subject, keeps, plan, Seeds(5))
    stage = Stage(start, [torch.zeros_like(part) for part in first])
    for number in range(4):
        stage = trainer.epoch(number, stage)
    truth = _by_torch(subject, start, names, keeps, plan)
    for name, ours, theirs, began in zip(names, stage.curve.middle, truth, start.middle, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-6)
        assert (ours - began).abs().max() > 1e-3
        if name in keeps:
            assert not ours[~keeps[name]].any()


def _by_torch(
    subject: Specimen, start: Curve, names: list[str], keeps: dict[str, Tensor], plan: Plan
) -> list[Tensor]:
    """Autograd through the whole curve, the decay a part of the loss, the optimizer torch's."""
    net = conv_net()
    leaves = [part.clone().requires_grad_() for part in start.middle]
    optimizer = torch.optim.SGD(leaves, lr=plan.lr, momentum=plan.momentum)
    images, labels = subject.pixels("train"), subject.labels("train")
    net.train()
    for epoch in range(plan.epochs):
        order = torch.from_numpy(Seeds(5).order("landscape", "bezier", "order", epoch, count=30))
        ts = uniform(Seeds(5), "bezier", "t", epoch, count=4)
        optimizer.param_groups[0]["lr"] = plan.lr * (1, 1, 1, 0.38125)[epoch]
        for step, t in enumerate(ts.tolist()):
            index = order[step * 7 : (step + 1) * 7]
            held = {
                name: (1 - t) ** 2 * a
                + 2 * t * (1 - t) * (c * keeps[name] if name in keeps else c)
                + t**2 * b
                for name, a, c, b in zip(names, start.first, leaves, start.second, strict=True)
            }
            loss = nn.functional.cross_entropy(
                torch.func.functional_call(net, held, (images[index],)), labels[index]
            )
            decay = sum((value**2).sum() for value in held.values())
            optimizer.zero_grad()
            (loss + plan.weight_decay / 2 * decay).backward()
            optimizer.step()
    return [leaf.detach() for leaf in leaves]


def test_places_are_uniform_and_never_the_ends() -> None:
    found = uniform(Seeds(0), "bezier", "t", 0, count=20000)
    assert 0 < found.min() < 1e-3 < 1 - 1e-3 < found.max() < 1
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert found.var() == pytest.approx(1 / 12, abs=0.002)


class Units(nn.Module):
    """Two hidden units v relu(u x), and a threshold: right where their sum is near x, 10 times as sure."""

    def __init__(self, unit: int) -> None:
        super().__init__()
        self.u, self.v = (nn.Parameter(torch.zeros(2, 1)) for _ in range(2))
        with torch.no_grad():
            self.u[unit] = self.v[unit] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        said = 10 * (torch.relu(x.flatten(1) @ self.u.T) @ self.v - 0.6)
        return torch.cat([-said, said], dim=1)


def test_a_trained_curve_goes_around_the_barrier_of_the_line() -> None:
    """Either net has one unit; half way there are two, a quarter as much each, and all are answered 0."""
    pixels = np.repeat([60, 255], 20).astype(np.uint8).reshape(-1, 1, 1, 1)
    labels = np.repeat([0, 1], 20)
    subject = specimen(Units(0), pixels, labels, classes=2)
    params = Params(epochs=20, batch=8, lr=0.02, weight_decay=0.0)
    found = measure(terrain(subject, end("1", Units(1))), params=params)
    values, arrays = found.values, found.arrays
    assert values["bezier.line"].value == 50
    assert values["bezier"].value == 0
    assert values["bezier.loss"].value < 0.1 * values["bezier.line.loss"].value
    assert arrays["errors"][[0, -1]].tolist() == [0, 0]
    assert arrays["line.errors"][30] == 0.5
    assert len(arrays["t"]) == 61
    assert values["bezier.length"].value > values["bezier.length.line"].value == pytest.approx(2)
    assert arrays["training"][-1] < arrays["training"][0]


def test_errors_and_losses_are_those_of_the_nets_with_statistics_of_every_t() -> None:
    net, other = conv_net(), conv_net(1)
    subject, before = seen(net), found_state(net)
    keeper = Keeper()
    found = measure(terrain(subject, end("1", other), keep=keeper), params=replace(SMALL, bn_images=0))
    check_untouched(net, before)
    middle = torch.from_numpy(keeper.known["epoch-0003"]["middle"])
    sizes = [value.numel() for value in net.parameters()]
    for head in ("", "line."):
        for number, t in enumerate(found.arrays["t"]):
            twin = conv_net()
            shares = coefficients(float(t)) if not head else (1 - t, 0.0, t)
            with torch.no_grad():
                for value, a, c, b in zip(
                    twin.parameters(), net.parameters(), middle.split(sizes), other.parameters(), strict=True
                ):
                    value.copy_(shares[0] * a + shares[1] * c.view(a.shape) + shares[2] * b)
            update_bn([subject.pixels("train")], twin)
            with torch.no_grad():
                logits = twin.eval()(subject.pixels("val"))
            loss = float(nn.functional.cross_entropy(logits, subject.labels("val")))
            assert found.arrays[f"{head}losses"][number] == pytest.approx(loss, rel=1e-4)
            wrong = float((logits.argmax(1) != subject.labels("val")).double().mean())
            assert found.arrays[f"{head}errors"][number] == pytest.approx(wrong)
    for name, array, unit in (("bezier", "errors", 100), ("bezier.line.loss", "line.losses", 1)):
        curve = found.arrays[array]
        truth = unit * (curve.max() - (curve[0] + curve[-1]) / 2)
        assert found.values[name].value == pytest.approx(truth)
        assert found.values[name].n == 30


def test_a_stopped_training_and_a_stopped_walk_go_on_to_the_same_bits() -> None:
    nets = [conv_net(k) for k in range(2)]
    masks = [masked(net, 0.5, k) for k, net in enumerate(nets)]
    subject, other = seen(nets[0], masks[0]), end("1", nets[1], masks[1])
    before = found_state(nets[0])
    whole = measure(terrain(subject, other), params=SMALL)
    keeper = Keeper()
    for stop in (1, 2, 6):
        keeper.stop = stop
        with pytest.raises(Stopped):
            measure(terrain(subject, other, keep=keeper), params=SMALL)
        check_untouched(nets[0], before)
    keeper.stop = None
    check_same(measure(terrain(subject, other, keep=keeper), params=SMALL), whole)
    assert len(keeper.made) == len(set(keeper.asked)) == 3 + 2 + 2 * 3


def test_of_large_nets_every_few_epochs_are_kept_to_the_same_bits(monkeypatch: Any) -> None:
    subject, other = seen(conv_net()), end("1", conv_net(1))
    params = replace(SMALL, epochs=5, points=3)
    whole = measure(terrain(subject, other), params=params)
    size = 8 * sum(value.numel() for value in subject.model.parameters())
    monkeypatch.setattr(module, "KEPT", 3 * size)
    keeper = Keeper()
    check_same(measure(terrain(subject, other, keep=keeper), params=params), whole)
    assert keeper.made[:3] == ["epoch-0002", "epoch-0004", "epoch-0005"]


def test_the_net_is_put_back_where_somebody_stops_the_training() -> None:
    net, calls = conv_net(), []

    def poll() -> None:
        calls.append(None)
        if len(calls) == 6:
            raise Stopped

    subject, before = replace(seen(net), poll=poll), found_state(net)
    with pytest.raises(Stopped):
        measure(terrain(subject, end("1", conv_net(1))), params=SMALL)
    check_untouched(net, before)


def test_without_training_the_curve_is_the_line_and_of_equal_nets_there_is_no_barrier() -> None:
    net = conv_net()
    subject = seen(net)
    found = measure(terrain(subject, end("1", conv_net(1))), params=replace(SMALL, epochs=0)).arrays
    np.testing.assert_allclose(found["losses"], found["line.losses"], rtol=1e-5)
    same = measure(terrain(subject, end("1", net)), params=replace(SMALL, epochs=0))
    assert same.values["bezier"].value == same.values["bezier.line"].value == 0
    assert same.values["bezier.loss"].value == pytest.approx(0, abs=1e-6)


def test_a_training_that_leaves_the_finite_numbers_is_absent() -> None:
    subject = seen(conv_net(act=nn.ReLU))
    with pytest.raises(Absent, match="left the finite numbers in epoch"):
        measure(terrain(subject, end("1", conv_net(1))), params=replace(SMALL, lr=1e30))


def test_what_cannot_be_is_refused_and_the_price_is_what_is_passed() -> None:
    for keys, words in (
        ({"epochs": -1}, "curves.bezier.epochs = -1 must be at least 0"),
        ({"batch": 1}, "curves.bezier.batch = 1 must be at least 2"),
        ({"points": 2}, "curves.bezier.points = 2 must be at least 3"),
        ({"lr": 0.0}, "curves.bezier.lr = 0.0 must be above 0"),
        ({"momentum": 1.0}, r"curves.bezier.momentum = 1.0 must be in \[0, 1\)"),
        ({"weight_decay": -1.0}, "curves.bezier.weight_decay = -1.0 must be 0 or more"),
        ({"bn_images": -1}, "curves.bezier.bn_images = -1 must be 0"),
    ):
        with pytest.raises(UsageError, match=words):
            Params(**keys)
    subject = seen(conv_net())
    with pytest.raises(UsageError, match="bezier joins two nets; 1 given"):
        measure(terrain(subject), params=SMALL)
    with pytest.raises(UsageError, match="of one architecture"):
        measure(terrain(subject, end("1", nn.Linear(3, 3))), params=SMALL)
    passed = []
    subject.model.register_forward_hook(lambda module, args, out: passed.append(len(out)))
    params = replace(SMALL, batch=10)
    measure(terrain(subject, end("1", conv_net(1))), params=params)
    assert sum(passed) == price({"train": 30, "test": 30}, params, 2) - 2 * 3 * 30


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    from tests.metrics.test_pac_bayes import on_gpu

    subject, other = seen(conv_net()), end("1", conv_net(1))
    ours, theirs = (measure(terrain(each, other), params=SMALL) for each in (subject, on_gpu(subject)))
    for name in ("losses", "line.losses", "training"):
        np.testing.assert_allclose(theirs.arrays[name], ours.arrays[name], rtol=1e-3)
