"""Strided 1x1 convolutions of few channels, against torch's own convolution and a sum written out."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tests.tweaks import thin
from ticketctl.nets.build import build, initialise_
from ticketctl.nets.strided import BLOCK, Strided, sound_
from ticketctl.plugins import plugins
from ticketctl.seeds import Seeds
from ticketctl.tweaks import skip


class Convolutions(TorchFunctionMode):
    """Channels, kernel and stride of every convolution that is run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, tuple[int, ...], Any]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (F.conv2d, torch.conv2d):
            stride = args[3] if len(args) > 3 else kwargs.get("stride", (1, 1))
            self.seen.append((args[1].shape[1], tuple(args[1].shape[2:]), stride))
        return func(*args, **kwargs)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in plugins("nets") if ":" not in name])
@pytest.mark.parametrize("projected", [False, True])
def test_no_thin_net_runs_a_convolution_that_onednn_cannot_take(name: str, projected: bool) -> None:
    net = build(name, shape=(3, 32, 32), classes=3, width=Fraction(1, 16))
    initialise_(net, "kaiming-normal", Seeds(0))
    if projected and not name.startswith("lenet"):
        thin.tweaked(skip, net, kind="proj")
    with Convolutions() as run, torch.no_grad():
        net(torch.zeros(2, 3, 32, 32))
    bad = [each for each in run.seen if each[1] == (1, 1) and each[2] not in (1, (1, 1)) and each[0] < BLOCK]
    assert bad == []
    assert run.seen or name.startswith("lenet")


@pytest.mark.parametrize("stride", [(2, 2), (1, 3)])
@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(8, 16, 1), (3, 5, 1), (6, 6, 6)])
def test_its_numbers_and_gradients_are_torchs(
    inputs: int, outputs: int, groups: int, stride: tuple[int, int]
) -> None:
    plain = nn.Conv2d(inputs, outputs, 1, stride=stride, groups=groups)
    made = sound_(copy.deepcopy(plain))
    assert type(made) is Strided
    assert made.state_dict().keys() == plain.state_dict().keys()
    x = thin.batch(4, inputs, 7, 6).requires_grad_()  # channels first: torch's own way is sound there
    for found, wanted in zip(results(made, x), results(plain, x), strict=True):
        torch.testing.assert_close(found, wanted)


def results(conv: nn.Conv2d, x: torch.Tensor) -> list[torch.Tensor]:
    y = conv(x)
    weights = torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape) / y.numel()
    return [y, *torch.autograd.grad((weights * y.square()).sum(), [x, *conv.parameters()])]


def test_other_convolutions_stay_what_they_are() -> None:
    class Own(nn.Conv2d):
        pass

    others = [
        nn.Conv2d(8, 8, 3, stride=2),
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(BLOCK, 8, 1, stride=2),
        nn.Conv2d(8, 8, 1, stride=2, padding=1),
        Own(8, 8, 1, stride=2),
    ]
    assert [type(sound_(conv)) for conv in others] == [nn.Conv2d] * 4 + [Own]
