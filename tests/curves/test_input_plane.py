"""Landscapes over pixels against a softmax regression by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor, nn

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
from tests.metrics.specimens import apart, picked, random_images, specimen
from ticketctl.curves import input_plane as module
from ticketctl.curves.input_plane import Params, measure, price, uphill_of
from ticketctl.errors import UsageError
from ticketctl.seeds import Seeds
from ticketctl.train.specimen import Specimen

SMALL = Params(points=5, images=0, eps=0.3)


def linear(scale: float = 1.0) -> tuple[Specimen, np.ndarray]:
    """Softmax regression on 12 pixels, and its matrix [3, 12], float64."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, bias=False))
    drawn = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 12)) * scale)
    with torch.no_grad():
        net[1].weight.copy_(drawn)
    pixels, labels = random_images(20, (3, 2, 2), 3)
    return apart(specimen(net, pixels, labels, classes=3)), net[1].weight.detach().double().numpy()


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_every_place_of_a_softmax_regression_is_the_closed_form_and_nothing_is_clipped(name: Any) -> None:
    subject, matrix = linear()
    found = measure(terrain(subject), params=replace(SMALL, set=name))
    pixels = subject.pixels(name).flatten(1).double().numpy()
    labels = subject.labels(name).numpy()
    slopes = (softmax(pixels @ matrix.T, axis=1) - np.eye(3)[labels]) @ matrix
    (batch,) = module._batches(subject, Seeds(0), name, np.arange(20))
    np.testing.assert_array_equal(batch.uphill.flatten(1).numpy(), np.sign(slopes))
    random = batch.random.flatten(1).double().numpy()
    assert set(np.unique(random)) == {-1, 1}
    beyond = 0
    for i, a in enumerate(found.arrays["grid"]):
        for j, b in enumerate(found.arrays["grid"]):
            there = pixels + a * np.sign(slopes) + b * random
            beyond += int(((there < 0) | (there > 1)).sum())
            said = there @ matrix.T
            losses = -log_softmax(said, axis=1)[np.arange(20), labels]
            assert found.arrays["loss"][i, j] == pytest.approx(losses.mean(), rel=1e-6)
            assert found.arrays["accuracy"][i, j] == (said.argmax(1) == labels).mean()
    assert beyond
    loss = found.arrays["loss"]
    assert found.values["input-plane"].value == pytest.approx(loss[4, 2] - loss[2, 2], rel=1e-9)
    assert found.values["input-plane.random"].value == pytest.approx(
        (loss[2, 4] + loss[2, 0]) / 2 - loss[2, 2], abs=1e-9
    )
    assert found.values["input-plane.max"].value == loss.max()
    assert found.values["input-plane.loss"].n == 20


def test_for_small_steps_the_rise_is_the_gradients_sum_of_sizes() -> None:
    subject = seen(conv_net())
    pixels = subject.pixels("test").requires_grad_()
    loss = nn.functional.cross_entropy(subject.logits(pixels), subject.labels("test"), reduction="sum")
    (slope,) = torch.autograd.grad(loss, pixels)
    found = measure(terrain(subject), params=replace(SMALL, eps=1e-3, points=3)).values
    first = float(slope.flatten(1).abs().sum(1).mean()) * 1e-3
    assert found["input-plane"].value == pytest.approx(first, rel=0.01)
    assert abs(found["input-plane.random"].value) < 0.05 * first


def test_an_images_random_signs_are_its_own_in_every_subset() -> None:
    subject = seen(conv_net())
    (whole,) = module._batches(subject, Seeds(0), "test", np.arange(30))
    (few,) = module._batches(picked(subject, [3, 17, 29]), Seeds(0), "test", np.arange(3))
    assert torch.equal(few.random, whole.random[[3, 17, 29]])
    assert torch.equal(few.uphill, whole.uphill[[3, 17, 29]])
    (other,) = module._batches(subject, Seeds(1), "test", np.arange(30))
    assert not torch.equal(other.random, whole.random)


class Blind(nn.Module):
    """Sees the images whose first pixel is above one half."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.fc(x.flatten(1)) * (x[:, :1, 0, 0] > 0.5)
        return said


def test_where_there_is_no_gradient_nothing_moves_and_it_is_said() -> None:
    pixels, labels = random_images(20, (3, 2, 2), 3)
    subject = specimen(Blind(), pixels, labels, classes=3)
    found = measure(terrain(subject), params=SMALL).values["input-plane.zero"]
    assert found.value == pytest.approx((pixels[:, 0, 0, 0] <= 127).mean())
    assert not uphill_of(subject, torch.zeros(2, 3, 2, 2), torch.zeros(2, dtype=torch.int64)).any()


def test_a_sure_net_still_has_a_direction() -> None:
    subject, matrix = linear(12.0)
    found = measure(terrain(subject), params=SMALL)
    pixels = subject.pixels("test").flatten(1).double().numpy()
    share = softmax(pixels @ matrix.T, axis=1)[np.arange(20), subject.labels("test").numpy()]
    assert (share > 1 - 1e-9).any()  # where float32 would say that the loss is 0
    assert found.values["input-plane.zero"].value == 0


def test_a_stopped_plane_goes_on_to_the_same_bits_and_leaves_the_net_alone() -> None:
    net = conv_net()
    subject = seen(net, masked(net))
    before, whole = found_state(net), measure(terrain(subject), params=SMALL)
    keeper = Keeper(stop=3)
    with pytest.raises(Stopped):
        measure(terrain(subject, keep=keeper), params=SMALL)
    keeper.stop = None
    check_same(measure(terrain(subject, keep=keeper), params=SMALL), whole)
    assert keeper.made == ["axes", *(f"row-000{n}" for n in range(5))]
    check_untouched(net, before)


def test_the_price_is_what_is_passed_and_keys_that_cannot_be_are_refused() -> None:
    passed = []
    subject = seen(conv_net())
    subject.model.register_forward_hook(lambda module, args, out: passed.append(len(out)))
    measure(terrain(subject), params=SMALL)
    assert sum(passed) == price({"test": 30}, SMALL, 1) - 2 * 30  # the two of a gradient that go backward
    for keys, words in (
        ({"points": 4}, "curves.input-plane.points = 4 must be odd"),
        ({"eps": 0.0}, "curves.input-plane.eps = 0.0 must be above 0 and at most 1"),
        ({"images": -2}, "curves.input-plane.images = -2 must be 0"),
    ):
        with pytest.raises(UsageError, match=words):
            Params(**keys)
    with pytest.raises(UsageError, match="input-plane is about one net"):
        measure(terrain(subject, end("1", conv_net(1))), params=SMALL)


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    from tests.metrics.test_pac_bayes import on_gpu

    subject = seen(conv_net())
    ours, theirs = (measure(terrain(each), params=SMALL) for each in (subject, on_gpu(subject)))
    np.testing.assert_allclose(theirs.arrays["loss"], ours.arrays["loss"], rtol=1e-4)
