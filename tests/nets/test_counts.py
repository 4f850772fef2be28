"""Sizes of the nets against the papers' code, torchvision, and torch's own FLOP counter."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ticketctl.nets.build import layout
from ticketctl.nets.describe import layer_macs, macs, parameter_count, shapes

C10, C100, TIN = (3, 32, 32, 10), (3, 32, 32, 100), (3, 64, 64, 200)

# name, data, all parameters, convolution weights, number of convolutions
TABLE = [
    ("resnet20s", C10, 269_722, 267_696, 19),
    ("resnet20s", C100, 275_572, 267_696, 19),
    ("resnet20", C10, 272_474, 270_256, 21),
    ("resnet20", C100, 278_324, 270_256, 21),
    ("resnet20", TIN, 284_824, 270_256, 21),
    ("resnet32", C10, 466_906, 463_792, 33),
    ("resnet32", C100, 472_756, 463_792, 33),
    ("resnet32", TIN, 479_256, 463_792, 33),
    ("resnet32-2x", C10, 1_860_522, 1_854_304, 33),
    ("resnet32-2x", C100, 1_872_132, 1_854_304, 33),
    ("resnet32-2x", TIN, 1_885_032, 1_854_304, 33),
    ("resnet18", C10, 11_173_962, 11_159_232, 20),
    ("resnet18", C100, 11_220_132, 11_159_232, 20),
    ("resnet18", TIN, 11_271_432, 11_159_232, 20),
    ("resnet34", C10, 21_282_122, 21_259_968, 36),
    ("resnet34", C100, 21_328_292, 21_259_968, 36),
    ("resnet34", TIN, 21_379_592, 21_259_968, 36),
    ("resnet50", C10, 23_520_842, 23_447_232, 53),
    ("resnet50", C100, 23_705_252, 23_447_232, 53),
    ("resnet50", TIN, 23_910_152, 23_447_232, 53),
    ("vgg11", C10, 9_231_114, 9_217_728, 8),
    ("vgg11", C100, 9_231_114 + 46_170, 9_217_728, 8),
    ("vgg11", TIN, 9_231_114 + 97_470, 9_217_728, 8),
    ("vgg16", C10, 14_728_266, 14_710_464, 13),
    ("vgg16", C100, 14_728_266 + 46_170, 14_710_464, 13),
    ("vgg16", TIN, 14_728_266 + 97_470, 14_710_464, 13),
    ("vgg19", C10, 20_040_522, 20_018_880, 16),
    ("vgg19", C100, 20_040_522 + 46_170, 20_018_880, 16),
    ("vgg19", TIN, 20_040_522 + 97_470, 20_018_880, 16),
    ("wrn-28-10", C10, 36_479_194, 36_454_832, 28),
    ("wrn-28-10", C100, 36_536_884, 36_454_832, 28),
    ("wrn-22-2", C10, 1_079_642, 1_075_632, 22),
    ("mobilenet", C10, 3_217_226, 3_185_088, 27),
    ("mobilenet", C100, 3_309_476, 3_185_088, 27),
    ("mobilenet", TIN, 3_411_976, 3_185_088, 27),
]


def net(name: str, data: tuple[int, int, int, int], stem: str = "cifar") -> nn.Module:
    return layout(name, shape=data[:3], classes=data[3], stem=stem)


@pytest.mark.parametrize(("name", "data", "total", "convolutions", "layers"), TABLE)
def test_parameters_are_those_of_the_papers_nets(
    name: str, data: tuple[int, int, int, int], total: int, convolutions: int, layers: int
) -> None:
    model = net(name, data)
    weights = [module.weight.numel() for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert (parameter_count(model), sum(weights), len(weights)) == (total, convolutions, layers)


@pytest.mark.parametrize(("data", "total"), [(C10, 20_035_018), (C100, 20_081_188), (TIN, 20_132_488)])
def test_vgg19_without_biases_in_its_convolutions_is_grasps(
    data: tuple[int, int, int, int], total: int
) -> None:
    model = layout("vgg19", shape=data[:3], classes=data[3], conv_bias=False)
    assert parameter_count(model) == total


def test_the_depthwise_convolutions_of_mobilenet_have_44_640_weights() -> None:
    convolutions = [m for m in net("mobilenet", C10).modules() if isinstance(m, nn.Conv2d)]
    assert sum(m.weight.numel() for m in convolutions if m.groups > 1) == 44_640


@pytest.mark.parametrize("name", ["vgg11", "vgg16", "vgg19"])
def test_the_stages_of_vgg_are_torchvisions(name: str) -> None:
    import torchvision

    with torch.device("meta"):
        theirs = torchvision.models.get_model(f"{name}_bn").features.state_dict()
    ours = net(name, (3, 32, 32, 10)).features.state_dict()
    assert {key: value.shape for key, value in ours.items()} == {k: v.shape for k, v in theirs.items()}


def test_lenet_has_266_610_parameters() -> None:
    model = net("lenet-300-100", (1, 28, 28, 10))
    assert parameter_count(model) == 266_610
    assert sum(shape.numel() for name, shape in shapes(model).items() if name.endswith("weight")) == 266_200


def test_resnet50_with_the_imagenet_stem_has_25_557_032() -> None:
    model = net("resnet50", (3, 224, 224, 1000), "imagenet")
    assert parameter_count(model) == 25_557_032
    convolutions = {n: s for n, s in shapes(model).items() if len(s) == 4}
    assert sum(shape.numel() for shape in convolutions.values()) == 23_454_912


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_the_imagenet_form_has_torchvisions_names_and_shapes(name: str) -> None:
    import torchvision

    with torch.device("meta"):
        theirs = torchvision.models.get_model(name).state_dict()
    ours = net(name, (3, 224, 224, 1000), "imagenet").state_dict()
    assert {key: value.shape for key, value in ours.items()} == {k: v.shape for k, v in theirs.items()}
    assert list(ours) == list(theirs)


@pytest.mark.parametrize(
    ("name", "data", "millions"),
    [
        ("lenet-300-100", (1, 28, 28, 10), 0.2662),
        ("resnet18", C10, 555.4),
        ("resnet20", C10, 40.8),  # open_lth's; the padded resnet20s has 40.6
        ("resnet20s", C10, 40.6),
    ],
)
def test_multiply_adds_per_image(name: str, data: tuple[int, int, int, int], millions: float) -> None:
    assert macs(net(name, data), data[:3]) / 1e6 == pytest.approx(millions, abs=0.05 if millions > 1 else 0)


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["lenet-300-100", "resnet20s", "resnet32-2x", "resnet50", "mobilenet", "wrn-22-2"]
)
def test_multiply_adds_are_half_of_torchs_flops(name: str) -> None:
    data = (3, 32, 32, 10)
    model = net(name, data).eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *data[:3], device="meta"))
    assert 2 * macs(model, data[:3]) == counter.get_total_flops()


def test_multiply_adds_by_layer_are_named_like_the_weights_and_hooks_are_gone() -> None:
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, padding=1), nn.Flatten(), nn.Linear(6 * 25, 7))
    assert layer_macs(model, (4, 5, 5)) == {"0.weight": 6 * 2 * 9 * 25, "2.weight": 6 * 25 * 7}
    assert not model[0]._forward_hooks
    assert model[0].weight.device.type == "cpu"


def test_a_layer_that_runs_twice_counts_twice_and_a_shared_weight_is_one_parameter() -> None:
    layer = nn.Linear(4, 4)
    model = nn.Sequential(nn.Flatten(), layer, layer)
    assert macs(model, (1, 2, 2)) == 32
    assert parameter_count(model) == 20


class Asking(nn.Module):
    """What the meta device cannot run: a plain tensor, and a question about values."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.fc = torch.arange(1.0, 5.0), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc(x.flatten(1) * self.scale)
        return x if float(x.sum().detach()) < 9 else -x


def test_a_net_that_the_meta_device_cannot_run_is_counted_too() -> None:
    assert layer_macs(Asking(), (1, 2, 2)) == {"fc.weight": 12}


def test_shapes_follow_the_names_asked_for() -> None:
    model = net("lenet-300-100", (1, 28, 28, 10))
    assert shapes(model, ["fc3.weight", "fc1.bias"]) == {
        "fc3.weight": torch.Size([10, 100]),
        "fc1.bias": torch.Size([300]),
    }
