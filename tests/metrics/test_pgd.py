"""`pgd` as a metric: what it includes, what it equals, and against an exhaustive truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.metrics.specimens import exam_of, picked, random_images, specimen
from tests.metrics.test_attack import linear
from tests.metrics.test_fgsm import Heard, net, on_cuda
from ticketctl.errors import UsageError
from ticketctl.metrics import _attack, fgsm, fgsm_rs, pgd
from ticketctl.train.exam import Measurement

EPS = 0.02


def measured(exam: object, **keys: object) -> Measurement:
    return pgd.measure(exam, params=pgd.Params(**keys))


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
def test_image_by_image_clean_is_no_worse_than_fgsm_or_pgd_and_more_restarts_fell_no_fewer(seed: int) -> None:
    exam = exam_of(net(300), seed)
    answers = exam.answers("test")
    clean = answers.logits.argmax(1) == answers.labels
    step = fgsm.measure(exam, params=fgsm.Params(eps=EPS)).arrays["right"]
    one, three = (measured(exam, eps=EPS, size=EPS / 4, restarts=n).arrays["right"] for n in (1, 3))
    assert (step & clean >= one).all()
    assert (one >= three).all()
    assert clean.mean() > step.mean() > one.mean() > 0


def test_without_the_fgsm_candidate_nothing_but_pgds_own_steps_fells() -> None:
    exam = exam_of(net(300))
    own = measured(exam, eps=EPS, size=EPS / 4, fgsm=False).arrays["right"]
    both = measured(exam, eps=EPS, size=EPS / 4).arrays["right"]
    assert (own >= both).all()


def test_one_step_of_eps_is_fgsm_without_a_start_and_the_released_codes_form_with_one() -> None:
    exam = exam_of(net(200))
    answers = exam.answers("test")
    clean = answers.logits.argmax(1) == answers.labels
    how = {"eps": EPS, "size": EPS, "steps": 1, "fgsm": False}
    plain = fgsm.measure(exam, params=fgsm.Params(eps=EPS)).arrays["right"]
    assert (measured(exam, start=False, **how).arrays["right"] == (plain & clean)).all()
    started = fgsm_rs.measure(exam, params=fgsm_rs.Params(eps=EPS, size=EPS)).arrays["right"]
    ours = measured(exam, **how).arrays["right"]
    assert (ours <= (started & clean)).all()  # the start itself is tried as well
    assert (ours != started).mean() < 0.15


def test_of_two_classes_a_linear_net_stands_where_the_closed_form_says() -> None:
    model, eps = linear(2), 0.05
    with torch.no_grad():
        model[1].bias.zero_()
    pixels, _ = random_images(400, (3, 8, 8), 2)
    pixels = np.clip(pixels, 16, 239)
    x = torch.from_numpy(pixels).double().flatten(1) / 255
    apart = (model[1].weight[1] - model[1].weight[0]).detach().double()
    labels = (x @ apart > 0).long()
    want = ((x @ apart) * (2 * labels - 1)) > eps * apart.abs().sum()
    assert 0.05 < want.double().mean() < 0.95
    found = measured(exam_of(specimen(model, pixels, labels.numpy(), classes=2)), eps=eps)
    assert (found.arrays["right"] == want.numpy()).all()
    assert found.values["pgd"].value == pytest.approx(float(want.double().mean()))
    assert found.values["pgd.zero"].value == 0


@pytest.mark.long
def test_neither_batches_nor_subsets_change_what_happens_to_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    found = net()
    exam = exam_of(found)
    how = {"eps": EPS, "size": EPS / 4, "restarts": 2}
    whole, some = measured(exam, **how), measured(exam, images=25, **how)
    shown = list(range(1, 120, 3))
    part = measured(exam_of(picked(found, shown)), **how)
    assert (part.arrays["right"] == whole.arrays["right"][shown]).all()
    once = {"eps": 0.1, "size": 1e-4, "steps": 1, "fgsm": False}  # what counts is the start
    whole_once, part_once = (measured(exam_of(one), **once) for one in (found, picked(found, shown)))
    assert (part_once.arrays["right"] == whole_once.arrays["right"][shown]).all()
    assert 0.1 < part_once.values["pgd"].value < 0.9
    monkeypatch.setattr(_attack, "gradient_batch", lambda *_: 7)
    small = measured(exam, **how)
    assert (small.arrays["right"] == whole.arrays["right"]).all()
    assert (some.arrays["right"] == whole.arrays["right"][some.arrays["place"]]).all()
    assert (some.arrays["place"] == fgsm.measure(exam, params=fgsm.Params(images=25)).arrays["place"]).all()


def test_a_net_that_is_wrong_everywhere_has_none_that_stand_and_a_constant_one_hides_its_gradients() -> None:
    found = net(20)
    found.images["test"].labels.copy_(
        (torch.from_numpy(exam_of(found).answers("test").logits.argmax(1)) + 1) % 6
    )
    none = measured(exam_of(found), fgsm=False)
    assert none.values["pgd"].value == none.values["pgd.zero"].value == 0
    flat, heard = nn.Sequential(nn.Flatten(), nn.Linear(192, 6)), Heard()
    with torch.no_grad():
        flat[1].weight.zero_()
        flat[1].bias.copy_(torch.arange(6.0))
    pixels, _ = random_images(9, (3, 8, 8), 6)
    still = replace(specimen(flat, pixels, np.full(9, 5), classes=6), reporter=heard)
    said = measured(exam_of(still), steps=3)
    assert said.values["pgd"].value == said.values["pgd.zero"].value == 1
    assert len(heard.remarks) == 1


def test_a_net_is_left_as_found_and_without_gradients_even_after_an_error() -> None:
    asked: list[int] = []

    def stop() -> None:
        asked.append(1)
        if len(asked) == 4:
            raise KeyboardInterrupt

    found = net(30)
    before = {key: value.clone() for key, value in found.model.state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        measured(exam_of(replace(found, poll=stop)), eps=0.001)
    assert len(asked) == 4
    assert all(torch.equal(value, before[key]) for key, value in found.model.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in found.model.parameters())


def test_a_single_image_has_a_value_without_an_error() -> None:
    one = measured(exam_of(net(1))).values["pgd"]
    assert one.value in (0, 1)
    assert (one.error, one.n) == (None, 1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"eps": 0.0}, r"metrics\.pgd\.eps = 0\.0 must be above 0"),
        ({"size": 2.0}, r"metrics\.pgd\.size = 2\.0"),
        ({"steps": 0}, r"metrics\.pgd\.steps = 0 must be at least 1"),
        ({"restarts": 0}, r"metrics\.pgd\.restarts = 0 must be at least 1"),
        ({"restarts": 2, "start": False}, r"metrics\.pgd\.restarts = 2 from the same point"),
        ({"images": -1}, r"metrics\.pgd\.images = -1"),
    ],
)
def test_a_key_out_of_range_is_the_users_mistake(keys: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        measured(exam_of(net(5)), **keys)


def test_a_net_that_stands_to_the_end_takes_every_step_and_the_price_has_a_fifth_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_attack, "gradient_batch", lambda *_: 4)  # which takes passes of its own
    asked: list[int] = []

    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(192, 6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            asked.append(len(x) * (1 + 2 * x.requires_grad))
            return self.net(x)

    found = Counted()
    with torch.no_grad():
        found.net[1].bias[2] = 1e3
    pixels, _ = random_images(11, (3, 8, 8), 6)
    exam = exam_of(specimen(found, pixels, np.full(11, 2), classes=6))
    exam.answers("test")
    asked.clear()
    measured(exam, steps=4, restarts=2)
    assert sum(asked) == 11 * (4 + 2 * 13)
    assert pgd.price({"test": 11}, pgd.Params(steps=4, restarts=2)) == pytest.approx(11 * (4 + 2 * 13 / 5))


@pytest.mark.gpu
def test_the_gpu_finds_what_the_cpu_finds() -> None:
    here, there = (measured(exam, eps=EPS, size=EPS / 4) for exam in (exam_of(net(400)), on_cuda(net(400))))
    assert (here.arrays["right"] != there.arrays["right"]).sum() <= 4
