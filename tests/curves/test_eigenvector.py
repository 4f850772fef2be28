"""The top eigenvector against the whole Hessian, and the loss along it against a net of doubles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
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
from tests.metrics.specimens import exam_of
from ticketctl.curves.eigenvector import Params, measure, price
from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.metrics import hessian
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Absent
from ticketctl.train.hessian import top
from ticketctl.train.specimen import Specimen

SMALL = Params(points=5, set="train", batch=20, tolerance=1e-4)


def matrix(net: nn.Module, subject: Specimen, count: int) -> np.ndarray:
    """The whole Hessian of training images that the seed draws, float64 [P, P]."""
    places = torch.from_numpy(subject.drawn("train", count, Seeds(0), "landscape"))
    assert places.tolist() != list(range(count))
    pixels, labels = subject.pixels("train")[places], subject.labels("train")[places]
    values = {name: value.detach().double() for name, value in net.named_parameters()}

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split([value.numel() for value in values.values()])
        named = {name: part.view(values[name].shape) for name, part in zip(values, parts, strict=True)}
        return nn.functional.cross_entropy(says(net, named, pixels), labels)

    start = torch.cat([value.reshape(-1) for value in values.values()])
    found: np.ndarray = torch.autograd.functional.hessian(loss, start).numpy()
    return found


def alive(net: nn.Module, mask: Mask) -> np.ndarray:
    parts = [mask.keep.get(name, torch.ones_like(value)).bool() for name, value in net.named_parameters()]
    return torch.cat([part.reshape(-1) for part in parts]).numpy()


@pytest.fixture(scope="module")
def known() -> tuple[nn.Module, Mask, Specimen, np.ndarray]:
    """A pruned net, and its whole matrix, pruned coordinates too."""
    net = conv_net()
    mask = masked(net)
    subject = seen(net, mask)
    return net, mask, subject, matrix(net, subject, 20)


@pytest.mark.long
@pytest.mark.parametrize("subspace", ["sparse", "full"])
def test_vector_and_curve_are_those_of_the_whole_matrix(known: Any, subspace: Any) -> None:
    net, mask, subject, whole = known
    keeper = Keeper()
    found = measure(terrain(subject, keep=keeper), params=replace(SMALL, subspace=subspace))
    kept = alive(net, mask) if subspace == "sparse" else np.ones(len(whole), dtype=bool)
    values, vectors = np.linalg.eigh(np.where(np.outer(kept, kept), whole, 0))
    truth = vectors[:, -1] * np.sign(vectors[np.abs(vectors[:, -1]).argmax(), -1])
    assert found.values["eigenvector.lambda"].value == pytest.approx(values[-1], rel=2e-6)
    assert found.values["eigenvector.residual"].value < 1e-4 * values[-1]
    vector = keeper.known["vector"]["vector"]
    assert np.linalg.norm(vector) == pytest.approx(1, rel=1e-6)
    assert not vector[~kept].any()
    np.testing.assert_allclose(vector, truth, atol=1e-5)
    weights = {name: value.detach().double() for name, value in net.named_parameters()}
    parts = torch.from_numpy(vector).double().split([value.numel() for value in weights.values()])
    for far, loss in zip(found.arrays["t"], found.arrays["loss"], strict=True):
        there = {
            name: value + far * part.view(value.shape)
            for (name, value), part in zip(weights.items(), parts, strict=True)
        }
        assert loss == pytest.approx(loss_of(net, there, subject), rel=2e-6)


def test_the_second_difference_at_the_net_is_lambda_and_the_metric_hessian_finds_the_same() -> None:
    net = conv_net()
    subject = seen(net, masked(net))
    params = replace(SMALL, batch=30, span=0.04)
    found = measure(terrain(subject), params=params).values
    top_one = found["eigenvector.lambda"].value
    assert found["eigenvector.curvature"].value == pytest.approx(top_one, rel=0.006)
    assert found["eigenvector.curvature.batch"].value == found["eigenvector.curvature"].value
    keys = hessian.Params(images=30, least=2, most=2, steps=60)
    theirs = hessian.measure(exam_of(subject), params=keys).values
    assert top_one == pytest.approx(theirs["hessian.max"].value, rel=1e-5)
    fuller = measure(terrain(subject), params=replace(params, subspace="full")).values
    assert fuller["eigenvector.lambda"].value == pytest.approx(theirs["hessian.max.full"].value, rel=1e-5)


@pytest.mark.long
def test_the_batch_is_of_training_images_whatever_is_shown(known: Any) -> None:
    _, _, subject, _ = known
    params = replace(SMALL, set="test", span=0.04)
    found = measure(terrain(subject), params=params).values
    truth = found["eigenvector.lambda"].value
    assert found["eigenvector.curvature.batch"].value == pytest.approx(truth, rel=0.006)
    assert abs(found["eigenvector.curvature"].value - truth) > 0.02 * truth
    assert (found["eigenvector.curvature.batch"].n, found["eigenvector.curvature"].n) == (20, 30)


def test_of_a_set_that_lies_class_by_class_the_batch_has_every_class() -> None:
    subject = seen(conv_net(), count=90)
    order = np.argsort(subject.labels("train").numpy(), kind="stable")
    sorted_ = replace(subject, images={**subject.images, "train": subject.images["train"].pick(order)})
    few = sorted_.few("train", 20, Seeds(0), "landscape")
    assert set(few.labels("train").tolist()) == {0, 1, 2}
    mine = measure(terrain(sorted_), params=SMALL).values["eigenvector.lambda"]
    theirs = measure(terrain(few), params=SMALL).values["eigenvector.lambda"]
    assert mine == theirs


def test_rises_are_those_of_the_ends() -> None:
    found = measure(terrain(seen(conv_net())), params=replace(SMALL, set="test"))
    loss, values = found.arrays["loss"], found.values
    assert values["eigenvector.left"].value == pytest.approx(loss[0] - loss[2])
    assert values["eigenvector.right"].value == pytest.approx(loss[4] - loss[2])
    assert values["eigenvector"].value == pytest.approx((loss[0] + loss[4]) / 2 - loss[2])
    assert values["eigenvector"].n == 30
    assert found.arrays["t"].tolist() == [-0.5, -0.25, 0, 0.25, 0.5]


def test_lanczos_begins_anew_until_the_vector_is_true_enough() -> None:
    values = np.concatenate([np.linspace(-2, 0.95, 199), [1.0]])
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(200, 200)))[0]
    whole = torch.from_numpy(basis @ np.diag(values) @ basis.T)
    start = torch.from_numpy(np.random.default_rng(1).normal(size=200))
    poor = top(lambda v: whole @ v, start, 8, tolerance=1e-4, rounds=1)
    good = top(lambda v: whole @ v, start, 8, tolerance=1e-4, rounds=60)
    assert poor.residual > 1e-2
    assert good.residual < 1e-4
    assert good.value == pytest.approx(1, abs=1e-6)
    assert abs(float(good.vector.numpy() @ basis[:, -1])) == pytest.approx(1, abs=1e-4)
    assert poor.products == 9
    assert good.products % 9 == 0
    negative = top(lambda v: -(v * torch.arange(1.0, 6.0)), torch.ones(5), 5, tolerance=1e-4, rounds=2)
    assert negative.value == pytest.approx(-1)


def test_a_stopped_curve_goes_on_to_the_same_bits_without_another_vector() -> None:
    net = conv_net()
    subject = seen(net, masked(net))
    before, whole = found_state(net), measure(terrain(subject), params=SMALL)
    keeper = Keeper(stop=3)
    with pytest.raises(Stopped):
        measure(terrain(subject, keep=keeper), params=SMALL)
    check_untouched(net, before)
    keeper.stop = None
    check_same(measure(terrain(subject, keep=keeper), params=SMALL), whole)
    assert keeper.made == ["vector", *(f"point-000{n}" for n in range(5)), "batch"]


def test_the_net_is_put_back_where_somebody_stops_it() -> None:
    net, calls = conv_net(), []

    def poll() -> None:
        calls.append(None)
        if len(calls) == stop[0]:
            raise Stopped

    subject, before = replace(seen(net), poll=poll), found_state(net)
    stop = [0]
    measure(terrain(subject), params=SMALL)
    for stop[0] in (3, len(calls)):  # in Lanczos; at the last
        calls.clear()
        with pytest.raises(Stopped):
            measure(terrain(subject), params=SMALL)
        check_untouched(net, before)


def test_what_cannot_be_is_refused(monkeypatch: Any) -> None:
    for keys, words in (
        ({"points": 4}, "curves.eigenvector.points = 4 must be odd"),
        ({"steps": 0}, "curves.eigenvector.steps = 0 must be at least 1"),
        ({"batch": 0}, "curves.eigenvector.batch = 0 must be at least 1"),
        ({"tolerance": 0.0}, r"curves.eigenvector.tolerance = 0.0 must be in \(0, 1\)"),
    ):
        with pytest.raises(UsageError, match=words):
            Params(**keys)
    subject = seen(conv_net())
    with pytest.raises(UsageError, match="eigenvector is about one net"):
        measure(terrain(subject, end("1", conv_net(1))), params=SMALL)
    monkeypatch.setattr("ticketctl.train.hessian.memory", lambda _: 4 * 20 * 600)
    with pytest.raises(UsageError, match=r"curves.eigenvector.steps = 40 holds 40 vectors of"):
        measure(terrain(subject), params=SMALL)


def test_a_hessian_that_is_not_finite_is_absent() -> None:
    net = conv_net()
    with torch.no_grad():
        net[4].weight[0, 0] = torch.nan
    with pytest.raises(Absent, match="not finite"):
        measure(terrain(seen(net)), params=SMALL)


def test_the_price_is_about_the_passes() -> None:
    sizes = {"train": 1000, "test": 400}
    assert price(sizes, Params(), 1) == pytest.approx(21 * 400 + 200 * (6 + 10 * 41) + 2 * 40**2)


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    from tests.metrics.test_pac_bayes import on_gpu

    subject = seen(conv_net())
    ours, theirs = (measure(terrain(each), params=SMALL) for each in (subject, on_gpu(subject)))
    np.testing.assert_allclose(theirs.arrays["loss"], ours.arrays["loss"], rtol=1e-3)
    name = "eigenvector.lambda"
    assert theirs.values[name].value == pytest.approx(ours.values[name].value, rel=1e-4)
