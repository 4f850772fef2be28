"""Landscapes against a net of doubles, closed forms and roots found by scipy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from tests.curves.grounds import (
    Keeper,
    Stopped,
    check_same,
    check_untouched,
    conv_net,
    end,
    found_state,
    loss_of,
    masked,
    says,
    seen,
    terrain,
)
from tests.metrics.specimens import random_images, specimen
from ticketctl.curves._directions import directed
from ticketctl.curves.plane import Params, doubled, measure, parabola, price
from ticketctl.errors import UsageError
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Absent
from ticketctl.train.specimen import Specimen

SMALL = Params(points=5, images=0)


def moved(subject: Specimen, params: Params, *far: float) -> dict[str, Tensor]:
    """Weights at a place of the plane, float64."""
    weights = {name: value.detach().clone() for name, value in subject.model.named_parameters()}
    keeps = subject.masks() if params.subspace == "sparse" else {}
    found = {name: value.double() for name, value in weights.items()}
    for number, size in enumerate(far):
        direction = directed(weights, keeps, Seeds(0), "plane", number, norm=params.norm)
        for name, part in zip(weights, direction, strict=True):
            found[name] += size * part.double()
    return found


@pytest.mark.parametrize("subspace", ["sparse", "full"])
def test_every_place_is_that_of_a_net_of_doubles(subspace: Any) -> None:
    net = conv_net()
    subject, params = seen(net, masked(net)), replace(SMALL, subspace=subspace)
    found = measure(terrain(subject), params=params)
    grid = found.arrays["grid"]
    assert grid.tolist() == [-1, -0.5, 0, 0.5, 1]
    for i, a in enumerate(grid):
        for j, b in enumerate(grid):
            weights = moved(subject, params, a, b)
            assert found.arrays["loss"][i, j] == pytest.approx(loss_of(net, weights, subject), rel=2e-6)
            right = says(net, weights, subject.pixels("train")).argmax(1) == subject.labels("train")
            assert found.arrays["accuracy"][i, j] == pytest.approx(float(right.double().mean()))
    assert found.values["plane.loss"].value == found.arrays["loss"][2, 2]
    assert found.values["plane.max"].value == found.arrays["loss"].max()
    assert abs(found.values["plane-cosine"].value) < 0.3


def test_one_dimension_is_the_first_axis_of_two() -> None:
    subject = seen(conv_net())
    one = measure(terrain(subject), params=replace(SMALL, dimensions=1))
    two = measure(terrain(subject), params=SMALL)
    np.testing.assert_array_equal(one.arrays["loss"], two.arrays["loss"][:, 2])
    assert "plane-cosine" not in one.values
    assert one.values["plane"].value == two.arrays["half-width"][0].mean()
    assert two.values["plane"].value == two.arrays["half-width"].mean()


def sure(net: nn.Module) -> Specimen:
    """The net on images that it answers right."""
    pixels, _ = random_images(60, (3, 4, 4), 3)
    with torch.no_grad():
        labels = net(torch.from_numpy(pixels).float() / 255).argmax(1).numpy()
    return specimen(net, pixels, labels, classes=3)


def test_half_width_and_curvature_are_those_of_the_exact_curve() -> None:
    subject = sure(conv_net(2))
    params = Params(dimensions=1, points=41, span=2.0, images=0)
    found = measure(terrain(subject), params=params)

    def loss(far: float) -> float:
        return loss_of(subject.model, moved(subject, params, far), subject)

    own, step = loss(0), 0.1
    for side, width in zip((-1, 1), found.arrays["half-width"][0], strict=True):
        losses = [loss(side * step * k) for k in range(21)]
        first = next((k for k, value in enumerate(losses) if value > 2 * own), None)
        if first is None:
            assert width == np.inf
            continue
        root = brentq(lambda far, s=side: loss(s * far) - 2 * own, step * (first - 1), step * first)
        assert width == pytest.approx(root, abs=step / 256)
    assert np.isfinite(found.arrays["half-width"]).any()
    near = np.array([-0.1, -0.05, 0, 0.05, 0.1])
    fit = np.polyfit(near, [loss(far) for far in near], 2)
    assert found.values["plane.curvature"].value == pytest.approx(2 * fit[0], rel=1e-3)


def test_a_parabola_is_found_and_doubling_is_the_first_on_the_way() -> None:
    near = np.linspace(-0.1, 0.1, 5)
    assert parabola(near, 3 + 0.4 * near + 1.7 * near**2) == pytest.approx(3.4)
    grid = np.linspace(0, 2, 21)

    def wave(far: float) -> float:
        return float(1 + 4 * np.sin(3 * far) ** 2)

    found = doubled(wave, grid, np.array([wave(far) for far in grid]), 2.0)
    assert found == pytest.approx(np.arcsin(0.5) / 3, abs=0.1 / 256)
    assert doubled(wave, -grid, np.array([wave(far) for far in grid]), 2.0) == pytest.approx(-found)
    assert doubled(lambda far: 1.0, -grid, np.ones(21), 2.0) == -np.inf


def test_scaling_the_weights_before_a_batchnorm_leaves_the_landscape_as_it_is() -> None:
    one, other = conv_net(), conv_net()
    for net in (one, other):
        net[1].eps = 1e-12
    with torch.no_grad():
        other[0].weight *= 7
        other[1].running_mean *= 7
        other[1].running_var *= 49
    ours, theirs = (measure(terrain(seen(net)), params=SMALL).arrays["loss"] for net in (one, other))
    np.testing.assert_allclose(theirs, ours, rtol=2e-5)
    with torch.no_grad():  # without the statistics it is another function
        other[1].running_var /= 49
    assert abs(measure(terrain(seen(other)), params=SMALL).arrays["loss"] / ours - 1).max() > 0.01


def test_recalibrated_statistics_are_those_of_each_place() -> None:
    net = conv_net()
    subject, params = seen(net), replace(SMALL, dimensions=1, bn="recalibrate", bn_images=0)
    before = found_state(net)
    found = measure(terrain(subject), params=params)
    check_untouched(net, before)
    for far, loss in zip(found.arrays["grid"], found.arrays["loss"], strict=True):
        weights = moved(subject, params, far)
        inner = nn.functional.conv2d(subject.pixels("train").double(), weights["0.weight"], padding=1)
        twin = conv_net()
        twin[1].running_mean.copy_(inner.mean((0, 2, 3)))
        twin[1].running_var.copy_(inner.transpose(0, 1).flatten(1).var(1))
        assert loss == pytest.approx(loss_of(twin, weights, subject), rel=1e-5)


class Steep(nn.Module):
    """Logits (exp(200 w) x, 0): beyond float32 where w is 0.45 or more."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.25]]))

    def forward(self, x: Tensor) -> Tensor:
        said = (200 * self.weight).exp() * x.flatten(1)
        return torch.cat([said, torch.zeros_like(said)], dim=1)


