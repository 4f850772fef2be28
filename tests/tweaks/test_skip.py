"""Extra skip connections: what they add to which unit, and that nothing else of the net or its training changes."""

from __future__ import annotations

import copy
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from tests.tweaks import thin
from ticketctl.errors import StoppedError, UsageError
from ticketctl.masks.bind import Binding
from ticketctl.masks.mask import Mask
from ticketctl.nets._blocks import BasicBlock
from ticketctl.nets.build import layout
from ticketctl.nets.wrn import PreActivation
from ticketctl.plugins import plugins
from ticketctl.tweaks import skip
from ticketctl.tweaks._units import units_of

MODES: list[dict[str, Any]] = [
    {},
    {"mismatch": "pad"},
    {"mismatch": "proj"},
    {"kind": "identity-bn", "gamma0": 0.5},
    {"kind": "identity-bn", "mismatch": "pad"},
    {"kind": "identity-bn", "mismatch": "proj", "proj_init": "const:1e-4"},
    {"kind": "proj"},
    {"kind": "proj", "proj_init": "const:1e-4", "alpha": 0.5},
    {"mismatch": "pad", "fade": Fraction(1, 2)},
]
SKIPPING = [name for name in thin.OURS if not name.startswith("lenet")]


def counts(net: nn.Module) -> tuple[int, int]:
    units = units_of(net)
    return len(units), sum(unit.matched for unit in units)


def own(net: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in net.state_dict().items() if name.startswith("tweak.")}


# ---------------------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("name", "units", "matched"),
    [
        ("resnet18", 16, 13),
        ("resnet34", 32, 29),
        ("resnet50", 16, 13),
        ("vgg16", 13, 9),
        ("mobilenet", 13, 9),
        ("resnet20s", 18, 16),
        ("resnet32", 30, 28),
        ("wrn-28-10", 24, 21),
    ],
)
def test_units_are_those_of_the_specification(name: str, units: int, matched: int) -> None:
    assert counts(layout(name, shape=(3, 32, 32), classes=10)) == (units, matched)


@pytest.mark.parametrize(
    ("name", "units", "matched"),
    [("resnet18", 16, 13), ("resnet50", 16, 13), ("vgg16_bn", 13, 9), ("mobilenet_v2", 17, 13)],
)
def test_units_of_torchvisions_nets_are_found(name: str, units: int, matched: int) -> None:
    with torch.device("meta"):
        net = models.get_model(name)
    assert counts(net) == (units, matched)


@pytest.mark.parametrize(
    ("name", "weights", "norms"), [("resnet18", 1_220_608, 7_680), ("resnet34", 2_342_912, None)]
)
def test_projections_have_the_published_number_of_weights(name: str, weights: int, norms: int | None) -> None:
    net = thin.tweaked(skip, layout(name, shape=(3, 32, 32), classes=10), kind="proj")
    added = [value for key, value in net.named_parameters() if key.startswith("tweak.skip.")]
    assert sum(value.numel() for value in added if value.dim() == 4) == weights
    assert norms is None or sum(value.numel() for value in added if value.dim() == 1) == norms


def test_identities_have_no_weights_and_branches_are_counted() -> None:
    net = layout("resnet18", shape=(3, 32, 32), classes=10)
    made = thin.hook(skip, net)
    made.model(net, thin.SEEDS)
    assert own(net) == {}
    assert made.state()["units"].tolist() == [16, 13, 13]


@pytest.mark.parametrize("name", [name for name in thin.OURS if name.startswith("lenet")])
def test_a_net_without_units_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(UsageError, match="no 3x3 convolution") as caught:
        thin.tweaked(skip, thin.net_of(name))
    assert "\n" not in str(caught.value)


def test_branches_of_units_with_awkward_names_are_told_apart() -> None:
    def pair() -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3))

    net = nn.ModuleDict({"a_b": pair(), "a": nn.ModuleDict({"b": pair()})})
    thin.tweaked(skip, net, kind="identity-bn")
    names = {name.split(".")[2] for name in own(net)}
    assert names == {"a_b_0", "a_b_0_"}


# -------------------------------------------------------------------------------------------- what the net computes


