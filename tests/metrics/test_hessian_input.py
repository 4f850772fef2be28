"""The curvature over pixels, against full matrices of single images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.metrics.specimens import apart, exam_of, picked, random_images, specimen
from ticketctl.data.sets import Split
from ticketctl.errors import UsageError
from ticketctl.metrics import input_hessian
from ticketctl.metrics.input_hessian import Params
from ticketctl.nets.build import build, initialise_
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Exam
from ticketctl.train.feed import Images, Scaling
from ticketctl.train.specimen import Specimen

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
KEYS = Params(images=6, probes=150, steps=30)


def net_of(act: type[nn.Module]) -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), act(), nn.Flatten(), nn.Linear(16, 3))
    initialise_(net, "kaiming-normal", Seeds(1))
    return net


def subject(act: type[nn.Module] = nn.SiLU, count: int = 8) -> Specimen:
    return apart(specimen(net_of(act), *random_images(count, (3, 3, 3), 3), mean=MEAN, std=STD, classes=3))


def matrices(seen: Specimen, count: int) -> list[np.ndarray]:
    """Of each image that is drawn, [27, 27], by its pixels in [0, 1], the normalisation by hand."""
    net, places = seen.model.double(), seen.drawn("test", count, Seeds(0), "hessian")
    mean, std = (torch.tensor(one, dtype=torch.float64).view(1, 3, 1, 1) for one in (MEAN, STD))
    found = []
    for pixels, label in zip(seen.pixels("test")[places].double(), seen.labels("test")[places], strict=True):

        def loss(image: Tensor, label: Tensor = label) -> Tensor:
            return nn.functional.cross_entropy(net((image.view(1, 3, 3, 3) - mean) / std), label[None])

        found.append(torch.autograd.functional.hessian(loss, pixels.reshape(-1)).numpy())
    net.float()
    return found


@pytest.mark.parametrize("act", [nn.SiLU, nn.ReLU])
def test_traces_and_eigenvalues_are_those_of_each_images_matrix(act: type[nn.Module]) -> None:
    seen = subject(act)
    found = input_hessian.measure(exam_of(seen), params=KEYS)
    truths = matrices(seen, 6)
    ends = np.array([np.linalg.eigvalsh(one)[[0, -1]] for one in truths])
    np.testing.assert_allclose(found.arrays["max"], ends[:, 1], rtol=1e-4)
    np.testing.assert_allclose(found.arrays["min"], ends[:, 0], atol=1e-4 * ends[:, 1].max())
    traces = np.array([np.trace(one) for one in truths])
    assert (abs(found.arrays["trace"] - traces) < 4 * found.arrays["trace.error"] + 1e-4 * traces).all()
    values = found.values
    assert next(iter(values)) == "input-hessian.trace"
    assert values["input-hessian.trace"].value == pytest.approx(found.arrays["trace"].mean())
    assert values["input-hessian.max"].value == pytest.approx(ends[:, 1].mean(), rel=1e-4)
    assert values["input-hessian.max.largest"].value == pytest.approx(ends[:, 1].max(), rel=1e-4)
    assert values["input-hessian.residual"].value < 1e-3 * ends[:, 1].max()


def test_nothing_depends_on_how_many_images_there_are_and_the_mean_loss_scales_by_it() -> None:
    seen = subject()
    few, many = (
        input_hessian.measure(exam_of(seen), params=replace(KEYS, images=count)).arrays for count in (3, 6)
    )
    three, six = (seen.drawn("test", count, Seeds(0), "hessian") for count in (3, 6))
    assert set(three) < set(six) != set(range(6))
    for name in few:
        np.testing.assert_allclose(few[name], many[name][np.isin(six, three)], rtol=1e-4, atol=1e-5)
    net, labels = seen.model, seen.labels("test")[six]
    pixels = seen.pixels("test")[six].requires_grad_()

    def mean_loss(pixels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(seen.logits(pixels), labels)

    whole = torch.autograd.functional.hessian(mean_loss, pixels.detach()).reshape(6 * 27, 6 * 27)
    assert float(torch.linalg.eigvalsh(whole)[-1]) * 6 == pytest.approx(many["max"].max(), rel=1e-3)
    traces = np.array([np.trace(one) for one in matrices(seen, 6)])
    assert float(whole.trace()) == pytest.approx(traces.mean(), rel=1e-3)
    assert all(value.grad is None for value in net.parameters())


def test_an_image_keeps_its_vectors_where_only_some_of_the_set_are_shown() -> None:
    seen, keys = (
        subject(),
        Params(images=8, probes=3, steps=2),
    )  # too few to settle: other vectors, other values
    whole = input_hessian.measure(exam_of(seen), params=keys).arrays
    part = input_hessian.measure(exam_of(picked(seen, [1, 4, 6])), params=keys).arrays
    for name in ("trace", "trace.error", "max", "min"):
        np.testing.assert_allclose(part[name], whole[name][[1, 4, 6]], rtol=1e-4, atol=1e-5)
    assert abs(whole["trace"][:3] - part["trace"]).max() > 1e-2 * abs(part["trace"]).max()


@pytest.mark.long
def test_chunks_change_nothing_but_rounding(monkeypatch: Any) -> None:
    seen = subject()
    whole = input_hessian.measure(exam_of(seen), params=KEYS).arrays
    monkeypatch.setattr(input_hessian, "HELD", 4 * 27 * 31 * 2)
    assert input_hessian._fitting(seen, KEYS) == 2
    parts = input_hessian.measure(exam_of(seen), params=KEYS).arrays
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-4, atol=1e-5)


def test_a_net_that_hears_nothing_has_no_curvature() -> None:
    seen = subject()
    with torch.no_grad():
        seen.model[4].weight.zero_()
    found = input_hessian.measure(exam_of(seen), params=KEYS).values
    assert {one.value for one in found.values()} == {0.0}
    deaf = specimen(Deaf(), *random_images(4, (3, 3, 3), 3), classes=3)
    assert input_hessian.measure(exam_of(deaf), params=KEYS).values["input-hessian.trace"].value == 0


class Deaf(nn.Module):
    """Its answers are always the same."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.bias.expand(len(inputs), 3)


