"""How many images gradients are taken of at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.metrics.specimens import exam_of, random_images, specimen
from ticketctl.metrics import _room as module
from ticketctl.metrics import fgsm
from ticketctl.metrics._room import gradient_batch
from ticketctl.train.specimen import Specimen


def net_of(channels: int, count: int = 60) -> Specimen:
    net = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, 5, 8), nn.Flatten()
    )
    return specimen(net, *random_images(count, (3, 8, 8), 5), classes=5)


def test_a_batch_is_as_large_as_has_room_and_on_a_cpu_never_large(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gradient_batch(net_of(4), "test") == 50
    monkeypatch.setattr(module, "ON_CPU", 1 << 20)
    least, more = (gradient_batch(net_of(channels), "test") for channels in (128, 64))
    # an image's share of the graph is its activations of 4 * 64 bytes a channel, once to six times
    assert least * 128 * 256 <= 1 << 20
    assert least >= (1 << 20) // (6 * 128 * 256)
    assert 1.8 * least < more < 2.3 * least < 50
    monkeypatch.setattr(module, "ON_CPU", 1)
    assert gradient_batch(net_of(4), "test") == 1


def test_one_image_is_a_batch_and_what_a_net_does_not_hear_takes_no_room() -> None:
    assert gradient_batch(net_of(4, count=1), "test") == 1

    class Deaf(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return torch.zeros(len(inputs), 5)

    assert gradient_batch(specimen(Deaf(), *random_images(9, (3, 8, 8), 5), classes=5), "test") == 50


def test_no_pass_of_an_attack_has_more_images_and_each_is_polled_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    found = net_of(64)
    monkeypatch.setattr(module, "ON_CPU", 1 << 20)
    size, exam = gradient_batch(found, "test"), exam_of(replace(found, poll=lambda: sizes.append(0)))
    assert 1 < size < 50
    exam.answers("test")
    sizes.clear()
    found.model.register_forward_hook(lambda _, inputs, output: sizes.append(len(inputs[0])))
    fgsm.measure(exam, params=fgsm.Params())
    assert max(sizes) == size
    measured = sizes.index(0, 1)  # the graph's size is of one image and of two
    assert sizes[:measured] == [0, 2, 1]
    assert all(one == 0 for one in sizes[measured::2])
    assert sum(sizes[measured:]) == 2 * 60


def test_nothing_is_left_in_the_net() -> None:
    found = net_of(4)
    gradient_batch(found, "test")
    assert all(value.grad is None and value.requires_grad for value in found.model.parameters())
