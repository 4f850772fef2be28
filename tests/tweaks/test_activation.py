"""Swish and Mish: they stand in for every ReLU, they compute their formulas, and a ghost ends as the plain net."""

from __future__ import annotations

import copy
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tests.tweaks import thin
from ticketctl.errors import StoppedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.plugins import plugins
from ticketctl.tweaks import mish, skip, swish

SIZE = (17, 19)


def formula(module: ModuleType, x: Tensor, beta: float) -> Tensor:
    if module is mish:
        return x * torch.tanh(torch.log1p(torch.exp(x)))
    return x / (1 + torch.exp(-beta * x))


class Instead(TorchFunctionMode):
    """Computes the formula wherever torch is asked for a relu."""

    def __init__(self, module: ModuleType, beta: float) -> None:
        super().__init__()
        self.module, self.beta, self.times = module, beta, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (F.relu, F.relu6, F.hardtanh):
            self.times += 1
            return formula(self.module, args[0], self.beta)
        return func(*args, **(kwargs or {}))


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "module", "keys"),
    [
        *((name, module, {}) for name in thin.OURS for module in (swish, mish)),
        *(("resnet20", swish, keys) for keys in ({"beta": 2.0}, {"fade": Fraction(1)})),
    ],
)
def test_every_relu_of_every_net_computes_the_formula(
    name: str, module: ModuleType, keys: dict[str, Any]
) -> None:
    plain = thin.net_of(name, size=SIZE).eval().double()
    x = thin.batch(2, 3, *SIZE).double()
    with torch.no_grad(), Instead(module, keys.get("beta", 1.0)) as instead:
        wanted = plain(x)
    net = thin.tweaked(module, copy.deepcopy(plain).float(), 3, *SIZE, **keys).double()
    with torch.no_grad(), Instead(module, 1.0) as none_left:
        got = net(x)
    assert instead.times > 0
    assert none_left.times == (instead.times if "fade" in keys else 0)  # a ghost computes both, and takes one
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("module", [swish, mish])
@pytest.mark.parametrize("name", ["resnet18", "lenet-300-100"])
def test_weights_buffers_and_names_stay(module: ModuleType, name: str) -> None:
    plain = thin.net_of(name)
    net = thin.tweaked(module, copy.deepcopy(plain), 3, *SIZE)
    assert list(net.state_dict()) == list(plain.state_dict())
    assert all(map(torch.equal, net.state_dict().values(), plain.state_dict().values()))
    assert not [module for module in net.modules() if getattr(module, "inplace", False)]


@pytest.mark.parametrize(("module", "own"), [(swish, nn.SiLU), (mish, nn.Mish)])
def test_the_modules_are_torchs(module: ModuleType, own: type[nn.Module]) -> None:
    plain = thin.net_of("resnet18").eval()
    net = thin.tweaked(module, copy.deepcopy(plain), 3, *SIZE)
    relus = [name for name, each in plain.named_modules() if isinstance(each, nn.ReLU)]
    assert [name for name, each in net.named_modules() if type(each) is own] == relus
    assert not net.get_submodule("relu1").training


def test_relu6_in_place_and_second_names_are_replaced_too() -> None:
    relu = nn.ReLU(inplace=True)
    net = nn.Sequential(
        nn.Conv2d(3, 3, 1), relu, nn.Conv2d(3, 3, 1), relu, nn.ReLU6(inplace=True), nn.Flatten()
    )
    thin.tweaked(mish, net, 3, 2, 2)
    assert [type(net[place]) for place in (1, 3, 4)] == [nn.Mish] * 3


# -------------------------------------------------------------------------------------------------- what is refused


class Functional(nn.Module):
    def __init__(self, how: Any) -> None:
        super().__init__()
        self.how, self.known = how, nn.ReLU()
        self.fc = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.known(self.how(self.fc(x.flatten(1))))  # type: ignore[no-any-return]  # of a module


@pytest.mark.parametrize(
    "how",
    [F.relu, torch.relu, Tensor.relu, F.relu6, [nn.ReLU()][0:1]],
    ids=["F", "torch", "method", "relu6", "list"],
)
@pytest.mark.parametrize("module", [swish, mish])
def test_a_relu_that_is_no_module_of_the_net_is_refused_and_named(module: ModuleType, how: Any) -> None:
    inner = Functional((lambda x: how[0](x)) if isinstance(how, list) else how)
    net = nn.Sequential(nn.Identity(), inner)
    with pytest.raises(UsageError, match="Functional 1 calls relu as a function") as caught:
        thin.tweaked(module, net, 3, 2, 2)
    assert "\n" not in str(caught.value)
    assert type(inner.known) is nn.ReLU  # the net was left as it was


def test_relu_inside_a_transformers_fast_path_is_found() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    net = nn.Sequential(nn.Flatten(2), nn.ReLU(), layer)
    with pytest.raises(UsageError, match="TransformerEncoderLayer 2 calls relu"):
        thin.tweaked(swish, net, 3, 2, 2)


def test_a_net_without_relu_is_refused() -> None:
    with pytest.raises(UsageError, match="no ReLU"):
        thin.tweaked(swish, nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.GELU()), 3, 2, 2)


@pytest.mark.parametrize(
    ("key", "value"), [("beta", 0.0), ("beta", float("inf")), ("beta", float("nan")), ("fade", Fraction(2))]
)
def test_a_key_that_cannot_be_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"tweaks\.swish\.{key}"):
        thin.hook(swish, nn.Identity(), 3, 2, 2, **{key: value})


