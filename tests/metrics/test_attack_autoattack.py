"""`autoattack`: the package's standard version, held against a closed form and against our own attacks."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.metrics.specimens import exam_of, picked, random_images, specimen
from tests.metrics.test_attack import linear
from tests.metrics.test_fgsm import net, on_cuda
from ticketctl.errors import UsageError
from ticketctl.metrics import _attack, autoattack, fgsm, pgd
from ticketctl.train.exam import Absent, Measurement
from ticketctl.train.specimen import Specimen

pyautoattack = pytest.importorskip("pyautoattack", reason="needs the extra attack")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests in seconds: fewer queries and steps than the standard version has."""
    made = autoattack._package

    def short(*args: Any) -> Any:
        attack = made(*args)
        attack.square.n_queries, attack.fab.n_iter = 30, 5
        for climb in (attack.apgd, attack.apgd_targeted):
            climb.n_iter, climb.n_iter_2, climb.n_iter_min = 30, 6, 2
        return attack

    monkeypatch.setattr(autoattack, "_package", short)


def measured(exam: object, **keys: Any) -> Measurement:
    return autoattack.measure(exam, params=autoattack.Params(**keys))


def straight(count: int, eps: float) -> tuple[Specimen, np.ndarray]:
    """A linear net of 5 classes, and which of its images no point of the ball fells: no pixel is near 0 or 1."""
    model = linear()
    pixels = np.clip(random_images(count, (3, 8, 8), 5)[0], 40, 215)
    x = torch.from_numpy(pixels).double().flatten(1) / 255
    weight, bias = (part.detach().double() for part in model[1].parameters())
    said = x @ weight.T + bias
    labels = said.argmax(1)
    margin = said.gather(1, labels[:, None]) - said - eps * (weight[labels][:, None] - weight).abs().sum(2)
    margin.scatter_(1, labels[:, None], torch.inf)
    return specimen(model, pixels, labels.numpy(), classes=5), (margin > 0).all(1).numpy()


@pytest.mark.long
def test_on_a_linear_net_what_stands_is_what_no_point_of_the_ball_fells() -> None:
    eps = 0.02
    found, want = straight(150, eps)
    said = measured(exam_of(found), eps=eps)
    assert 0.1 < want.mean() < 0.9
    assert (said.arrays["right"] == want).all()
    assert said.values["autoattack"].value == pytest.approx(want.mean())
    assert said.protocol["targets"] == 4


@pytest.mark.long
def test_accuracies_fall_from_attack_to_attack_and_say_which_image_fell_to_what() -> None:
    exam = exam_of(net(60))
    said = measured(exam, eps=0.01)
    answers, felled = exam.answers("test"), said.arrays["felled"]
    clean = answers.logits.argmax(1) == answers.labels
    assert ((felled == 1) == ~clean).all()
    assert (said.arrays["right"] == (felled == 0)).all()
    shares = [said.values[f"autoattack.{name}"].value for name in autoattack.ATTACKS]
    assert shares == [pytest.approx(np.isin(felled, [0, *range(turn + 3, 6)]).mean()) for turn in range(4)]
    assert clean.mean() >= shares[0] >= shares[1] >= shares[2] >= shares[3] == said.values["autoattack"].value
    step = fgsm.measure(exam, params=fgsm.Params(eps=0.01)).values["fgsm"].value
    many = pgd.measure(exam, params=pgd.Params(eps=0.01, size=0.0025)).values["pgd"].value
    assert step >= many >= shares[3]


@pytest.mark.long
def test_the_standard_version_is_run_in_its_parts_to_the_same_images() -> None:
    found = net(40)
    exam = exam_of(found)
    ours = measured(exam, eps=0.01)
    right = torch.from_numpy(ours.arrays["felled"] != 1)
    x, y = found.pixels("test")[right], found.labels("test")[right]
    with torch.random.fork_rng(devices=[]):
        whole = autoattack._package(found.logits, 0.01, found.device, found.classes)
        whole.seed = 1
        _, answered = whole.run_standard_evaluation(x, y, batch_size=500)
    assert ((answered == y).numpy() != ours.arrays["right"][right.numpy()]).sum() <= 1