def test_a_key_out_of_range_is_refused_by_its_name_and_the_price_goes_with_the_images() -> None:
    for keys in ({"images": 0}, {"probes": 1}, {"steps": 0}):
        with pytest.raises(UsageError, match=rf"metrics.input-hessian.{next(iter(keys))} = "):
            input_hessian.measure(exam_of(subject()), params=Params(**keys))
    small, large = (input_hessian.price({"test": 1000}, Params(images=count)) for count in (50, 100))
    assert large == 2 * small > 0


def moved(cpu: Specimen, pixels: np.ndarray, labels: np.ndarray) -> Specimen:
    """The same on a GPU."""
    device = torch.device("cuda", 0)
    scaling = Scaling(cpu.scaling.scale.to(device), cpu.scaling.offset.to(device))
    images = Images(Split(pixels, labels.astype(np.int64)), None, scaling, device)
    return replace(
        cpu,
        model=cpu.model.to(device),
        images=dict.fromkeys(("train", "val", "test"), images),
        scaling=scaling,
    )


@pytest.mark.gpu
def test_on_a_gpu_values_are_those_of_the_cpu() -> None:
    net = build("resnet20", shape=(3, 8, 8), classes=3)
    initialise_(net, "kaiming-normal", Seeds(0))
    pixels, labels = random_images(12, (3, 8, 8), 3)
    cpu = specimen(net, pixels, labels, classes=3)
    keys = Params(images=12, probes=8, steps=8)
    ours = input_hessian.measure(exam_of(cpu), params=keys).arrays
    gpu = Exam(exam_of(cpu).answers, ["test"], Seeds(0), moved(cpu, pixels, labels))
    theirs = input_hessian.measure(gpu, params=keys).arrays
    for name in ("trace", "max"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=2e-3, atol=2e-3 * abs(ours[name]).max())
