"""Dead units: those that were planted are found, no others, whichever way a net calls its activations."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.metrics.specimens import apart, exam_of, picked, random_images, specimen
from tests.tweaks import thin
from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.metrics import dead_units as module
from ticketctl.metrics._activations import watching
from ticketctl.metrics.dead_units import Params, measure, price
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Absent
from ticketctl.tweaks import mish, skip, swish


def filled(net, seed=0):
    """Every parameter normal."""
    numbers = np.random.default_rng(seed)
    with torch.no_grad():
        for value in net.parameters():
            value.copy_(torch.from_numpy(numbers.normal(size=tuple(value.shape))))
    return net


def convs():
    """Two convolutions and a Linear layer; names 0, 3 and 7."""
    return filled(
        nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(),
            nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5),
        )
    )  # fmt: skip


def found_in(net, count=12, shape=(3, 8, 8), mask=None, **keys):
    one = apart(specimen(net, *random_images(count, shape, 5), mask=mask))
    return measure(exam_of(one), params=Params(**keys))


def test_planted_units_are_counted_and_no_others() -> None:
    net = convs()
    with torch.no_grad():
        net[1].bias[2] = -1e6  # below 0 whatever comes
        net[1].weight[4], net[1].bias[4] = 0.0, 0.7  # the bias and nothing else
        net[4].weight[[0, 5, 6]], net[4].bias[[0, 5, 6]] = 0.0, torch.tensor([0.0, -3.0, 1e-3])
    found = found_in(net)
    assert found.protocol["layers"] == ["2", "5"]
    assert found.arrays["units"].tolist() == [6, 8]
    assert found.arrays["dead"].tolist() == [1, 2]
    assert found.arrays["frozen"].tolist() == [1, 1]
    assert (found.values["dead-units"].value, found.values["dead-units"].n) == (3 / 14, 14)
    assert found.values["dead-units.frozen"].value == 2 / 14
    assert next(iter(found.values)) == "dead-units"


def test_they_are_those_that_a_plain_loop_over_the_layers_finds() -> None:
    net = convs()
    with torch.no_grad():
        net[1].bias.sub_(6)
        net[4].bias.sub_(30)
    x, counts = apart(specimen(net, *random_images(12, (3, 8, 8), 5))).pixels("test"), []
    with torch.no_grad():
        for layer in net.eval():
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                counts.append(sum(not x[:, unit].any() for unit in range(x.shape[1])))
    found = found_in(net).arrays["dead"].tolist()
    assert found == counts
    assert 0 < sum(counts) < 14


def test_more_images_make_fewer_dead_and_batches_do_not_matter(monkeypatch) -> None:
    net = convs()
    with torch.no_grad():
        net[4].bias.sub_(12)
    few, many = found_in(net, images=1), found_in(net)
    assert few.values["dead-units"].value > many.values["dead-units"].value
    assert (few.protocol["images"], many.protocol["images"]) == (1, 12)
    one = apart(specimen(net, *random_images(12, (3, 8, 8), 5)))
    place = int(one.drawn("test", 1, Seeds(0), "probe")[0])
    assert place != 0
    assert few.values == measure(exam_of(picked(one, [place])), params=Params()).values
    monkeypatch.setattr(module, "batch_on", lambda device: 5)
    again = found_in(net)
    assert again.values == many.values


def test_a_ticket_whose_kernels_are_empty_has_its_frozen_and_its_cut_channels_found() -> None:
    net = convs()
    keep = {
        name: torch.ones_like(net.get_parameter(name), dtype=torch.bool) for name in ("0.weight", "3.weight")
    }
    keep["0.weight"][1] = False  # nothing comes in
    keep["3.weight"][:, 3] = False  # nothing goes on
    with torch.no_grad():
        for name, kept in keep.items():
            net.get_parameter(name).mul_(kept)
        net[0].bias[1], net[1].bias[1] = 0.0, 0.5
        net[1].running_mean.zero_()
    found = found_in(net, mask=Mask(keep))
    assert found.arrays["frozen"].tolist() == [1, 0]
    assert (found.values["dead-units.cut"].value, found.values["dead-units.cut"].n) == (2 / 14, 14)


def test_nothing_is_cut_in_a_dense_net_and_what_cannot_be_followed_is_left_out() -> None:
    cut = found_in(convs()).values["dead-units.cut"]
    assert (cut.value, cut.n) == (0.0, 6 + 8 + 5)

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(12, 5)

        def forward(self, x):
            return torch.exp(torch.relu(self.fc(x.flatten(1))))

    net = filled(Odd())
    found = found_in(net, shape=(3, 2, 2), mask=Mask.full({"fc.weight": net.fc.weight.shape}))
    assert "dead-units.cut" not in found.values
    assert found.protocol["cut"].startswith("not judged: ")


@pytest.mark.parametrize("name", thin.OURS)
def test_every_activation_of_every_net_of_ours_is_seen_once(name) -> None:
    net = thin.net_of(name).eval()
    seen = []
    with torch.no_grad(), watching(net, lambda path, output, axis: seen.append((path, output.shape[axis]))):
        net(thin.batch(2, 3, 17, 19))
    paths = [path for path, module in net.named_modules() if isinstance(module, nn.ReLU)]
    assert sorted(path for path, _ in seen) == sorted(paths)


@pytest.mark.parametrize(("tweak", "fade"), [(swish, 0), (swish, 1), (mish, None), (skip, 0)])
def test_the_activations_of_a_tweak_are_seen_once_as_whole_modules(tweak, fade) -> None:
    net = thin.net_of("resnet20")
    paths = [path for path, module in net.named_modules() if isinstance(module, nn.ReLU)]
    params = tweak.Params() if fade is None else tweak.Params(fade=Fraction(fade))
    tweak.tweak(thin.kit(net, 3, 17, 19), params=params).model(net, thin.SEEDS)
    outputs = {}
    for path in paths:
        net.get_submodule(path).register_forward_hook(
            lambda _, inputs, output, path=path: outputs.__setitem__(path, output)
        )
    seen = {}
    with (
        torch.no_grad(),
        watching(net.eval(), lambda path, output, axis: seen.setdefault(path, []).append(output)),
    ):
        net(thin.batch(2, 3, 17, 19))
    assert sorted(seen) == sorted(paths)
    assert all(len(seen[path]) == 1 and torch.equal(seen[path][0], outputs[path]) for path in paths)


class Called(nn.Module):
    """Activations by function, in place, and one module in two places; a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.fc = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Linear(4, 5)
        self.out = nn.Linear(5, 5)

    def forward(self, x):
        x = self.act(F.relu(self.conv(x)) - 1)
        x = x * torch.sigmoid(x)
        x = self.act(self.fc(x.movedim(1, -1)))
        return self.out(torch.relu_(x.mean((1, 2)) - 0.1))