@pytest.mark.long
@pytest.mark.parametrize("name", SKIPPING)
def test_every_mode_keeps_names_shapes_and_masks(name: str) -> None:
    plain = thin.net_of(name)
    x = thin.batch(2, 3, 17, 19)
    shapes = {key: value.shape for key, value in plain.named_parameters() if value.dim() == 4}
    mask = Mask.full(shapes)
    for mode in MODES:
        net = thin.tweaked(skip, copy.deepcopy(plain), **mode)
        logits = net(x)
        assert logits.shape == (2, 3)
        logits.sum().backward()
        state = net.state_dict()
        assert list(state)[: len(plain.state_dict())] == list(plain.state_dict())
        assert all(key.startswith("tweak.skip.") for key in list(state)[len(plain.state_dict()) :])
        assert list(Binding(net, mask).names) == list(shapes)
        assert all(
            value.grad is not None for key, value in net.named_parameters() if key.startswith("tweak.")
        )


def reference(block: BasicBlock, x: Tensor, skips: bool) -> Tensor:
    """A BasicBlock in evaluation, written out."""

    def normed(norm: nn.BatchNorm2d, value: Tensor) -> Tensor:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return value * scale[:, None, None] + (norm.bias - norm.running_mean * scale)[:, None, None]

    h = normed(block.bn1, F.conv2d(x, block.conv1.weight, padding=1))
    h = (h + x if skips else h).clamp(min=0)
    y = normed(block.bn2, F.conv2d(h, block.conv2.weight, padding=1))
    return (y + (h if skips else 0) + x).clamp(min=0)


def test_an_identity_adds_exactly_the_units_input_before_the_activation() -> None:
    plain = thin.net_of("resnet18").eval()
    net = thin.tweaked(skip, copy.deepcopy(plain))
    x = thin.batch(2, 4, 5, 5)
    for place, skips in ((plain, False), (net, True)):
        block = place.get_submodule("layer1.1")
        assert isinstance(block, BasicBlock)
        torch.testing.assert_close(block(x), reference(block, x, skips))
    norm, seen = net.get_submodule("layer1.1.bn1"), {"in": x, "out": x}
    assert isinstance(norm, nn.BatchNorm2d)
    norm.register_forward_hook(lambda module, inputs, output: seen.update({"in": inputs[0], "out": output}))
    net.get_submodule("layer1.1")(x)
    bare = F.batch_norm(seen["in"], norm.running_mean, norm.running_var, norm.weight, norm.bias)
    assert torch.equal(seen["out"], bare + x)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "stage", "factor"), [("resnet20s", "layer3", 2**7), ("resnet18", "layer1", 2**2)]
)
def test_identities_pass_on_twice_what_every_matched_block_is_given(
    name: str, stage: str, factor: int
) -> None:
    net = thin.tweaked(skip, thin.net_of(name, size=(8, 8), width=4)).eval()
    for block in (module for module in net.modules() if isinstance(module, BasicBlock)):
        for norm in (block.bn1, block.bn2):  # branches that give nothing, so that what is left is exact
            assert norm.weight is not None
            norm.weight.zero_()
            norm.bias.zero_()
    seen: list[Tensor] = []
    net.get_submodule("layer1.0").register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    net.get_submodule(stage).register_forward_hook(lambda module, inputs, output: seen.append(output))
    net(thin.batch(1, 3, 8, 8))
    assert seen[0].max() > 0
    if stage == "layer3":  # padding takes every second position, twice
        seen[0] = seen[0][:, :, ::4, ::4]
        seen[1] = seen[1][:, 6:10]
    assert torch.equal(seen[1], factor * seen[0])


def test_a_bottleneck_has_one_branch_and_the_stem_none() -> None:
    net = thin.tweaked(skip, thin.net_of("resnet50"), kind="proj")
    places = {name.split(".")[2] for name in own(net)}
    assert places == {
        f"layer{s}_{b}_conv2" for s, n in zip((1, 2, 3, 4), (3, 4, 6, 3), strict=True) for b in range(n)
    }


