"""The linear probe: its rows are those of heads trained by hand, and the net is as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.metrics.specimens import CPU, exam_of, random_images, specimen
from tests.tweaks import thin
from ticketctl.data.sets import Split
from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.shuffle import shuffled
from ticketctl.metrics import _heads
from ticketctl.metrics.linear_probe import Params, measure, price
from ticketctl.nets.build import build, initialise_
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Absent
from ticketctl.train.features import Tap, batchnorm, features_of
from ticketctl.train.feed import Images
from ticketctl.train.heads import Recipe, train_heads

CLASSES = 4


def stripes(count, seed, shape=(3, 16, 16)):
    """Images whose class is the channel and the direction that varies most."""
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(0, CLASSES, count)
    pixels = numbers.integers(0, 140, (count, *shape))
    for place, label in enumerate(labels):
        lines = (np.arange(shape[1]) // 2 % 2 * 100)[:, None]
        pixels[place, label // 2] += lines if label % 2 else lines.T
    return pixels.astype(np.uint8), labels.astype(np.int64)


def untrained(name="resnet20", **options):
    net = build(name, shape=(3, 16, 16), classes=CLASSES, **options)
    return initialise_(net, "kaiming-normal", Seeds(0)).eval()


def subject(net=None, mask=None, sets=("train", "val", "test")):
    """A net on stripes; other images in every set."""
    net = specimen(net or untrained(widths=(4, 4, 6, 8)), *stripes(4, 9), mask=mask, classes=CLASSES)
    counts = {"train": 200, "val": 90, "test": 110}
    images = {
        name: Images(Split(*stripes(counts[name], seed)), None, net.scaling, CPU) for seed, name in enumerate(sets)
    }  # fmt: skip
    return replace(net, images=images)


def found_in(net, **keys):
    return measure(exam_of(net), params=Params(**keys))


def test_a_block_has_the_accuracy_of_a_head_trained_on_its_features_by_hand() -> None:
    net = subject()
    found = found_in(net, epochs=3, converged=False)
    with batchnorm(net, "recalibrate"):
        seen = {name: features_of(net, name, [Tap("layer2.1")])[0] for name in ("train", "val")}
    head = train_heads(
        [seen["train"]], net.labels("train"), CLASSES, recipe=Recipe(epochs=3), seeds=Seeds(0)
    )[0]
    value = found.values["linear-probe.block-5"]
    right = head.right(seen["val"], net.labels("val")).double()
    assert value.value == pytest.approx(float(right.mean()), abs=1e-12)
    assert value.error == pytest.approx(float(right.std() / 90**0.5))
    assert value.n == 90
    assert found.arrays["train.accuracy"][4] == pytest.approx(
        float(head.right(seen["train"], net.labels("train")).double().mean())
    )


def test_the_first_row_is_the_last_block_on_validation_images_and_on_test_images_without_them() -> None:
    found = found_in(subject(), converged=False)
    assert list(found.values)[:3] == ["linear-probe", "linear-probe.train", "linear-probe.test"]
    assert found.values["linear-probe"] == found.values["linear-probe.block-9"]
    assert (found.values["linear-probe"].n, found.protocol["chosen on"]) == (90, "val")
    found = found_in(subject(sets=("train", "test")), converged=False)
    assert list(found.values)[:2] == ["linear-probe", "linear-probe.train"]
    assert (found.protocol["chosen on"], found.values["linear-probe"].n) == ("test", 110)


def test_arrays_say_what_each_block_is_and_lbfgs_that_it_has_converged() -> None:
    arrays = found_in(subject(), epochs=2).arrays
    assert arrays["block"].tolist() == list(range(1, 10))
    assert arrays["depth_fraction"].tolist() == pytest.approx([place / 9 for place in range(1, 10)])
    assert arrays["channels"].tolist() == 3 * [4] + 3 * [6] + 3 * [8]
    assert arrays["epochs"].tolist() == 9 * [2]
    assert arrays["iterations"].tolist() == 9 * [2]
    assert arrays["lbfgs.converged"].tolist() == 9 * [1]
    assert set(map(len, arrays.values())) == {9}


@pytest.mark.long
def test_all_blocks_at_once_are_to_the_bit_each_alone_in_pieces_too(monkeypatch) -> None:
    whole = found_in(subject(), epochs=2, weights=True)
    for names in (("layer2.0",), ("4", "layer3.2")):
        part = found_in(subject(), epochs=2, weights=True, blocks=names)
        own = {name: array for name, array in part.arrays.items() if name.startswith("block-")}
        assert len(own) == 4 * len(names)
        assert all(np.array_equal(array, whole.arrays[name]) for name, array in own.items())
        assert part.values["linear-probe.block-4"] == whole.values["linear-probe.block-4"]
        depths = part.arrays["depth_fraction"].tolist()
        assert depths == pytest.approx([number / 9 for number in ((4,) if len(names) == 1 else (4, 9))])
    monkeypatch.setattr(_heads, "LIMIT", 4 * 400 * 10)
    pieces = found_in(subject(), epochs=2, weights=True)
    assert pieces.values == whole.values
    assert all(np.array_equal(array, whole.arrays[name]) for name, array in pieces.arrays.items())


def test_the_weights_are_of_the_features_as_they_are() -> None:
    net = subject()
    for keys in ({}, {"standardize": True}):
        found = found_in(net, weights=True, blocks=("layer3.2",), **keys)
        with batchnorm(net, "recalibrate"):
            seen = features_of(net, "test", [Tap("layer3.2")])[0].numpy()
        weight, bias = (found.arrays[f"block-9.lbfgs.{part}"] for part in ("weight", "bias"))
        assert (weight.shape, bias.shape) == ((8, CLASSES), (CLASSES,))
        hit = (seen @ weight + bias).argmax(1) == net.labels("test").numpy()
        assert found.values["linear-probe.lbfgs.test"].value == pytest.approx(hit.mean())


@pytest.mark.parametrize("bn", ["recalibrate", "stored", "batch"])
def test_a_net_is_left_to_the_bit_as_it_was(bn) -> None:
    net = subject()
    before = {name: value.clone() for name, value in net.model.state_dict().items()}
    found = found_in(net, bn=bn, epochs=1, converged=False)
    assert all(torch.equal(value, before[name]) for name, value in net.model.state_dict().items())
    assert all(value.grad is None for value in net.model.parameters())
    assert not any(module.training or module._forward_hooks for module in net.model.modules())
    assert found.protocol["batchnorm"] == {"policy": bn, "images": 200 if bn == "recalibrate" else 0}


def test_the_policy_of_batchnorm_is_what_is_seen_of_an_untrained_net() -> None:
    net = subject()
    with torch.no_grad():
        for module in net.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_var.fill_(1e8)  # statistics that fit nothing: what comes out hardly moves
    keys = {"converged": False, "epochs": 60, "lr": 0.05}
    found = {bn: found_in(net, bn=bn, **keys).values["linear-probe"] for bn in ("stored", "recalibrate")}
    assert found["stored"].value < 0.4
    assert found["recalibrate"].value > found["stored"].value + 3 * (found["stored"].error or 0)


class Sum(nn.Module):
    """A block that gives the mean of each channel, and one behind it that is constant."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(4, 4, 1, bias=False), nn.ReLU()
        self.dead, self.last = nn.Conv2d(4, 3, 1, bias=False), nn.ReLU()
        self.fc = nn.Linear(3, 4)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(4)[:, :, None, None])
            self.dead.weight.zero_()

    def forward(self, x):
        return self.fc(self.last(self.dead(self.act(self.conv(x)))).mean((2, 3)))


