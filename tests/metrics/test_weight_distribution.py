"""Weight distribution: counts of each layer by a plain sum, in the order in which the net runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.metrics.specimens import exam_of, random_images, specimen
from tests.tweaks import thin
from ticketctl.masks.mask import Mask
from ticketctl.masks.prunable import Policy, prunable
from ticketctl.metrics.weight_distribution import Params, group_of, measure, price
from ticketctl.train.exam import Absent


def found_in(net, mask=None, shape=(3, 8, 8)):
    return measure(exam_of(specimen(net, *random_images(3, shape, 5), mask=mask)), params=Params())


def random_mask(net, seed=0, density=0.3):
    numbers = np.random.default_rng(seed)
    shapes = {name: net.get_parameter(name).shape for name in prunable(net, Policy())}
    return Mask(
        {name: torch.from_numpy(numbers.random(tuple(shape)) < density) for name, shape in shapes.items()}
    )


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "vgg11", "mobilenet", "lenet-300-100"])
def test_counts_are_those_of_the_mask_and_shares_add_up_to_one(name) -> None:
    net = thin.net_of(name)
    mask = random_mask(net)
    found = found_in(net, mask, shape=(3, 17, 19))
    layers = found.protocol["layers"]
    assert sorted(layers) == sorted(mask.keep)
    assert found.arrays["kept"].tolist() == [int(mask.keep[layer].sum()) for layer in layers]
    assert found.arrays["size"].tolist() == [mask.keep[layer].numel() for layer in layers]
    np.testing.assert_allclose(
        found.arrays["keep"], [mask.keep[layer].float().mean() for layer in layers], rtol=1e-6
    )
    assert found.arrays["share"].sum() == pytest.approx(1, abs=1e-12)
    shares = [one.value for row, one in found.values.items() if ".share." in row]
    assert sum(shares) == pytest.approx(1, abs=1e-12)
    assert found.values["weight-distribution"].value == float(mask.density)
    assert next(iter(found.values)) == "weight-distribution"


class Backwards(nn.Module):
    """Runs its layers in another order than it names them; one twice, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.never, self.first = nn.Linear(4, 5), nn.Linear(4, 4), nn.Conv2d(3, 4, 3)
        self.middle = nn.Linear(4, 4)

    def forward(self, x):
        return self.last(self.middle(torch.relu(self.middle(self.first(x).mean((2, 3))))))


def test_layers_stand_in_the_order_in_which_they_run() -> None:
    found = found_in(Backwards())
    assert found.protocol["layers"] == ["first.weight", "middle.weight", "last.weight", "never.weight"]


def test_a_residual_net_runs_a_block_before_its_shortcut() -> None:
    layers = found_in(thin.net_of("resnet20"), shape=(3, 17, 19)).protocol["layers"]
    assert layers[0] == "conv1.weight"
    assert layers[-1] == "fc.weight"
    own = [layer for layer in layers if layer.startswith("layer2.0")]
    assert own == ["layer2.0.conv1.weight", "layer2.0.conv2.weight", "layer2.0.downsample.0.weight"]


@pytest.mark.parametrize(
    ("name", "downsampling", "linear"),
    [("resnet18", 3, 1), ("resnet50", 4, 1), ("resnet20", 2, 1), ("resnet20s", 0, 1), ("vgg11", 0, 1),
     ("mobilenet", 0, 1), ("lenet-300-100", 0, 3)],
)  # fmt: skip
def test_groups_are_the_shortcuts_convolutions_the_linear_layers_and_the_rest(
    name, downsampling, linear
) -> None:
    net = thin.net_of(name)
    groups = [group_of(net, layer) for layer in prunable(net, Policy())]
    assert groups.count("downsampling") == downsampling
    assert groups.count("linear") == linear


def test_a_one_by_one_convolution_is_of_a_shortcut_where_it_strides_or_is_called_so() -> None:
    net = nn.ModuleDict({
        "reduce": nn.Conv2d(3, 4, 1, stride=2), "wide": nn.Conv2d(3, 4, 1, stride=(1, 2)),
        "expand": nn.Conv2d(3, 4, 1), "pool": nn.Conv2d(3, 4, 3, stride=2), "shortcut": nn.Conv2d(3, 4, 1),
        "line": nn.Conv1d(3, 4, 1, stride=2),
    })  # fmt: skip
    found = {name: group_of(net, f"{name}.weight") for name in net}
    assert [name for name, group in found.items() if group == "downsampling"] == [
        "reduce",
        "wide",
        "shortcut",
        "line",
    ]
    assert found["expand"] == found["pool"] == "residual"


def test_torchvisions_residual_net_has_the_same_groups() -> None:
    from torchvision.models import resnet50

    net = resnet50(num_classes=5)
    found = [name for name in prunable(net, Policy()) if group_of(net, name) == "downsampling"]
    assert found == [f"layer{stage}.0.downsample.0.weight" for stage in (1, 2, 3, 4)]


def test_group_rows_are_sums_over_their_layers() -> None:
    net = thin.net_of("resnet20")
    found = found_in(net, random_mask(net), shape=(3, 17, 19))
    for number, group in enumerate(found.protocol["groups"]):
        own = found.arrays["group"] == number
        kept, size = found.arrays["kept"][own].sum(), found.arrays["size"][own].sum()
        assert found.values[f"weight-distribution.keep.{group}"].value == pytest.approx(kept / size)
        assert found.values[f"weight-distribution.share.{group}"].value == pytest.approx(
            kept / found.arrays["kept"].sum()
        )


def test_a_dense_net_keeps_all_and_an_empty_layer_has_no_share() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 5))
    dense = found_in(net, shape=(3, 2, 2))
    assert dense.arrays["keep"].tolist() == [1, 1]
    assert dense.arrays["share"].tolist() == [96 / 136, 40 / 136]
    none = {
        name: torch.zeros(net.get_parameter(name).shape, dtype=torch.bool)
        for name in ("1.weight", "3.weight")
    }
    assert found_in(net, Mask(none), (3, 2, 2)).arrays["share"].tolist() == [0, 0]
    none["3.weight"][2, 3] = True
    assert found_in(net, Mask(none), (3, 2, 2)).arrays["share"].tolist() == [0, 1]


def test_a_net_without_layers_to_prune_says_so_and_the_price_is_an_image() -> None:
    with pytest.raises(Absent, match="nothing to prune in Flatten"):
        found_in(nn.Flatten(), shape=(1, 1, 5))
    assert price({"test": 50}, Params()) == 1


@pytest.mark.gpu
def test_a_gpu_counts_what_the_cpu_counts() -> None:
    from tests.metrics.test_pac_bayes import on_gpu

    net = thin.net_of("resnet20")
    one = specimen(net, *random_images(3, (3, 17, 19), 5), mask=random_mask(net))
    here, there = (measure(exam_of(each), params=Params()) for each in (one, on_gpu(one)))
    assert here.values == there.values
    assert here.protocol == there.protocol
