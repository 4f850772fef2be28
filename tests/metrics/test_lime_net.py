"""Folding normalisations into convolutions changes rounding alone, and is left where it would change more."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.metrics.specimens import random_images, specimen
from tests.tweaks import thin
from ticketctl.metrics._lime_net import folded, quick, responses
from ticketctl.metrics._softmax import probabilities
from ticketctl.nets.build import build
from ticketctl.nets.initialise import initialise_
from ticketctl.plugins import load, plugins
from ticketctl.seeds import Seeds
from ticketctl.train.specimen import Specimen
from ticketctl.tweaks import skip
from ticketctl.tweaks._fade import ONE


def random_(net: nn.Module) -> nn.Module:
    """Statistics and scales as if it had been trained."""
    draws = torch.Generator().manual_seed(0)
    for one in net.modules():
        if isinstance(one, nn.BatchNorm2d) and one.running_mean is not None:
            for part in (one.weight.data, one.bias.data, one.running_mean, one.running_var):
                part.copy_(torch.rand(part.shape, generator=draws) + 0.1)
    return net.eval()


def norms(net: nn.Module) -> int:
    return sum(isinstance(one, nn.BatchNorm2d) for one in net.modules())


@pytest.mark.long
@pytest.mark.parametrize("name", ["resnet20", "resnet20s", "vgg11", "mobilenet", "wrn-22-2"])
def test_nets_say_the_same_without_their_normalisations_and_keep_their_own(name: str) -> None:
    net = random_(initialise_(build(name, shape=(3, 32, 32), classes=10), "kaiming-normal", Seeds(0)))
    before = copy.deepcopy(net.state_dict())
    inputs = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, theirs = folded(net)(inputs), net(inputs)
    assert norms(folded(net)) < norms(net)
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()
    assert all((one == before[key]).all() for key, one in net.state_dict().items())


class Odd(nn.Module):
    """An output that goes two ways, a convolution used twice, a plain pair, and a normalisation by the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third, self.fourth = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3, track_running_stats=number < 4) for number in range(5))

    def forward(self, x: Tensor) -> Tensor:
        split = self.first(x)
        x = self.norms[0](split) + split
        x = self.norms[2](self.second(self.norms[1](self.second(x))))
        return self.norms[4](self.fourth(self.norms[3](self.third(x))))


def test_what_is_used_twice_or_has_no_statistics_is_not_folded() -> None:
    net = random_(Odd())
    inputs = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(folded(net)(inputs), net(inputs))
    assert norms(folded(net)) == 4


