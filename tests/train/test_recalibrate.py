"""BatchNorm's statistics against brute force and against torch's own pass."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from tests.train import small
from ticketctl.data.sets import Split
from ticketctl.errors import StoppedError, UsageError
from ticketctl.train import recalibrate as module
from ticketctl.train.feed import Images, Scaling
from ticketctl.train.recalibrate import recalibrate

BATCH = 5


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", BATCH)


class Deep(nn.Module):
    """Two BatchNorm layers of different momenta, dropout, one layer without statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.first = nn.BatchNorm2d(3, momentum=0.3)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(12, 4)
        self.second = nn.BatchNorm1d(4, momentum=None)
        self.bare = nn.BatchNorm1d(4, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bare(
            self.second(self.fc(self.drop(torch.relu(self.first(self.conv(x)))).flatten(1)))
        )
        return y


def deep() -> Deep:
    net = Deep()
    for seed, parameter in enumerate(net.parameters()):
        numbers = torch.linspace(-1, 1, parameter.numel()) * (1 + seed)
        parameter.data.copy_(torch.sin(3 * numbers).view_as(parameter) + 0.1)
    net.first.running_mean.fill_(7.0)
    net.eval()
    net.drop.train()
    return net


def images(count: int = 13) -> Images:
    return Images(small.split(count, 1), None, Scaling.of((0.4, 0.5), (0.2, 0.3), small.CPU), small.CPU)


def rows(count: int = 13) -> Iterator[Tensor]:
    every, number = images(count).batch(0, count)[0], -(-count // BATCH)
    for first in range(number):
        yield every[first::number]


def seen(net: Deep, count: int = 13) -> Tensor:
    """What the first layer is given, [values, channels] float64, by hand."""
    inputs = torch.cat(list(rows(count)))
    with torch.no_grad():
        return net.conv(inputs).permute(0, 2, 3, 1).reshape(-1, 3).double()


def buffers(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.named_buffers()}


def test_the_default_is_the_mean_over_batches_by_brute_force() -> None:
    net = deep()
    with torch.no_grad():
        each = [net.conv(batch).permute(0, 2, 3, 1).reshape(-1, 3) for batch in rows()]
    recalibrate(net, images())
    assert len(each) == 3
    torch.testing.assert_close(net.first.running_mean, torch.stack([x.mean(0) for x in each]).mean(0))
    torch.testing.assert_close(net.first.running_var, torch.stack([x.var(0) for x in each]).mean(0))
    assert int(net.first.num_batches_tracked) == 3


def test_the_default_is_what_torchs_own_pass_gives() -> None:
    ours, theirs = deep(), deep()
    theirs.drop.p = 0.0  # that one is in train mode throughout
    recalibrate(ours, images())
    update_bn(rows(), theirs)
    for (name, one), (_, other) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
        torch.testing.assert_close(one, other, msg=name)


def test_exact_statistics_are_those_of_everything_the_layer_sees() -> None:
    net = deep()
    recalibrate(net, images(), exact=True)
    x = seen(net)
    torch.testing.assert_close(net.first.running_mean.double(), x.mean(0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(net.first.running_var.double(), x.var(0), rtol=1e-6, atol=1e-6)
    plain = deep()
    recalibrate(plain, images())
    between = net.first.running_var - plain.first.running_var
    assert bool((between.abs() > 1e-3).any())  # what lies between the means of batches


def test_exact_statistics_are_pooled_where_a_mean_dwarfs_its_spread() -> None:
    net = deep()
    with torch.no_grad():
        net.conv.weight.mul_(1e-2)
        net.conv.bias.fill_(10.0)
    recalibrate(net, images(), exact=True)
    torch.testing.assert_close(net.first.running_var.double(), seen(net).var(0), rtol=1e-4, atol=0)


@pytest.mark.parametrize("exact", [False, True])
def test_one_batch_of_all_images_is_torchs_train_mode_with_momentum_1(
    exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 500)
    ours, theirs = deep(), deep()
    recalibrate(ours, images(), exact=exact)
    for norm in (theirs.first, theirs.second):
        norm.train()
        norm.momentum = 1.0
    theirs.drop.eval()
    with torch.no_grad():
        theirs(torch.cat(list(rows())))
    for name in ("first", "second"):
        one, other = getattr(ours, name), getattr(theirs, name)
        torch.testing.assert_close(one.running_mean, other.running_mean)
        torch.testing.assert_close(one.running_var, other.running_var)


def test_exact_statistics_of_a_layer_that_is_called_twice_are_of_both_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            self.norm(x)
            y: Tensor = self.norm(3 * x + 1)
            return y

    net, x = Twice(), torch.cat(list(rows()))
    recalibrate(net, images(), exact=True)
    both = torch.cat([x, 3 * x + 1]).permute(0, 2, 3, 1).reshape(-1, 2).double()
    torch.testing.assert_close(net.norm.running_mean.double(), both.mean(0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(net.norm.running_var.double(), both.var(0), rtol=1e-6, atol=1e-6)


def test_weights_modes_momenta_and_gradients_are_as_before() -> None:
    for exact in (False, True):
        net = deep()
        before = copy.deepcopy(net)
        recalibrate(net, images(), exact=exact)
        assert [m.training for m in net.modules()] == [m.training for m in before.modules()]
        assert (net.first.momentum, net.second.momentum) == (0.3, None)
        for one, other in zip(net.parameters(), before.parameters(), strict=True):
            assert torch.equal(one, other)
            assert one.grad is None
        assert not net.first._forward_hooks


def test_buffers_keep_their_addresses_and_a_second_time_gives_the_same_bits() -> None:
    net = deep()
    places = [value.data_ptr() for value in net.buffers()]
    recalibrate(net, images())
    first = buffers(net)
    recalibrate(net, images())
    assert [value.data_ptr() for value in net.buffers()] == places
    assert all(torch.equal(first[name], value) for name, value in net.named_buffers())


@pytest.mark.parametrize("exact", [False, True])
def test_a_stop_between_batches_leaves_the_net_as_it_was(exact: bool) -> None:
    net, asked = deep(), []

    def poll() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise StoppedError("stopped", 75)

    before, modes = buffers(net), [m.training for m in net.modules()]
    with pytest.raises(StoppedError):
        recalibrate(net, images(), poll=poll, exact=exact)
    assert all(torch.equal(before[name], value) for name, value in net.named_buffers())
    assert [m.training for m in net.modules()] == modes
    assert (net.first.momentum, net.second.momentum) == (0.3, None)
    assert not net.first._forward_hooks


def test_fewer_images_are_evenly_spaced() -> None:
    net = deep()
    recalibrate(net, images(), count=4, exact=True)
    with torch.no_grad():
        chosen = torch.cat([images().batch(i, i + 1)[0] for i in (0, 3, 6, 9)])
        x = net.conv(chosen).permute(0, 2, 3, 1).reshape(-1, 3).double()
    torch.testing.assert_close(net.first.running_mean.double(), x.mean(0), rtol=1e-6, atol=1e-6)


def test_all_images_by_number_are_all_images() -> None:
    one, other = deep(), deep()
    recalibrate(one, images())
    recalibrate(other, images(), count=13)
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))


def test_no_batch_is_of_a_single_image() -> None:
    """Eleven images at five a batch: a layer after pooling cannot take the variance of one value."""
    net = deep()
    recalibrate(net, images(11))
    assert int(net.first.num_batches_tracked) == 3
    for count in range(2, 30):
        sizes = [len(range(count)[batch]) for batch in module.spread(count, BATCH)]
        assert sum(sizes) == count
        assert 2 <= min(sizes) <= max(sizes) <= BATCH


@pytest.mark.parametrize("count", [0, -1, 14])
def test_a_number_of_images_that_cannot_be_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match="there are 13"):
        recalibrate(deep(), images(), count=count)


def test_a_net_without_batchnorm_is_not_run() -> None:
    class Still(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError

    recalibrate(Still(), images())


def test_the_net_may_be_run_by_another() -> None:
    one, other = deep(), deep()
    recalibrate(one, images(), forward=lambda inputs: one(2 * inputs))
    with torch.no_grad():
        mean = torch.stack([other.conv(2 * batch).mean((0, 2, 3)) for batch in rows()]).mean(0)
    torch.testing.assert_close(one.first.running_mean, mean)


def test_images_that_lie_class_by_class_give_the_statistics_of_all_of_them() -> None:
    """Two classes of different brightness, one after the other: a batch of neighbours would know one alone."""
    pixels = np.repeat(np.array([20, 220], np.uint8), 6 * 16).reshape(12, 1, 4, 4)
    scaling = Scaling.of((0.0,), (1.0,), small.CPU)
    found = Images(Split(pixels, np.repeat([0, 1], 6)), None, scaling, small.CPU)
    model = nn.Sequential(nn.BatchNorm2d(1))
    recalibrate(model, found)  # three batches of four, two of each class
    (norm,) = model
    assert norm.running_mean.item() == pytest.approx(float((pixels / 255).mean()), rel=1e-5)
    assert norm.running_var.item() == pytest.approx(float((pixels / 255).var()) * 64 / 63, rel=1e-5)