def test_activations_by_function_are_seen_under_the_module_that_calls_them() -> None:
    found = found_in(filled(Called()), shape=(3, 5, 5))
    assert found.protocol["layers"] == ["relu", "act", "act#2", "relu#2"]
    assert found.arrays["units"].tolist() == [4, 4, 5, 5]


def test_units_of_torchvision_nets_are_channels_whatever_the_layout() -> None:
    from torchvision.models import convnext_tiny, resnet18

    def widths(net):
        seen = []
        with (
            torch.no_grad(),
            watching(net.eval(), lambda path, output, axis: seen.append(output.shape[axis])),
        ):
            net(torch.zeros(1, 3, 32, 32))
        return seen

    assert widths(resnet18(num_classes=5)) == 5 * [64] + 4 * [128] + 4 * [256] + 4 * [512]
    assert widths(convnext_tiny(num_classes=5)) == 3 * [384] + 3 * [768] + 9 * [1536] + 3 * [3072]


def test_a_net_is_left_as_it_was_and_hooks_are_gone_even_after_an_error() -> None:
    net = convs().eval()
    with pytest.raises(RuntimeError), watching(net, lambda *_: None):
        net(torch.zeros(1, 4, 8, 8))
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in net.modules())


def test_a_net_without_activations_has_no_units() -> None:
    with pytest.raises(Absent, match="Sequential has no activation"):
        found_in(nn.Sequential(nn.Flatten(), filled(nn.Linear(12, 5))), shape=(3, 2, 2))


def test_the_key_and_the_price() -> None:
    with pytest.raises(UsageError, match=r"metrics\.dead-units\.images = -1 must be 0"):
        found_in(convs(), images=-1)
    assert price({"test": 50}, Params()) == 50
    assert price({"test": 50}, Params(images=20)) == 20


@pytest.mark.gpu
def test_a_gpu_counts_what_the_cpu_counts() -> None:
    from tests.metrics.test_pac_bayes import on_gpu

    net = convs()
    with torch.no_grad():
        net[4].weight[3] = 0
    one = specimen(net, *random_images(12, (3, 8, 8), 5))
    here, there = (measure(exam_of(each), params=Params()) for each in (one, on_gpu(one)))
    assert here.values == there.values