def test_a_loss_that_is_not_finite_is_stored_as_infinite_and_its_images_are_wrong() -> None:
    pixels, labels = np.full((4, 1, 1, 1), 255, np.uint8), np.array([0, 0, 0, 1])
    subject = specimen(Steep(), pixels, labels, classes=2)
    found = measure(terrain(subject), params=Params(dimensions=1, points=11))
    loss, accuracy = found.arrays["loss"], found.arrays["accuracy"]
    beyond = np.isinf(loss)
    assert beyond.any()
    assert not beyond.all()
    assert (accuracy[beyond] == 0).all()
    assert (accuracy[~beyond] == 0.75).all()
    assert found.values["plane.max"].value == np.inf
    with torch.no_grad():
        subject.model.weight.fill_(1.0)
    with pytest.raises(Absent, match="the loss of the net itself is inf"):
        measure(terrain(subject), params=SMALL)


def test_a_stopped_grid_goes_on_row_by_row_to_the_same_bits() -> None:
    net = conv_net()
    subject = seen(net, masked(net))
    before, whole = found_state(net), measure(terrain(subject), params=SMALL)
    keeper = Keeper(stop=3)
    with pytest.raises(Stopped):
        measure(terrain(subject, keep=keeper), params=SMALL)
    check_untouched(net, before)
    keeper.stop = None
    check_same(measure(terrain(subject, keep=keeper), params=SMALL), whole)
    assert keeper.made == [f"row-000{n}" for n in range(5)] + ["direction-0", "direction-1"]


def test_the_net_is_put_back_where_somebody_stops_it() -> None:
    net, calls = conv_net(), []

    def poll() -> None:
        calls.append(None)
        if len(calls) == 9:
            raise Stopped

    subject = replace(seen(net), poll=poll)
    before = found_state(net)
    with pytest.raises(Stopped):
        measure(terrain(subject), params=replace(SMALL, bn="recalibrate"))
    check_untouched(net, before)


def test_images_are_drawn_by_the_seed_and_larger_draws_contain_smaller() -> None:
    subject = seen(conv_net())
    few = Params(dimensions=1, points=3, images=10)
    one, again, other = (measure(terrain(subject, seed=seed), params=few) for seed in (0, 0, 1))
    check_same(one, again)
    assert one.values["plane.loss"] != other.values["plane.loss"]
    assert one.values["plane.loss"].n == 10


def test_keys_and_sets_and_ends_that_cannot_be_are_refused() -> None:
    for keys, words in (
        ({"points": 10}, "curves.plane.points = 10 must be odd"),
        ({"span": 0.0}, "curves.plane.span = 0.0 must be above 0"),
        ({"images": -1}, "curves.plane.images = -1 must be 0"),
    ):
        with pytest.raises(UsageError, match=words):
            Params(**keys)
    subject = seen(conv_net())
    with pytest.raises(UsageError, match="plane is about one net; 2 are given"):
        measure(terrain(subject, end("1", conv_net(1))), params=SMALL)


def test_where_no_images_were_held_out_test_takes_their_place() -> None:
    subject = seen(conv_net())
    bare = replace(subject, images={name: subject.images[name] for name in ("train", "test")})
    sets = [
        measure(terrain(each), params=replace(SMALL, set="val")).protocol["set"] for each in (subject, bare)
    ]
    assert sets == ["val", "test"]
    assert price({"train": 5, "test": 7}, replace(SMALL, set="val"), 1) % 7 == 0


def test_the_price_is_about_what_is_passed() -> None:
    passed = []
    net = conv_net()
    subject = seen(net)
    net.register_forward_hook(lambda module, args, out: passed.append(len(out)))
    for params in (SMALL, replace(SMALL, dimensions=1, points=41, bn="recalibrate", bn_images=10)):
        passed.clear()
        measure(terrain(subject), params=params)
        assert 0.5 < sum(passed) / price({"train": 30}, params, 1) < 1.01


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    from tests.metrics.test_pac_bayes import on_gpu

    net = conv_net()
    subject = seen(net, masked(net))
    ours, theirs = (measure(terrain(each), params=SMALL) for each in (subject, on_gpu(subject)))
    np.testing.assert_allclose(theirs.arrays["loss"], ours.arrays["loss"], rtol=1e-4)