def test_separable_features_give_100_percent_and_a_constant_gives_the_commonest_class() -> None:
    labels = np.array(6 * [0] + 3 * [1] + 3 * [2] + 3 * [3])
    pixels = np.zeros((15, 4, 3, 3), np.uint8)
    pixels[np.arange(15), labels] = 255
    found = found_in(specimen(Sum(), pixels, labels, classes=4), lr=1.0)
    for rows in ("linear-probe", "linear-probe.lbfgs"):
        assert found.values[f"{rows}.block-1"].value == 1
        assert found.values[f"{rows}.block-2"].value == found.values[rows].value == 0.4


def test_a_permuted_mask_has_the_same_counts_in_each_layer_and_is_probed_as_any() -> None:
    net = untrained(widths=(4, 4, 6, 8))
    mask = Mask(
        {
            name: torch.from_numpy(np.random.default_rng(len(name)).random(tuple(value.shape)) < 0.3)
            for name, value in net.named_parameters()
            if value.dim() > 1
        }
    )
    other = shuffled(mask, "layer", Seeds(1))
    assert {name: int(keep.sum()) for name, keep in other.keep.items()} == {
        name: int(keep.sum()) for name, keep in mask.keep.items()
    }
    values = []
    for one in (mask, other):
        pruned = untrained(widths=(4, 4, 6, 8))
        with torch.no_grad():
            for name, keep in one.keep.items():
                pruned.get_parameter(name).mul_(keep)
        values.append(found_in(subject(pruned, mask=one), converged=False).values)
    assert list(values[0]) == list(values[1])
    assert values[0] != values[1]


def test_a_head_that_left_the_numbers_is_named_and_has_no_row() -> None:
    net = Sum()
    with torch.no_grad():
        net.conv.weight.mul_(1e30)
        net.dead.weight.fill_(1e-30)
    pixels, labels = random_images(30, (4, 3, 3), 4)
    keys = {"lr": 1e14, "weight_decay": 0.0, "converged": False}
    found = found_in(specimen(net, pixels, labels, classes=4), **keys)
    assert found.protocol["diverged"] == ["linear-probe.block-1"]
    assert "linear-probe.block-1" not in found.values
    assert np.isnan(found.arrays["val.accuracy"][0])
    with pytest.raises(
        Absent, match="the last block's head left the numbers: give a lower lr, or standardize"
    ):
        found_in(specimen(net, pixels, labels, classes=4), blocks=("conv",), **keys)


