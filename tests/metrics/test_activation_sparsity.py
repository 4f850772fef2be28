"""Activation sparsity: what a normal distribution says, and what a plain loop over the layers counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from tests.metrics.specimens import apart, exam_of, picked, random_images, specimen
from tests.tweaks import thin
from ticketctl.errors import UsageError
from ticketctl.metrics import linear_probe
from ticketctl.metrics.activation_sparsity import Params, measure, near_zero, price
from ticketctl.seeds import Seeds
from ticketctl.train import features
from ticketctl.train.exam import Absent
from ticketctl.train.normal import normal
from ticketctl.tweaks import swish

COUNT = 1_000_000


def subject(net, count=12, shape=(3, 17, 19)):
    return apart(specimen(net.eval(), *random_images(count, shape, 3), classes=3))


def found_in(net, count=12, shape=(3, 17, 19), **keys):
    return measure(exam_of(subject(net, count, shape)), params=Params(**keys))


@pytest.mark.parametrize(
    ("activation", "zero", "small"),
    [
        (nn.ReLU(), 0.5, 0.504),
        (nn.Identity(), 0.0, 0.008),
        (nn.SiLU(), 0.0, float(norm.cdf(0.0199) - norm.cdf(-0.0201) + norm.cdf(-6.6))),
        (nn.LeakyReLU(0.5), 0.0, float(norm.cdf(0.01) - norm.cdf(-0.02))),
    ],
)
def test_normal_inputs_give_the_shares_that_their_distribution_says(activation, zero, small) -> None:
    inputs = torch.from_numpy(normal(Seeds(5), "probe", count=COUNT)).view(10, 100, -1)
    outputs = activation(inputs)
    shares = [float(near_zero(outputs, threshold, 10).sum()) / COUNT for threshold in (0.0, 0.01)]
    assert shares == pytest.approx([zero, small], abs=1.5e-3)


def convs():
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 5 * 6, 9), nn.Tanh(), nn.Linear(9, 3),
    )  # fmt: skip
    numbers = np.random.default_rng(0)
    with torch.no_grad():
        for value in net.parameters():
            value.copy_(torch.from_numpy(0.3 * numbers.normal(size=tuple(value.shape))))
    return net


def looped(net, x):
    """What the activations give, one after the other."""
    seen = []
    with torch.no_grad():
        for layer in net:
            x = layer(x)
            if isinstance(layer, nn.ReLU | nn.Tanh):
                seen.append(x.flatten(1))
    return seen


def test_rows_and_arrays_are_what_a_plain_loop_over_the_layers_counts() -> None:
    net = convs()
    found = found_in(net, threshold=0.05, bn="stored")
    seen = looped(net, subject(net).pixels("test"))
    assert found.protocol["layers"] == ["2", "5", "8"]
    assert found.protocol["stages"] == {"1": "2", "2": "5", "3": "8"}
    assert found.arrays["outputs"].tolist() == [one.shape[1] for one in seen]
    together = torch.cat(seen, 1)
    for name, near in (("", lambda a: a.abs() <= 0.05), (".zero", lambda a: a == 0)):
        per_image = near(together).double().mean(1)
        value = found.values[f"activation-sparsity{name}"]
        assert value.value == pytest.approx(float(per_image.mean()), abs=1e-12)
        assert value.error == pytest.approx(float(per_image.std() / 12**0.5))
        assert value.n == 12
        for stage, one in enumerate(seen, 1):
            row = found.values[f"activation-sparsity.stage-{stage}{name}"]
            assert row.value == pytest.approx(float(near(one).double().mean()), abs=1e-12)
            assert found.arrays["zero" if name else "small"][stage - 1] == pytest.approx(row.value, abs=1e-12)
    assert next(iter(found.values)) == "activation-sparsity"


@pytest.mark.parametrize("policy", ["recalibrate", "stored", "batch"])
def test_batchnorm_has_the_statistics_that_the_policy_names_and_its_own_in_the_end(policy) -> None:
    net = convs()
    one, norm, before = subject(net), net[1], [value.clone() for value in net.buffers()]
    found = measure(exam_of(one), params=Params(bn=policy))
    assert all(torch.equal(old, new) for old, new in zip(before, net.buffers(), strict=True))
    assert not norm.training
    with torch.no_grad():  # the definition: over channels, unbiased where they are stored
        seen = net[0](one.pixels("test" if policy == "batch" else "train")).transpose(0, 1).flatten(1)
        if policy != "stored":
            norm.running_mean.copy_(seen.mean(1))
            norm.running_var.copy_(seen.var(1, correction=0 if policy == "batch" else 1))
    near = (torch.cat(looped(net, one.pixels("test")), 1).abs() <= 0.01).double().mean()
    assert found.values["activation-sparsity"].value == pytest.approx(float(near), abs=1e-6)
    used = {"recalibrate": 12}.get(policy, 0)
    assert found.protocol["batchnorm"] == {"policy": policy, "images": used}


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet20", ["layer1.2.relu2", "layer2.2.relu2", "layer3.2.relu2"]),
        ("resnet50", ["layer1.2.relu3", "layer2.3.relu3", "layer3.5.relu3", "layer4.2.relu3"]),
        ("wrn-22-2", ["layer1.2.relu2", "layer2.2.relu2", "layer3.2.relu2"]),
        ("vgg11", ["features.2", "features.6", "features.13", "features.20", "features.27"]),
        ("mobilenet", ["layers.0.5", "layers.2.5", "layers.4.5", "layers.10.5", "layers.12.5"]),
        ("lenet-300-100", ["relu1", "relu2"]),
    ],
)
def test_a_stage_is_the_last_activation_of_its_last_block(name, stages) -> None:
    found = found_in(thin.net_of(name), count=4)
    assert [*found.protocol["stages"].values()] == stages


def test_of_a_module_that_a_block_uses_twice_the_call_behind_the_addition_counts() -> None:
    from torchvision.models import resnet18

    net = resnet18(num_classes=3)
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name == "layer1.1.bn2.bias":
                value.fill_(-1e6)  # nothing is left behind the addition
    found = found_in(net, count=2, shape=(3, 32, 32))
    assert found.protocol["stages"]["1"] == "layer1.1.relu#2"
    assert found.values["activation-sparsity.stage-1.zero"].value == 1


def test_swish_has_almost_no_zeros_where_relu_has_many() -> None:
    values = [
        found_in(net).values["activation-sparsity.zero"].value
        for net in (thin.net_of("resnet20"), thin.tweaked(swish, thin.net_of("resnet20"), 3, 17, 19))
    ]
    assert values[0] > 0.2
    assert values[1] < 0.01


def test_batches_do_not_matter_and_fewer_images_are_drawn(monkeypatch) -> None:
    whole = found_in(convs())
    monkeypatch.setattr(features, "batch_on", lambda device: 5)
    assert found_in(convs()).values == whole.values
    few = found_in(convs(), images=7, bn="stored")
    assert few.values["activation-sparsity"].n == few.protocol["images"] == 7
    one = subject(convs())
    places = one.drawn("test", 7, Seeds(0), "probe")
    assert places.tolist() != list(range(7))
    assert few.values == measure(exam_of(picked(one, places.tolist())), params=Params(bn="stored")).values


def test_outputs_in_windows_are_counted_to_their_images() -> None:
    windows = torch.tensor([[[0.0, 1]], [[0, 0]], [[1, 1]], [[1, 0]]])  # two of each image
    assert near_zero(windows, 0.0, 2).tolist() == [3, 1]


def test_a_net_without_activations_has_none_and_keys_are_checked() -> None:
    with pytest.raises(Absent, match="Sequential has no activation that is seen"):
        found_in(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), shape=(3, 2, 2))
    assert Params().bn == linear_probe.Params().bn == "recalibrate"
    for key, value in (("threshold", -0.1), ("threshold", float("nan")), ("images", -1), ("bn_images", -1)):
        with pytest.raises(UsageError, match=rf"metrics\.activation-sparsity\.{key} = .* must be"):
            Params(**{key: value})
    sizes = {"train": 50, "test": 100}
    assert price(sizes, Params(images=10)) < price(sizes, Params())
    costs = [price(sizes, Params(**keys)) for keys in ({}, {"bn_images": 20}, {"bn": "stored"})]
    assert costs == [costs[2] + 50, costs[2] + 20, costs[2]]


@pytest.mark.gpu
def test_a_gpu_counts_what_the_cpu_counts() -> None:
    from tests.metrics.test_pac_bayes import on_gpu

    one = specimen(convs().eval(), *random_images(12, (3, 17, 19), 3), classes=3)
    here, there = (measure(exam_of(each), params=Params()) for each in (one, on_gpu(one)))
    for name, value in here.values.items():
        assert there.values[name].value == pytest.approx(value.value, abs=1e-4)
