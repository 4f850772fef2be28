"""Small dense nets: against the widths of the papers' code, and against every factor and width there is."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from torch import nn

from ticketctl.errors import UsageError
from ticketctl.masks.prunable import policy, prunable
from ticketctl.nets.build import build, layout, scaled, widths_of
from ticketctl.nets.widths import nearest_last, nearest_width, small_dense

C10 = (3, 32, 32)


def convolutions(model: nn.Module) -> int:
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Conv2d))


@pytest.mark.parametrize(
    ("name", "widths", "percent"),
    [("resnet18", (64, 32, 77, 132, 215), 20.956), ("resnet20s", (13, 13, 17, 25), 21.08)],
)
def test_the_widths_of_paper_004s_code_give_its_share_of_weights(
    name: str, widths: tuple[int, ...], percent: float
) -> None:
    share = convolutions(layout(name, shape=C10, classes=10, widths=widths))
    whole = convolutions(layout(name, shape=C10, classes=10))
    assert 100 * share / whole == pytest.approx(percent, abs=0.005)


@pytest.mark.parametrize("name", ["lenet-300-100", "resnet20s", "resnet50", "vgg16", "wrn-22-2", "mobilenet"])
def test_width_1_and_the_usual_widths_are_the_net_itself(name: str) -> None:
    plain = {key: value.shape for key, value in layout(name, shape=C10, classes=10).state_dict().items()}
    for options in ({"width": Fraction(1)}, {"widths": widths_of(name)}):
        same = layout(name, shape=C10, classes=10, **options)
        assert {key: value.shape for key, value in same.state_dict().items()} == plain


@pytest.mark.parametrize("name", ["lenet-300-100", "resnet20s", "resnet20", "vgg16", "wrn-22-2", "mobilenet"])
@pytest.mark.parametrize("width", ["1/3", "0.01"])
def test_narrow_nets_give_logits(name: str, width: str) -> None:
    import torch

    model = build(name, shape=(1, 16, 16), classes=7, width=Fraction(width))
    assert model.eval()(torch.zeros(2, 1, 16, 16)).shape == (2, 7)


def test_a_stage_that_narrows_cuts_channels_off_the_padded_shortcut() -> None:
    import torch

    model = build("resnet20s", shape=C10, classes=10, widths=(9, 8, 8, 5)).eval()
    assert [tuple(block[0].downsample(torch.ones(1, i, 4, 4)).shape[1:]) for block, i in
            ((model.layer1, 9), (model.layer2, 8), (model.layer3, 8))] == [(8, 4, 4), (8, 2, 2), (5, 2, 2)]  # fmt: skip
    assert model(torch.zeros(1, *C10)).shape == (1, 10)
    assert not any("downsample" in name for name in model.state_dict())


def chain(widths: tuple[int, ...]) -> int:
    """Weights of a fully connected chain from 7 to 3."""
    sizes = (7, *widths, 3)
    return sum(a * b for a, b in pairwise(sizes))


@pytest.mark.parametrize("full", [(5,), (9, 4), (12, 20, 6)])
def test_the_factor_is_the_best_of_all_there_are(full: tuple[int, ...]) -> None:
    every = {scaled(full, Fraction(step, 997)) for step in range(1, 998)}
    for kept in range(1, chain(full) + 1, 3):
        width, widths = nearest_width(full, kept, chain)
        assert widths == scaled(full, width)
        assert 0 < width <= 1
        assert abs(chain(widths) - kept) == min(abs(chain(each) - kept) for each in every)


@pytest.mark.parametrize("kept", range(1, 150, 4))
def test_the_last_width_is_the_best_of_all_there_are(kept: int) -> None:
    found = nearest_last((4, 5), kept, chain, 9)
    assert found[:1] == (4,)
    assert abs(chain(found) - kept) == min(abs(chain((4, last)) - kept) for last in range(1, 10))


def test_the_factor_has_no_more_decimals_than_it_needs() -> None:
    assert nearest_width((300, 100), chain((150, 50)), chain)[0] == Fraction(1, 2)
    assert nearest_width((300, 100), chain((300, 100)), chain)[0] == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "shape", "density"),
    [
        ("lenet-300-100", (1, 28, 28), "0.05"),
        ("resnet20s", C10, "0.2097"),
        ("resnet18", C10, "0.2097"),
        ("resnet32-2x", C10, "0.02"),
        ("vgg16", C10, "0.0352"),
        ("mobilenet", C10, "0.1"),
        ("wrn-22-2", C10, "0.2"),
    ],
)
def test_a_small_dense_net_is_as_large_as_the_ticket(
    name: str, shape: tuple[int, int, int], density: str
) -> None:
    def weights(**options: tuple[int, ...]) -> int:
        net = layout(name, shape=shape, classes=10, **options)
        return sum(net.get_parameter(each).numel() for each in prunable(net, policy("default")))

    kept = int(weights() * Fraction(density))
    found = small_dense(name, kept, shape=shape, classes=10)
    assert found.weights == weights(widths=found.widths)
    assert found.widths[:-1] == scaled(widths_of(name), found.width)[:-1]
    # a step of the last width is at most a few per cent in nets as narrow as these; wide ones meet 0.5 %
    assert abs(found.weights - kept) <= (0.005 if min(found.widths) >= 20 else 0.03) * kept


def test_the_count_goes_by_the_policy() -> None:
    conv = small_dense("resnet20s", 100_000, shape=C10, classes=100, preset="paper-004")
    every = small_dense("resnet20s", 100_000, shape=C10, classes=100)
    assert conv.weights == convolutions(layout("resnet20s", shape=C10, classes=100, widths=conv.widths))
    assert every.widths < conv.widths


@pytest.mark.parametrize("kept", [0, 266_201])
def test_counts_that_cannot_be_are_refused(kept: int) -> None:
    with pytest.raises(UsageError, match="it has 266200 itself"):
        small_dense("lenet-300-100", kept, shape=(1, 28, 28), classes=10)


def test_a_net_without_widths_says_so() -> None:
    with pytest.raises(UsageError, match="torchvision:resnet18 has no widths to choose"):
        small_dense("torchvision:resnet18", 9, shape=C10, classes=10)