def test_features_that_are_no_numbers_are_said_to_be() -> None:
    net = Sum()
    with torch.no_grad():
        net.conv.weight.fill_(torch.nan)
    with pytest.raises(Absent, match="block dead gives values that are NaN or infinite"):
        found_in(specimen(net, *random_images(6, (4, 3, 3), 4), classes=4))


def test_a_block_of_no_numbers_takes_none_of_the_others_with_it() -> None:
    net = Sum()
    with torch.no_grad():
        net.conv.weight.fill_(1e38)  # what comes of it is infinite
    net.dead.register_forward_pre_hook(lambda _, inputs: (inputs[0].isfinite().float(),))
    pixels, labels = random_images(30, (4, 3, 3), 4)
    found = found_in(specimen(net, pixels, labels, classes=4), weights=True)
    assert (found.protocol["not finite"], found.protocol["diverged"]) == (["conv"], [])
    rows = {name for name in found.values if "block" in name}
    assert rows == {"linear-probe.block-2", "linear-probe.lbfgs.block-2"}
    assert np.isnan(found.arrays["lbfgs.val.accuracy"]).tolist() == [True, False]
    assert found.arrays["lbfgs.converged"].tolist() == [0, 1]
    assert found.arrays["channels"].tolist() == [4, 3]
    alone = found_in(specimen(net, pixels, labels, classes=4), blocks=("dead",))
    assert alone.values["linear-probe"] == found.values["linear-probe"]


def test_statistics_are_of_as_many_images_as_are_asked_for() -> None:
    net, keys = subject(), {"epochs": 2, "converged": False, "weights": True, "blocks": ("layer2.1",)}
    few, all_ = (found_in(net, bn_images=count, **keys) for count in (20, 0))
    assert few.protocol["batchnorm"] == {"policy": "recalibrate", "images": 20}
    with batchnorm(net, "recalibrate", 20):
        seen = features_of(net, "train", [Tap("layer2.1")])
    head = train_heads(seen, net.labels("train"), CLASSES, recipe=Recipe(epochs=2), seeds=Seeds(0))[0]
    np.testing.assert_array_equal(few.arrays["block-5.weight"], head.weight.numpy())
    assert not np.array_equal(few.arrays["block-5.weight"], all_.arrays["block-5.weight"])


def test_unknown_blocks_and_nets_without_any_are_answered_in_a_line() -> None:
    with pytest.raises(
        UsageError, match=r"metrics\.linear-probe\.blocks: the net has no block 'layer2\.7'; did you"
    ):
        found_in(subject(), blocks=("layer2.7",))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    with pytest.raises(Absent, match="Sequential has no block before its output layer"):
        found_in(specimen(flat, *random_images(6, (3, 2, 2), 5)))


@pytest.mark.parametrize(
    ("key", "value"), [("lr", 0.0), ("weight_decay", -1.0), ("momentum", 1.0), ("lr", float("nan")), ("batch", 0)]
)  # fmt: skip
def test_keys_that_cannot_be_are_refused_by_name(key, value) -> None:
    with pytest.raises(UsageError, match=rf"metrics\.linear-probe\.{key} = "):
        Params(**{key: value})


def test_the_price_counts_the_pass_for_the_statistics() -> None:
    sizes = {"train": 1000, "val": 100, "test": 200}
    cheap = price(sizes, Params(bn="stored", converged=False))
    assert price(sizes, Params(converged=False)) == cheap + 1000
    assert price(sizes, Params(converged=False, bn_images=300)) == cheap + 300


def test_the_price_of_heads_is_told_by_the_features_that_they_are_trained_on() -> None:
    sizes = {"train": 50_000, "test": 10_000, "rate": 30_000, "features": 400, "classes": 10}
    plain = price(sizes, Params(bn="stored", converged=False))
    solved = price(sizes, Params(bn="stored")) - plain
    assert solved / 30_000 == pytest.approx(50_000 * 400 * 10 * 100 * 1e-9)  # 20 s on a core
    assert price({**sizes, "features": 800}, Params(bn="stored")) - 2 * (plain + solved) == pytest.approx(
        -60_000
    )


@pytest.mark.long
@pytest.mark.parametrize("name", thin.OURS)
def test_every_net_of_ours_can_be_probed(name) -> None:
    net = specimen(thin.net_of(name, width=16).eval(), *random_images(20, (3, 17, 19), 3), classes=3)
    found = found_in(net, epochs=1, converged=False)
    assert found.values["linear-probe"].n == 20


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    from tests.metrics.test_pac_bayes import on_gpu

    one = specimen(untrained(widths=(4, 4, 6, 8)), *stripes(200, 1), classes=CLASSES)
    here, there = (found_in(each) for each in (one, on_gpu(one)))
    for name, value in here.values.items():
        assert there.values[name].value == pytest.approx(value.value, abs=0.02)