@pytest.mark.long
def test_images_attacked_together_fall_alike_whichever_of_the_set_they_are_shown_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, seeds = autoattack._felled, []

    def noted(*args: Any) -> torch.Tensor:
        seeds.append(args[-1])
        return made(*args)

    monkeypatch.setattr(autoattack, "_felled", noted)
    monkeypatch.setattr(_attack, "gradient_batch", lambda *_: 10)
    found = net(40)
    whole, part = (measured(exam_of(one), eps=0.01) for one in (found, picked(found, list(range(10, 30)))))
    assert (part.arrays["felled"] == whole.arrays["felled"][10:30]).all()
    assert seeds[4:] == seeds[1:3]
    assert len({tuple(one) for one in seeds[:4]}) == 4


@pytest.mark.long
def test_the_same_seed_gives_the_same_and_no_generator_of_the_process_moves() -> None:
    exam = exam_of(net(30))
    before, state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    one, two = (measured(exam, eps=0.01) for _ in range(2))
    assert (one.arrays["felled"] == two.arrays["felled"]).all()
    assert torch.equal(before, torch.random.get_rng_state())
    assert (state == np.random.get_state()[1]).all()


@pytest.mark.long
def test_a_net_is_left_as_found_and_tracing_goes_on_even_after_an_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    asked: list[int] = []

    def stop() -> None:
        asked.append(1)
        if len(asked) == 150:
            raise KeyboardInterrupt

    def trace(frame: FrameType, event: str, arg: object) -> None: ...

    found = net(20)
    before, was = torch.random.get_rng_state(), sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(KeyboardInterrupt):
            measured(exam_of(replace(found, poll=stop)), eps=0.01)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(was)
    measured(exam_of(found), eps=0.01)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(weight.grad is None and weight.requires_grad for weight in found.model.parameters())
    assert capfd.readouterr() == ("", "")


def test_what_leaves_the_ball_or_the_range_fells_nothing() -> None:
    model = linear()
    found, _ = straight(3, 0.01)
    pixels, labels = found.pixels("test"), found.labels("test")
    aim = _attack.Target(pixels, (labels + 1) % 5, 0.01)  # wrong as they are
    tried = pixels.clone()
    tried[1] += 0.02
    tried[2, 0, 0, 0] = -0.005
    assert autoattack._wrong(model, aim, tried).tolist() == [True, False, False]


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_and_few_that_stand_are_attacked_like_many(count: int) -> None:
    found, want = straight(count, 0.001)
    assert (measured(exam_of(found), eps=0.001).arrays["right"] == want).all()
    found.images["test"].labels.copy_((found.images["test"].labels + 1) % 5)
    wrong = measured(exam_of(found), eps=0.001)
    assert wrong.values["autoattack"].value == 0
    assert (wrong.arrays["felled"] == 1).all()


def test_fewer_than_four_classes_are_absent_and_keys_out_of_range_refused() -> None:
    pixels, labels = random_images(4, (3, 8, 8), 3)
    three = specimen(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), pixels, labels, classes=3)
    with pytest.raises(Absent, match="4 classes or more, and the net has 3"):
        measured(exam_of(three))
    for keys, said in (({"eps": 0.0}, "eps = 0"), ({"images": -1}, "images = -1")):
        with pytest.raises(UsageError, match=rf"metrics\.autoattack\.{said}"):
            measured(exam_of(net(3)), **keys)
    assert autoattack.price({"test": 10_000}, autoattack.Params()) == 2_560_000


@pytest.mark.gpu
def test_the_gpu_finds_what_the_cpu_finds() -> None:
    here, there = (measured(exam, eps=0.01) for exam in (exam_of(net(60)), on_cuda(net(60))))
    assert (here.arrays["right"] != there.arrays["right"]).sum() <= 2