def test_they_say_what_they_are_and_exclude_each_other() -> None:
    for name, other in (("swish", "mish"), ("mish", "swish")):
        found = plugins("tweaks")[name]
        assert found.facts["changes"] == "net"
        assert "times" in found.facts["cost"]
        assert other in found.literals["EXCLUDES"]
    assert thin.hook(mish, nn.Identity(), 3, 2, 2).identity() == {"tweak": "mish"}
    identity = thin.hook(swish, nn.Identity(), 3, 2, 2, fade=Fraction(1, 3)).identity()
    assert identity == {"tweak": "swish", "beta": 1.0, "fade": "1/3"}


# ----------------------------------------------------------------------------------------------------------- ghosts


@pytest.mark.parametrize("left", [1.0, 0.5, 0.01])
def test_a_ghost_is_swish_whose_width_is_what_is_left(left: float) -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU())
    thin.tweaked(swish, net, 1, 1, 6, fade=Fraction(1, 2), beta=2.0)
    net.get_buffer("tweak.swish.left").fill_(round(left * 2**30))
    x = torch.linspace(-3, 3, 60, dtype=torch.float64).reshape(10, 6)
    got = net.double()[1](x)
    np.testing.assert_allclose(
        got.numpy(), (x / (1 + torch.exp(-2 * x / left))).numpy(), rtol=1e-5, atol=1e-6
    )


def gradients(net: nn.Module, x: Tensor) -> list[Tensor]:
    logits = net(x)
    return [logits, *torch.autograd.grad(logits.square().sum(), list(net.parameters()))]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet", "lenet-300-100"])
def test_a_ghost_that_is_gone_is_the_plain_net_to_the_bit(name: str) -> None:
    plain, x = thin.net_of(name), thin.batch(2, 3, *SIZE)
    ghost = thin.tweaked(swish, copy.deepcopy(plain), 3, *SIZE, fade=Fraction(1, 2))
    ghost.get_buffer("tweak.swish.left").zero_()
    x[0] = 1e4  # nor does what is not used overflow
    assert all(map(torch.equal, gradients(ghost, x), gradients(plain, x)))
    assert all(map(torch.equal, gradients(ghost.eval(), x), gradients(plain.eval(), x)))


def test_relu6_comes_back_as_relu6() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU6(inplace=True))
    thin.tweaked(swish, net, 3, 2, 2, fade=Fraction(1, 2))
    net.get_buffer("tweak.swish.left").zero_()
    x = torch.tensor([-1.0, 3.0, 9.0])
    assert net[1](x).tolist() == [0, 3, 6]


def test_a_copy_has_a_ghost_of_its_own() -> None:
    net = thin.tweaked(swish, thin.net_of("resnet18"), 3, *SIZE, fade=Fraction(1)).eval()
    x = thin.batch(2, 3, *SIZE)
    before, twin = net(x), copy.deepcopy(net)
    assert torch.equal(twin(x), before)
    twin.get_buffer("tweak.swish.left").zero_()
    assert not torch.equal(twin(x), before)
    assert torch.equal(net(x), before)
    given = {name: value.detach() for name, value in twin.state_dict().items()}
    assert torch.equal(torch.func.functional_call(net, given, (x,)), twin(x))


def test_skip_and_swish_go_together() -> None:
    net = thin.tweaked(skip, thin.net_of("resnet18"), mismatch="pad", kind="identity-bn", fade=Fraction(1, 2))
    thin.tweaked(swish, net, 3, *SIZE, fade=Fraction(1, 2))
    assert {"tweak.skip.left", "tweak.swish.left"} < set(net.state_dict())
    assert net(thin.batch(2, 3, *SIZE)).shape == (2, 3)


# -------------------------------------------------------------------------------------------------------- trainings


@pytest.mark.long
@pytest.mark.parametrize(("module", "keys"), [(swish, {"fade": Fraction(1, 2)}), (swish, {}), (mish, {})])
def test_stopped_in_the_middle_it_goes_on_to_the_same_bytes(
    tmp_path: Path, module: ModuleType, keys: dict[str, Any]
) -> None:
    mask = Mask.from_arrays({"fc.weight": np.eye(3, dtype=bool)})
    whole, made = thin.lab(tmp_path / "whole", module, **keys)
    truth = whole.fit(whole.initial, mask, hooks=[made])
    for polls in (6, 14):
        left = iter(range(10**6))

        def stop(left: Any = left, polls: int = polls) -> int | None:
            return 75 if next(left) >= polls else None

        cut, made = thin.lab(tmp_path / str(polls), module, stop=stop, **keys)
        with pytest.raises(StoppedError):
            cut.fit(cut.initial, mask, hooks=[made])
        again, made = thin.lab(tmp_path / str(polls), module, **keys)
        fit = again.fit(again.initial, mask, hooks=[made])
        assert fit.files.final.read_bytes() == truth.files.final.read_bytes()
        assert torch.equal(fit.history.nan_to_num(-1), truth.history.nan_to_num(-1))


def test_a_ghost_of_a_training_falls_in_a_straight_line(tmp_path: Path) -> None:
    ghosts, made = thin.lab(tmp_path, swish, fade=Fraction(2, 3))
    fit = ghosts.fit(ghosts.initial, None, hooks=[made], keep=tuple(range(13)))
    found = [float(fit.state(step).weights["tweak.swish.left"]) for step in range(13)]
    assert found == pytest.approx([2.0**30 * max(0.0, 1 - step / 8) for step in range(13)])
