"""Frozen transfer: the head is one trained by hand on what went into the old one, and all else is as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.metrics.specimens import CPU, exam_of, random_images, specimen
from tests.tweaks import thin
from ticketctl.data.sets import Split
from ticketctl.masks.mask import Mask
from ticketctl.metrics import transfer as module
from ticketctl.metrics.transfer import Params, backbone_digest, measure, price
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Absent
from ticketctl.train.features import penultimate
from ticketctl.train.feed import Images
from ticketctl.train.heads import Recipe, train_heads

SOURCE, TARGET = 3, 5


def shades(count, seed, shape=(1, 17, 19)):
    """Images whose class is how bright they are."""
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(0, TARGET, count)
    noise = numbers.integers(0, 60, (count, *shape))
    return (noise + 40 * labels[:, None, None, None]).astype(np.uint8), labels.astype(np.int64)


def subject(name="lenet-300-100", channels=1, mask=None, sets=("train", "val", "test")):
    """A net that was made for three classes, on images of five."""
    net = thin.net_of(name, channels=channels)
    shape = (channels, 17, 19)
    scaling = {"mean": (0.4,) * channels, "std": (0.2,) * channels}
    found = specimen(net, *shades(4, 9, shape), mask=mask, classes=TARGET, **scaling)
    counts = {"train": 150, "val": 60, "test": 70}
    images = {
        name: Images(Split(*shades(counts[name], seed, shape)), None, found.scaling, CPU)
        for seed, name in enumerate(sets)
    }
    return replace(found, images=images)


def found_in(net, **keys):
    return measure(exam_of(net), params=Params(**keys))


def test_it_is_a_head_trained_by_hand_on_what_goes_into_the_old_one() -> None:
    net = subject()
    found = found_in(net, epochs=4, lr=0.05)

    def hidden(name):
        x = net.images[name].batch(0, 1000)[0].flatten(1)
        with torch.no_grad():
            return torch.relu(net.model.fc2(torch.relu(net.model.fc1(x))))

    for key, solver in (("transfer", "sgd"), ("transfer.lbfgs", "lbfgs")):
        head = train_heads(
            [hidden("train")], net.labels("train"), TARGET, recipe=Recipe(solver, epochs=4, lr=0.05), seeds=Seeds(0)
        )[0]  # fmt: skip
        for row, name in ((key, "test"), (f"{key}.val", "val"), (f"{key}.train", "train")):
            right = head.right(hidden(name), net.labels(name)).double()
            assert found.values[row].value == pytest.approx(float(right.mean()), abs=0.5 / 60)
            assert found.values[row].n == len(right)
    assert next(iter(found.values)) == "transfer"
    assert found.values["transfer.lbfgs"].value > 0.8


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "channels"), [("resnet20", 3), ("resnet20", 1), ("vgg11", 3), ("wrn-22-2", 3)]
)
@pytest.mark.parametrize("bn", ["recalibrate", "stored", "batch"])
def test_the_frozen_net_is_to_the_bit_as_it_was(name, channels, bn) -> None:
    net = subject(name, channels)
    before = {name: value.clone() for name, value in net.model.state_dict().items()}
    tap = penultimate(net.model)
    assert tap is not None
    digest = backbone_digest(net, tap)
    found = found_in(net, bn=bn, epochs=1, weights=True)
    assert all(torch.equal(value, before[name]) for name, value in net.model.state_dict().items())
    assert found.protocol["backbone"] == {"sha256": digest, "before and after": "equal"}
    width = net.model.fc.in_features
    assert found.arrays["head.weight"].shape == found.arrays["head.lbfgs.weight"].shape == (width, TARGET)
    assert found.values["transfer-head.parameters"].value == (width + 1) * TARGET


def test_the_digest_tells_every_tensor_but_those_of_the_output_layer() -> None:
    net = subject("resnet20", 3)
    tap = penultimate(net.model)
    assert tap is not None
    before = backbone_digest(net, tap)
    for name, value in net.model.state_dict().items():
        old = value.clone()
        with torch.no_grad():
            value.view(-1)[0] += 1
        assert (backbone_digest(net, tap) == before) == name.startswith("fc.")
        value.copy_(old)
    assert backbone_digest(net, tap) == before


def test_a_backbone_that_changes_is_reported_as_a_fault(monkeypatch) -> None:
    net = subject()
    plain = module.heads.trained

    def careless(*args, **keys):
        with torch.no_grad():
            net.model.fc1.weight[0, 0] += 1
        return plain(*args, **keys)

    monkeypatch.setattr(module.heads, "trained", careless)
    with pytest.raises(RuntimeError, match="the frozen net has changed: its digest was"):
        found_in(net)


@pytest.mark.parametrize("prunes_head", [True, False])
def test_the_sparsity_counts_the_new_head_as_dense(prunes_head) -> None:
    net = subject()
    names = ["fc1.weight", "fc2.weight", *(["fc3.weight"] if prunes_head else [])]
    shapes = {name: tuple(net.model.get_parameter(name).shape) for name in names}
    draws = np.random.default_rng(0)
    keep = {name: torch.from_numpy(draws.random(shape) < 0.2) for name, shape in shapes.items()}
    found = found_in(subject(mask=Mask(keep)), epochs=1, converged=False).values["transfer-head.sparsity"]
    pruned = sum(int((~keep[name]).sum()) for name in names[:2])
    total = sum(keep[name].numel() for name in names[:2]) + net.model.fc3.in_features * TARGET
    assert (found.value, found.n) == (pruned / total, total)
    assert found_in(net, epochs=1, converged=False).values["transfer-head.sparsity"].value == 0


def test_without_validation_images_there_is_no_row_of_them() -> None:
    found = found_in(subject(sets=("train", "test")), epochs=1)
    assert not [name for name in found.values if name.endswith(".val")]
    assert found.protocol["chosen on"] == "nothing"
    assert found.protocol["replaced"] == "fc3"


class Late(nn.Module):
    """What its Linear layer gives is not the net's answer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        return 2 * self.fc(x.flatten(1))


@pytest.mark.parametrize("net", [nn.Sequential(nn.Conv2d(3, 5, 2), nn.Flatten()), Late()])
def test_a_net_without_a_linear_output_layer_has_no_head_to_replace(net) -> None:
    with pytest.raises(Absent, match="has no Linear layer that gives its logits, so no head to replace"):
        found_in(specimen(net, *random_images(6, (3, 2, 2), 5)))


def test_the_price_counts_the_pass_for_the_statistics() -> None:
    sizes = {"train": 1000, "test": 200}
    assert price(sizes, Params()) == price(sizes, Params(bn="stored")) + 1000


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    from tests.metrics.test_pac_bayes import on_gpu

    one = subject("resnet20", 3)
    one = replace(one, images=dict.fromkeys(one.images, one.images["train"]))
    here, there = (found_in(each) for each in (one, on_gpu(one)))
    for name, value in here.values.items():
        assert there.values[name].value == pytest.approx(value.value, abs=0.02)


def test_a_net_that_gives_no_numbers_has_no_transfer() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 3))
    with torch.no_grad():
        net[1].bias.fill_(torch.inf)
        net[1].weight.zero_()
        net[3].weight.fill_(1.0)
    with pytest.raises(Absent, match="what goes into 3 has values that are NaN or infinite"):
        measure(exam_of(specimen(net, *random_images(6, (3, 2, 2), 3), classes=3)), params=Params())