def test_a_pre_activation_block_adds_what_enters_its_batchnorm() -> None:
    block = thin.tweaked(skip, thin.net_of("wrn-22-2", width=8)).eval().get_submodule("layer2.1")
    assert isinstance(block, PreActivation)
    x = thin.batch(2, 8, 5, 5)
    with torch.no_grad():
        plain = copy.deepcopy(block)
        for module in plain.modules():
            module._forward_hooks.clear()
            module._forward_pre_hooks.clear()
        h = plain.conv1(F.relu(plain.bn1(x))) + x
        y = plain.conv2(F.relu(plain.bn2(h))) + h + x
        torch.testing.assert_close(block(x), y)


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(2, 5, 2), (2, 2, 2), (3, 6, 1), (5, 2, 2)])
def test_padding_is_the_mean_of_each_window_and_zero_channels(inputs: int, outputs: int, stride: int) -> None:
    x = thin.batch(2, inputs, 5, 6)
    body = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))
    chain = nn.Sequential(body, nn.ReLU())
    nn.init.zeros_(body.get_parameter("0.weight"))  # the unit itself gives 0
    got = thin.tweaked(skip, chain, mismatch="pad").eval().get_submodule("0")(x).detach()
    rows, columns = -(-5 // stride), -(-6 // stride)
    wanted = np.zeros((2, outputs, rows, columns))
    before = (outputs - inputs) // 2
    for n, c, i, j in np.ndindex(*wanted.shape):
        if 0 <= c - before < inputs:
            window = x[n, c - before, i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
            wanted[n, c, i, j] = float(window.mean())
    torch.testing.assert_close(got, torch.from_numpy(wanted).float())


def test_identity_bn_starts_with_its_scale_and_constants_fill_projections() -> None:
    norms = own(thin.tweaked(skip, thin.net_of("resnet18"), kind="identity-bn", gamma0=0.25))
    assert all(bool((value == 0.25).all()) for name, value in norms.items() if name.endswith("norm.weight"))
    filled = own(thin.tweaked(skip, thin.net_of("resnet18"), kind="proj", proj_init="const:1e-4"))
    assert all(bool((value == 1e-4).all()) for name, value in filled.items() if name.endswith("conv.weight"))
    drawn = own(thin.tweaked(skip, thin.net_of("resnet18", width=4), kind="proj"))
    weight = drawn["tweak.skip.layer4_1_conv2.conv.weight"]
    assert float(weight.std()) == pytest.approx((2 / weight.shape[1]) ** 0.5, rel=0.03)
    assert not torch.equal(weight, drawn["tweak.skip.layer4_1_conv1.conv.weight"])


# --------------------------------------------------------------------------------------------------- strength zero


def gradients(net: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    logits = net(x)
    parameters = [value for name, value in net.named_parameters() if not name.startswith("tweak.")]
    return logits, list(torch.autograd.grad(logits.square().sum(), parameters))


def same(one: nn.Module, other: nn.Module, x: Tensor) -> bool:
    """Copies are compared: running a net in train mode moves its statistics."""
    ours, theirs = gradients(copy.deepcopy(one), x), gradients(copy.deepcopy(other), x)
    return torch.equal(ours[0], theirs[0]) and all(map(torch.equal, ours[1], theirs[1]))


@pytest.mark.long
@pytest.mark.parametrize("name", ["resnet18", "vgg11", "mobilenet", "wrn-22-2"])
def test_at_strength_zero_outputs_and_gradients_are_the_plain_nets_to_the_bit(name: str) -> None:
    plain, x = thin.net_of(name), thin.batch(2, 3, 17, 19)
    none = thin.tweaked(skip, copy.deepcopy(plain), kind="proj", alpha=0.0)
    assert list(none.state_dict()) == list(plain.state_dict())
    assert same(none, plain, x)
    for kind in ("identity", "identity-bn", "proj"):
        mismatch = "none" if kind == "proj" else "pad"
        ghost = thin.tweaked(skip, copy.deepcopy(plain), kind=kind, mismatch=mismatch, fade=Fraction(1, 2))
        assert not same(ghost, plain, x)
        ghost.get_buffer("tweak.skip.left").zero_()
        for mode in (True, False):
            assert same(ghost.train(mode), plain.train(mode), x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(ghost.eval()(x), plain.eval()(x))
        plain.train()


def test_where_nothing_matches_the_net_is_the_plain_one() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten())
    net = thin.tweaked(skip, copy.deepcopy(plain))
    x = thin.batch(2, 3, 4, 4)
    assert same(net, plain, x)
    assert list(net.state_dict()) == list(plain.state_dict())
    assert same(thin.tweaked(skip, copy.deepcopy(plain), fade=Fraction(1, 2)), plain, x)


# ---------------------------------------------------------------------------------------------------- layer collapse


@pytest.mark.parametrize("matched", range(9))
def test_gradients_pass_a_layer_that_is_pruned_away(matched: int) -> None:
    plain = thin.net_of("vgg16", size=(16, 16))
    for module in plain.modules():  # as at initialisation: the unit that is pruned gives 0, not its shift
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.bias)
    unit = [unit for unit in units_of(plain) if unit.matched][matched]
    nn.init.zeros_(unit.conv.weight)
    names = [name for name, value in plain.named_parameters() if value.dim() == 4]
    earlier = names[: names.index(f"{unit.name}.weight")]
    x = thin.batch(4, 3, 16, 16)
    for mode, alive in (({"alpha": 0.0}, False), ({}, True)):
        net = thin.tweaked(skip, copy.deepcopy(plain), **mode)
        F.cross_entropy(net(x), torch.tensor([0, 1, 2, 0])).backward()
        norms = [float(net.get_parameter(name).grad.norm()) for name in earlier]  # type: ignore[union-attr]  # trained
        assert [norm > 0 for norm in norms] == [alive] * len(earlier)


# --------------------------------------------------------------------------------------------- copies and calls


@pytest.mark.parametrize(
    "mode", [{"kind": "proj"}, {"kind": "identity-bn", "mismatch": "pad", "fade": Fraction(1)}]
)
def test_a_copy_has_branches_of_its_own(mode: dict[str, Any]) -> None:
    net = thin.tweaked(skip, thin.net_of("resnet18"), **mode).eval()
    x = thin.batch(2, 3, 17, 19)
    before = net(x)
    twin = copy.deepcopy(net)
    assert torch.equal(twin(x), before)
    modules = set(twin.modules())
    hooks = [
        hook
        for module in modules
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]
    assert hooks
    branches = [getattr(hook, "__self__", None) for hook in hooks]
    assert all(
        branch in modules and set(getattr(branch, "within", (None,))) <= modules for branch in branches
    )
    with torch.no_grad():
        for value in own(twin).values():
            value.zero_()
    assert not torch.equal(twin(x), before)
    assert torch.equal(net(x), before)
    torch.testing.assert_close(copy.deepcopy(net).double()(x.double()).float(), before, rtol=1e-3, atol=1e-4)


def test_a_functional_call_uses_the_weights_it_is_given() -> None:
    net = thin.tweaked(skip, thin.net_of("vgg11"), kind="proj", fade=Fraction(1, 2)).eval()
    x = thin.batch(2, 3, 17, 19)
    given = {name: (value.detach() * 0.5).to(value.dtype) for name, value in net.state_dict().items()}
    called = torch.func.functional_call(net, given, (x,))
    assert not torch.equal(called, net(x))
    net.load_state_dict(given)
    assert torch.equal(called, net(x))


def test_it_runs_in_reduced_precision_channels_last() -> None:
    net = thin.tweaked(skip, thin.net_of("mobilenet"), mismatch="pad").to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = net(thin.batch(2, 3, 17, 19).to(memory_format=torch.channels_last))
    assert logits.dtype == torch.bfloat16


def test_a_net_that_runs_its_layers_in_another_order_is_refused() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.norm(x))  # type: ignore[no-any-return]  # of a module

    with pytest.raises(UsageError, match="another order"):
        thin.tweaked(skip, Odd())(thin.batch(2, 2, 4, 4))


# ------------------------------------------------------------------------------------------------------- trainings


@pytest.mark.long
@pytest.mark.parametrize(
    "mode",
    [
        {"mismatch": "pad", "fade": Fraction(1, 2)},
        {"kind": "proj", "fade": Fraction(1)},
        {"kind": "identity-bn", "mismatch": "proj"},
    ],
)
def test_stopped_in_the_middle_it_goes_on_to_the_same_bytes(tmp_path: Path, mode: dict[str, Any]) -> None:
    mask = Mask.from_arrays({"fc.weight": np.eye(3, dtype=bool)})
    whole, made = thin.lab(tmp_path / "whole", skip, **mode)
    truth = whole.fit(whole.initial, mask, hooks=[made])
    for polls in (7, 16):
        left = iter(range(10**6))

        def stop(left: Any = left, polls: int = polls) -> int | None:
            return 75 if next(left) >= polls else None

        cut, made = thin.lab(tmp_path / str(polls), skip, stop=stop, **mode)
        with pytest.raises(StoppedError):
            cut.fit(cut.initial, mask, hooks=[made])
        again, made = thin.lab(tmp_path / str(polls), skip, **mode)
        fit = again.fit(again.initial, mask, hooks=[made])
        assert fit.files.final.read_bytes() == truth.files.final.read_bytes()
        assert torch.equal(fit.history.nan_to_num(-1), truth.history.nan_to_num(-1))


def test_a_ghost_falls_in_a_straight_line_and_stays_away(tmp_path: Path) -> None:
    ghosts, made = thin.lab(tmp_path, skip, fade=Fraction(1, 2))
    fit = ghosts.fit(ghosts.initial, None, hooks=[made], keep=tuple(range(13)))
    found = [float(fit.state(step).weights["tweak.skip.left"]) for step in range(13)]
    assert found == pytest.approx(
        [2.0**30 * share for share in [max(0.0, 1 - step / 6) for step in range(13)]]
    )
    assert float(fit.end().weights["tweak.skip.left"]) == 0
    sequel = ghosts.fit(type(ghosts.initial)(fit.end().weights, 0), None, hooks=[made], keep=(1,))
    assert float(sequel.state(1).weights["tweak.skip.left"]) == 0


def test_a_finished_ghost_measures_what_the_plain_net_measures(tmp_path: Path) -> None:
    ghosts, made = thin.lab(tmp_path, skip, kind="proj", fade=Fraction(1, 2))
    weights = ghosts.fit(ghosts.initial, None, hooks=[made]).end().weights
    plain = layout("resnet20", shape=(2, 4, 4), classes=3, widths=(2, 2, 3, 3)).to_empty(device="cpu")
    plain.load_state_dict({name: value for name, value in weights.items() if not name.startswith("tweak.")})
    ghosts.bench.model.load_state_dict(weights)
    x = thin.batch(5, 2, 4, 4)
    assert torch.equal(plain.eval()(x), ghosts.bench.model.eval()(x))


def test_at_strength_zero_a_training_changes_no_bit(tmp_path: Path) -> None:
    ours, made = thin.lab(tmp_path / "ours", skip, kind="proj", alpha=0.0, fade=Fraction(1, 2))
    theirs, _ = thin.lab(tmp_path / "theirs", skip, alpha=0.0)
    with_hook = ours.fit(ours.initial, None, hooks=[made])
    assert with_hook.files.final.read_bytes() == theirs.fit(theirs.initial, None).files.final.read_bytes()


# ------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fade", Fraction(3, 2)),
        ("fade", Fraction(-1, 2)),
        ("alpha", float("nan")),
        ("gamma0", 0.5),
        ("proj_init", "xavier"),
        ("proj_init", "const:much"),
        ("proj_init", "const:1e-4"),
    ],
)
def test_a_key_that_cannot_be_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"tweaks\.skip\.{key}"):
        thin.hook(skip, nn.Identity(), **{key: value})


def test_a_projection_everywhere_leaves_no_mismatch() -> None:
    with pytest.raises(UsageError, match=r"tweaks\.skip\.mismatch"):
        thin.hook(skip, nn.Identity(), kind="proj", mismatch="pad")


def test_it_says_what_it_is() -> None:
    found = plugins("tweaks")["skip"]
    assert found.facts["changes"] == "net"
    assert "times" in found.facts["cost"]
    identity = thin.hook(skip, nn.Identity(), fade=Fraction(1, 3)).identity()
    assert identity == {
        "tweak": "skip", "kind": "identity", "mismatch": "none", "gamma0": 1.0, "proj_init": "kaiming", "alpha": 1.0,
        "fade": "1/3",
    }  # fmt: skip
