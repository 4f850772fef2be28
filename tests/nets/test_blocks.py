"""Blocks of nets: as many as their authors count, in the order in which they run, whatever tweaks have added."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn

from tests.tweaks import thin
from ticketctl.nets.blocks import blocks_of
from ticketctl.nets.build import layout
from ticketctl.tweaks import mish, skip, swish

COUNTS = {
    "lenet-300-100": (2, [1, 1]),
    "resnet20s": (9, [3, 3, 3]),
    "resnet20": (9, [3, 3, 3]),
    "resnet32": (15, [5, 5, 5]),
    "resnet32-2x": (15, [5, 5, 5]),
    "resnet18": (8, [2, 2, 2, 2]),
    "resnet34": (16, [3, 4, 6, 3]),
    "resnet50": (16, [3, 4, 6, 3]),
    "vgg11": (8, [1, 1, 2, 2, 2]),
    "vgg16": (13, [2, 2, 3, 3, 3]),
    "vgg19": (16, [2, 2, 4, 4, 4]),
    "wrn-28-10": (12, [4, 4, 4]),
    "wrn-22-2": (9, [3, 3, 3]),
    "mobilenet": (27, [3, 4, 4, 12, 4]),
}
"""Blocks, and how many there are in each stage, from the papers' tables."""


def by_stage(blocks):
    stages = [block.stage for block in blocks]
    assert stages == sorted(stages)
    return [stages.count(stage) for stage in range(1, stages[-1] + 1)]


@pytest.mark.parametrize("name", thin.OURS)
def test_our_nets_have_as_many_blocks_and_stages_as_their_papers_say(name) -> None:
    blocks = blocks_of(layout(name, shape=(3, 32, 32), classes=10))
    assert (len(blocks), by_stage(blocks)) == COUNTS[name]
    assert [block.number for block in blocks] == list(range(1, len(blocks) + 1))


def test_block_4_of_resnet_18_is_layer_2_1_and_block_8_is_layer_4_1() -> None:
    blocks = blocks_of(layout("resnet18", shape=(3, 32, 32), classes=10))
    assert [(blocks[place].name, blocks[place].module) for place in (3, 7)] == [
        ("layer2.1", "layer2.1"),
        ("layer4.1", "layer4.1"),
    ]


@pytest.mark.parametrize("name", thin.OURS)
def test_blocks_are_in_the_order_in_which_they_run_and_the_output_layer_comes_after_them(name) -> None:
    net, ran = thin.net_of(name).eval(), []
    places = [*(block.module for block in blocks_of(net)), "fc3" if name == "lenet-300-100" else "fc"]
    for path in places:
        net.get_submodule(path).register_forward_hook(lambda *_, path=path: ran.append(path))
    with torch.no_grad():
        net(thin.batch(2, 3, 17, 19))
    assert ran == places


@pytest.mark.parametrize("name", ["vgg11", "vgg16", "mobilenet", "lenet-300-100"])
def test_in_a_chain_each_layer_is_named_and_its_feature_is_behind_its_activation(name) -> None:
    net = layout(name, shape=(3, 32, 32), classes=10)
    layers = [path for path, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    blocks = blocks_of(net)
    assert [block.name for block in blocks] == layers[:-1]
    assert all(isinstance(net.get_submodule(block.module), nn.ReLU) for block in blocks)


@pytest.mark.long
@pytest.mark.parametrize("name", ["vgg11", "resnet18", "mobilenet", "wrn-22-2"])
@pytest.mark.parametrize(
    ("tweak", "keys"),
    [
        (swish, {}),
        (swish, {"fade": Fraction(1, 2)}),
        (mish, {}),
        (skip, {"kind": "proj"}),
        (skip, {"fade": Fraction(1)}),
    ],
)
def test_tweaks_leave_the_blocks_what_they_are(name, tweak, keys) -> None:
    net = thin.net_of(name)
    plain = blocks_of(net)
    assert blocks_of(thin.tweaked(tweak, net, 3, 17, 19, **keys)) == plain


def of_torchvision(name):
    from torchvision.models import get_model

    with torch.device("meta"):
        return blocks_of(get_model(name, weights=None))


@pytest.mark.parametrize(
    ("name", "count", "stages", "last", "axis"),
    [
        ("resnet18", 8, [2, 2, 2, 2], "layer4.1", 1),
        ("resnet50", 16, [3, 4, 6, 3], "layer4.2", 1),
        ("mobilenet_v2", 17, [1, 2, 3, 7, 4], "features.17", 1),
        ("convnext_tiny", 18, [3, 3, 9, 3], "features.7.2", 1),
        ("densenet121", 4, [1, 1, 1, 1], "features.denseblock4", 1),
        ("vit_b_32", 12, [12], "encoder.layers.encoder_layer_11", -1),
        ("swin_t", 12, [2, 2, 6, 2], "features.7.1", -1),
        ("squeezenet1_1", 8, [2, 2, 4], "features.12", 1),
    ],
)
def test_residual_blocks_of_torchvision_nets_are_found(name, count, stages, last, axis) -> None:
    blocks = of_torchvision(name)
    assert (len(blocks), by_stage(blocks)) == (count, stages)
    assert (blocks[-1].name, blocks[-1].axis) == (last, axis)


def test_of_torchvision_chains_the_hidden_linear_layers_are_blocks_too() -> None:
    blocks = of_torchvision("alexnet")
    assert [block.name for block in blocks][-3:] == ["features.10", "classifier.1", "classifier.4"]
    assert blocks[-1].module == "classifier.5"


class Functional(nn.Module):
    """Activations by function: no module for them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.pool, self.fc = nn.MaxPool2d(2), nn.Linear(4 * 9, 6)
        self.out = nn.Linear(6, 5)

    def forward(self, x):
        x = self.pool(torch.relu(self.norm(self.conv(x))))
        return self.out(torch.relu(self.fc(x.flatten(1))))


def test_where_activations_are_no_modules_the_feature_is_before_them() -> None:
    blocks = blocks_of(Functional())
    assert [(block.name, block.module, block.stage) for block in blocks] == [
        ("conv", "norm", 1),
        ("fc", "fc", 2),
    ]


class Case(nn.Module):
    """A case around a chain, which has a forward of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.fc = Functional(), nn.Linear(5, 5)

    def forward(self, x):
        return self.fc(self.inner(x))


def test_a_single_case_around_a_chain_is_no_block() -> None:
    assert [block.name for block in blocks_of(Case())] == ["inner.conv", "inner.fc", "inner.out"]


def test_a_net_that_has_only_its_output_layer_has_no_blocks() -> None:
    assert blocks_of(nn.Sequential(nn.Flatten(), nn.Linear(12, 5))) == ()
    assert blocks_of(nn.Linear(12, 5)) == ()
