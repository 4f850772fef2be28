"""`fgsm` and `fgsm-rs` as metrics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.metrics.specimens import exam_of, picked, random_images, specimen
from tests.metrics.test_attack import conv
from ticketctl.data.sets import Split
from ticketctl.errors import UsageError
from ticketctl.metrics import _attack, fgsm, fgsm_rs
from ticketctl.progress import Silent
from ticketctl.train.exam import Exam
from ticketctl.train.specimen import Specimen

METRICS = [fgsm, fgsm_rs]
IDS = ["fgsm", "fgsm-rs"]


def net(count: int = 120, model: nn.Module | None = None, **how: object) -> Specimen:
    """A small convolutional net that is right about most of its images."""
    model = (model or conv()).eval()
    pixels, _ = random_images(count, (3, 8, 8), 6)
    with torch.no_grad():
        labels = model(torch.from_numpy(pixels).float() / 255).argmax(1).numpy().copy()
    labels[::10] = (labels[::10] + 1) % 6
    return specimen(model, pixels, labels, classes=6, **how)


class Heard(Silent):
    def __init__(self) -> None:
        self.remarks: list[str] = []

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def test_the_accuracy_is_that_of_the_formula_image_by_image_with_the_normalisation_inside() -> None:
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    found = net(mean=mean, std=std)
    pixels = found.images["test"].pixels.double() / 255
    labels, model = found.images["test"].labels, conv().double()
    centre, spread = (torch.tensor(part, dtype=torch.float64).view(1, 3, 1, 1) for part in (mean, std))
    right, zero = [], 0
    for x, y in zip(pixels, labels, strict=True):
        x = x[None].requires_grad_()
        (slope,) = torch.autograd.grad(nn.functional.cross_entropy(model((x - centre) / spread), y[None]), x)
        moved = (x + 8 / 255 * slope.sign()).clamp(0, 1).detach()
        right.append(int(model((moved - centre) / spread).argmax()) == int(y))
        zero += not bool(slope.any())
    said = fgsm.measure(exam_of(found), params=fgsm.Params())
    assert said.arrays["right"].tolist() == right
    assert said.arrays["place"].tolist() == list(range(120))
    assert said.values["fgsm"].value == pytest.approx(np.mean(right))
    assert said.values["fgsm"].error == pytest.approx(np.std(right, ddof=1) / 120**0.5)
    assert said.values["fgsm.zero"].value == zero / 120 == 0
    clean = exam_of(found).answers("test")
    was = clean.logits.argmax(1) == clean.labels
    assert said.values["fgsm.drop"].value == pytest.approx(was.mean() - np.mean(right))
    assert said.values["fgsm.drop"].error == pytest.approx(np.std(was - np.float64(right), ddof=1) / 120**0.5)


def test_a_random_start_weakens_the_single_step() -> None:
    exam = exam_of(net(400))
    plain = fgsm.measure(exam, params=fgsm.Params(eps=0.02)).values["fgsm"].value
    started = fgsm_rs.measure(exam, params=fgsm_rs.Params(eps=0.02, size=0.02)).values["fgsm-rs"].value
    assert plain < started < 1


def test_a_saturated_net_is_remarked_on_and_keeps_its_images() -> None:
    class Sharp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = conv()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 1e5 * self.net(x)

    heard = Heard()
    found = replace(net(60, Sharp()), reporter=heard)
    found.images["test"].labels.copy_(torch.from_numpy(exam_of(found).answers("test").logits.argmax(1)))
    said = fgsm.measure(exam_of(found), params=fgsm.Params())
    assert said.values["fgsm.zero"].value > 0.9
    assert said.values["fgsm"].value > 0.9
    (text,) = heard.remarks
    assert text.startswith("fgsm: ")
    assert "less robust than it looks" in text


@pytest.mark.parametrize("metric", METRICS, ids=IDS)
def test_a_net_is_left_as_found_and_without_gradients(metric: object) -> None:
    found = net(30)
    before = {key: value.clone() for key, value in found.model.state_dict().items()}
    metric.measure(exam_of(found), params=metric.Params())
    assert all(torch.equal(value, before[key]) for key, value in found.model.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in found.model.parameters())
    assert not found.model.training


@pytest.mark.parametrize("metric", METRICS, ids=IDS)
def test_neither_batches_nor_subsets_change_what_happens_to_an_image(
    metric: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = net()
    exam = exam_of(found)
    whole = metric.measure(exam, params=metric.Params())
    some = metric.measure(exam, params=metric.Params(images=25))
    monkeypatch.setattr(_attack, "gradient_batch", lambda *_: 7)
    small = metric.measure(exam, params=metric.Params())
    assert (small.arrays["right"] == whole.arrays["right"]).all()
    places = some.arrays["place"]
    assert len(set(places.tolist())) == 25
    assert (np.diff(places) > 0).all()
    assert (some.arrays["right"] == whole.arrays["right"][places]).all()
    assert next(iter(some.values.values())).n == 25
    fewer = metric.measure(exam, params=metric.Params(images=5))
    assert set(fewer.arrays["place"].tolist()) <= set(places.tolist())
    shown = list(range(3, 120, 2))
    part = metric.measure(exam_of(picked(found, shown)), params=metric.Params())
    assert (part.arrays["right"] == whole.arrays["right"][shown]).all()
    if metric is fgsm_rs:
        start = fgsm_rs.Params(eps=0.1, size=1e-4)  # what counts is the start
        one, other = (fgsm_rs.measure(exam_of(net), params=start) for net in (found, picked(found, shown)))
        assert (other.arrays["right"] == one.arrays["right"][shown]).all()
    drawn = metric.measure(exam_of(picked(found, shown)), params=metric.Params(images=25))
    numbers = np.array(shown)[drawn.arrays["place"]]
    assert (drawn.arrays["right"] == whole.arrays["right"][numbers]).all()
    assert {*places.tolist()} & {*shown} <= {*numbers.tolist()}
    assert len(numbers) == 25


@pytest.mark.parametrize("metric", METRICS, ids=IDS)
def test_a_single_image_has_a_value_without_an_error(metric: object) -> None:
    said = metric.measure(exam_of(net(1)), params=metric.Params())
    first = next(iter(said.values.values()))
    assert first.value in (0, 1)
    assert (first.error, first.n) == (None, 1)


@pytest.mark.parametrize(
    ("metric", "keys", "message"),
    [
        (fgsm, {"eps": 0.0}, r"metrics\.fgsm\.eps = 0\.0 must be above 0 and at most 1"),
        (fgsm, {"eps": 8.0}, r"metrics\.fgsm\.eps = 8\.0"),
        (fgsm, {"eps": float("nan")}, r"metrics\.fgsm\.eps = nan"),
        (fgsm, {"images": -1}, r"metrics\.fgsm\.images = -1"),
        (fgsm_rs, {"eps": -1.0}, r"metrics\.fgsm-rs\.eps"),
        (fgsm_rs, {"size": 2.0}, r"metrics\.fgsm-rs\.size"),
        (fgsm_rs, {"images": -3}, r"metrics\.fgsm-rs\.images"),
    ],
)
def test_a_key_out_of_range_is_the_users_mistake(
    metric: object, keys: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        metric.measure(exam_of(net(5)), params=metric.Params(**keys))


@pytest.mark.parametrize("metric", METRICS, ids=IDS)
def test_somebody_who_asks_to_stop_is_heard_in_every_batch(metric: object) -> None:
    asked: list[int] = []
    found = replace(net(20), poll=lambda: asked.append(1))
    metric.measure(exam_of(found), params=metric.Params())
    assert len(asked) == 3  # before the measure of its size, and at each pass


def test_prices_are_two_passes_forward_and_one_back() -> None:
    assert fgsm.price({"test": 100}, fgsm.Params()) == 400
    assert fgsm.price({"test": 100}, fgsm.Params(images=10)) == 40
    assert fgsm_rs.price({"test": 100}, fgsm_rs.Params(images=1000)) == 400


def on_cuda(found: Specimen) -> Exam:
    from ticketctl.train.feed import Images, Scaling

    cuda, test = torch.device("cuda", 0), found.images["test"]
    scaling = Scaling(found.scaling.scale.to(cuda), found.scaling.offset.to(cuda))

    moved = Images(Split(test.pixels.numpy(), test.labels.numpy()), None, scaling, cuda)
    return exam_of(
        replace(found, model=found.model.to(cuda), images=dict.fromkeys(found.images, moved), scaling=scaling)
    )


@pytest.mark.gpu
@pytest.mark.parametrize("metric", METRICS, ids=IDS)
def test_the_gpu_finds_what_the_cpu_finds(metric: object) -> None:
    here = metric.measure(exam_of(net(400)), params=metric.Params(eps=0.02))
    there = metric.measure(on_cuda(net(400)), params=metric.Params(eps=0.02))
    assert (here.arrays["right"] != there.arrays["right"]).sum() <= 2