class Asking(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_net_that_asks_for_values_is_taken_as_it_is() -> None:
    net = Asking()
    assert folded(net) is net


# --- nets in which something hangs on a layer


def shown(net: nn.Module, shape: tuple[int, int, int] = (3, 16, 16), count: int = 3) -> Specimen:
    return specimen(net.eval(), *random_images(count, shape, 3), mean=(0.5,) * 3, std=(0.2,) * 3, classes=3)


def check(net: nn.Module) -> Specimen:
    """What LIME is answered is the softmax of what the net itself says; LIME's net."""
    found = shown(net)
    fast = quick(found)
    rng = np.random.default_rng(0)
    for image in found.images["test"].pixels:
        rows = np.r_[np.ones((1, 4), bool), rng.random((9, 4)) < 0.5]
        segments = rng.integers(0, 4, image.shape[1:])
        painted = image * torch.from_numpy(rows[:, segments])[:, None]
        with torch.no_grad():
            said = net((painted.float() / 255 - 0.5) / 0.2).numpy()
        ours = responses(fast, image, segments, rows, 0)
        np.testing.assert_allclose(ours, probabilities(said)[:, said[0].argmax()], rtol=2e-3, atol=2e-6)
    return fast


def tweaked(name: str, module: Any, **keys: Any) -> nn.Module:
    """A thin net as the tweak leaves it, everything away from its initial values; what fades is at a half."""
    net = thin.tweaked(module, thin.net_of(name, size=(16, 16), width=8), 3, 16, 16, **keys)
    thin.stirred(net)
    for key, value in net.named_buffers():
        if key.endswith(".left"):
            value.fill_(ONE // 2)
    return net.eval()


SKIPS: list[dict[str, Any]] = [
    {}, {"alpha": 0.1}, {"fade": Fraction(1, 2)}, {"kind": "identity-bn", "gamma0": 0.5}, {"kind": "proj"},
    {"mismatch": "pad"}, {"mismatch": "proj"}, {"kind": "proj", "fade": Fraction(1, 2)},
    {"kind": "identity-bn", "mismatch": "pad", "fade": Fraction(1)},
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", ["resnet20s", "wrn-22-2", "vgg11"])
@pytest.mark.parametrize("keys", SKIPS, ids=str)
def test_a_net_with_skips_is_explained_with_its_skips(keys: dict[str, Any], name: str) -> None:
    net = tweaked(name, skip, **keys)
    check(net)
    bare = copy.deepcopy(net)
    for one in bare.modules():
        one._forward_hooks.clear()
        one._forward_pre_hooks.clear()
    x = thin.batch(2, 3, 16, 16)
    with torch.no_grad():
        assert (net(x) - bare(x)).abs().max() > 1e-3 * net(x).abs().max()  # the skips are to be seen


CHANGING = [name for name in plugins("tweaks") if load("tweaks", name).FACTS["changes"] == "net"]


@pytest.mark.parametrize("name", CHANGING)
def test_so_is_a_net_that_any_other_tweak_has_changed(name: str) -> None:
    module, plain = load("tweaks", name), thin.net_of("resnet20s", size=(16, 16), width=8)
    for fade in (0, Fraction(1, 2)) if hasattr(module.Params(), "fade") else (None,):
        net = tweaked("resnet20s", module, **({} if fade is None else {"fade": Fraction(fade)}))
        x = thin.batch(2, 3, 16, 16)
        with torch.no_grad():
            assert not torch.allclose(net(x), plain.eval()(x))
        check(net)


def test_tweaks_that_leave_convolutions_alone_do_not_slow_it() -> None:
    assert {"skip", "swish", "mish"} <= set(CHANGING)
    fast = check(tweaked("resnet20s", load("tweaks", "swish")))
    assert norms(fast.model) == 0


class Chain(nn.Module):
    """Two pairs, one of them in a container."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.more = nn.Sequential(nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.more(self.norm(self.conv(x)).relu()).mean((2, 3))


@pytest.mark.parametrize(
    ("path", "left"), [("", 2), ("conv", 1), ("norm", 1), ("more", 2), ("more.0", 1), ("more.1", 1)]
)
@pytest.mark.parametrize("before", [False, True])
def test_what_hooks_do_is_done_and_pairs_without_one_are_folded(path: str, left: int, before: bool) -> None:
    net = random_(Chain())
    module = net.get_submodule(path)
    if before:
        module.register_forward_pre_hook(lambda _, inputs: (3 * inputs[0],))
    else:
        module.register_forward_hook(lambda _, inputs, output: output**2)
    assert norms(check(net).model) == left
    assert norms(folded(random_(Chain()))) == 0


class Turning(nn.Module):
    """Says another thing where no gradients are asked for, which tracing does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Chain()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if torch.is_grad_enabled() else self.net(x.flip(1))


class Broken(Chain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 0


def test_a_net_of_which_tracing_loses_something_is_taken_as_it_is() -> None:
    net = random_(Turning())
    assert norms(folded(net)) == 0
    assert check(net).model is net
    numberless = random_(Broken())
    assert quick(shown(numberless)).model is numberless


def test_a_normalisation_in_training_mode_is_not_folded() -> None:
    net = random_(Chain())
    net.norm.train()
    assert norms(folded(net)) == 1
