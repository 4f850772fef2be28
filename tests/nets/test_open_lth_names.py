"""Our nets under open_lth's names: those that its model files, as they are described, give to the same net."""

from __future__ import annotations

from itertools import pairwise

import pytest
from torch import nn

from ticketctl.nets.build import layout
from ticketctl.nets.open_lth_names import open_lth_names


def shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


class Conv(nn.Module):
    """A module of its VGG."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(inputs, outputs, 3), nn.BatchNorm2d(outputs)


def its_vgg(plan: str) -> nn.Module:
    """`layers`, pools among them, and `fc`."""
    net, layers, inputs = nn.Module(), list[nn.Module](), 3
    for width in plan.split():
        layers.append(nn.MaxPool2d(2) if width == "M" else Conv(inputs, int(width)))
        inputs = inputs if width == "M" else int(width)
    net.layers, net.fc = nn.Sequential(*layers), nn.Linear(512, 10)
    return net


def its_lenet(sizes: list[int]) -> nn.Module:
    """`fc_layers`, and `fc` behind them."""
    net = nn.Module()
    net.fc_layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
    net.fc = nn.Linear(sizes[-1], 10)
    return net


class Block(nn.Module):
    """A block of its CIFAR ResNet."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, bias=False), nn.BatchNorm2d(outputs)
        if inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


def its_resnet(depth: int) -> nn.Module:
    """`conv`, `bn`, `blocks` counted through, `fc`."""
    net, widths = nn.Module(), [16, *([16] * depth), *([32] * depth), *([64] * depth)]
    net.conv, net.bn = nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16)
    net.blocks = nn.Sequential(*(Block(a, b) for a, b in pairwise(widths)))
    net.fc = nn.Linear(64, 10)
    return net


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("lenet-300-100", its_lenet([3072, 300, 100])), ("resnet20", its_resnet(3)), ("resnet32", its_resnet(5)),
        ("vgg11", its_vgg("64 M 128 M 256 256 M 512 512 M 512 512")),
        ("vgg16", its_vgg("64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512")),
    ],
)  # fmt: skip
def test_our_net_has_the_names_and_shapes_of_open_lths(name: str, theirs: nn.Module) -> None:
    ours = shapes(layout(name, shape=(3, 32, 32), classes=10))
    found = open_lth_names(ours)
    assert {there: ours[here] for here, there in found.items()} == shapes(theirs)


def test_its_imagenet_nets_are_torchvisions_inside_of_a_model() -> None:
    ours = shapes(layout("resnet18", shape=(3, 224, 224), classes=10, stem="imagenet"))
    assert open_lth_names(ours) == {name: f"model.{name}" for name in ours}


@pytest.mark.parametrize("name", ["resnet18", "resnet20s", "mobilenet"])
def test_a_net_that_it_has_not_has_no_names_there(name: str) -> None:
    assert open_lth_names(shapes(layout(name, shape=(3, 32, 32), classes=10))) == {}
