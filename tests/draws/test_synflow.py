"""SynFlow against closed forms and the conservation laws of its paper."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.train import small
from ticketctl.draws import synflow
from ticketctl.draws._flow import Flow, flow_rounds
from ticketctl.draws._rounds import schedule
from ticketctl.errors import DivergedError, UsageError
from ticketctl.masks.collapse import collapse
from ticketctl.masks.mask import Mask
from ticketctl.nets.build import build, initialise_
from ticketctl.plugins import plugins
from ticketctl.seeds import Seeds
from ticketctl.train.feed import Images
from ticketctl.train.lab import Lab, Level, Target

MODES = ("scale", "identity", "peer")


def fill(net: nn.Module, seed: int = 0, scale: float = 0.5) -> nn.Module:
    """Weights of both signs, the rest as torch made it but for biases, which are 0."""
    numbers = np.random.default_rng(seed)
    for name, parameter in net.named_parameters():
        if parameter.dim() > 1:
            parameter.data.copy_(torch.from_numpy(numbers.normal(0, scale, tuple(parameter.shape))))
        elif name.endswith("bias"):
            parameter.data.zero_()
    return net.double().train()


def mlp() -> nn.Module:
    layers = (nn.Linear(6, 9, bias=False), nn.ReLU(), nn.Linear(9, 8, bias=False), nn.ReLU())
    return fill(nn.Sequential(nn.Flatten(), *layers, nn.Linear(8, 4, bias=False)))


def vgg() -> nn.Module:
    """A chain of convolutions, BatchNorm, pooling of both kinds and a Linear layer."""
    first = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    second = (nn.Conv2d(8, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2))
    third = (nn.Conv2d(6, 10, 3, stride=2, padding=1, bias=False), nn.ReLU(), nn.Flatten())
    return fill(nn.Sequential(*first, *second, *third, nn.Linear(10, 5)))


class Residual(nn.Module):
    """Stem, a block with a shortcut of its own, a block with an identity, Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.a1, self.a2 = (
            nn.Conv2d(4, 6, 3, padding=1, bias=False),
            nn.Conv2d(6, 6, 3, padding=1, bias=False),
        )
        self.short = nn.Conv2d(4, 6, 1, bias=False)
        self.b1, self.b2 = (
            nn.Conv2d(6, 7, 3, padding=1, bias=False),
            nn.Conv2d(7, 6, 3, padding=1, bias=False),
        )
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.a2(torch.relu(self.a1(x))) + self.short(x))
        x = torch.relu(self.b2(torch.relu(self.b1(x))) + x)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def full(net: nn.Module) -> Mask:
    return Mask.full({name: p.shape for name, p in net.named_parameters() if p.dim() > 1})


def flow_of(net: nn.Module, shape: Sequence[int] = (3, 8, 8), **keys: Any) -> Flow:
    return Flow(net, full(net), shape, **keys)


def layers(net: nn.Module, shape: Sequence[int] = (3, 8, 8), **keys: Any) -> tuple[list[float], float]:
    flow = flow_of(net, shape, **keys)
    return [float(score.sum()) for score in flow.scores().values()], flow.total


def flat(scores: dict[str, Tensor]) -> Tensor:
    return torch.cat([score.flatten() for score in scores.values()])


# --------------------------------------------------------------------------------------------------- closed forms


def test_a_score_is_the_sum_over_all_paths_through_the_weight() -> None:
    """By products of matrices: 1' |W3| |W2| |W1| 1 taken apart at each weight."""
    net = mlp()
    one, two, three = (weight.detach().abs().numpy() for weight in net.parameters())
    forward, backward = [np.ones(6)], [np.ones(4)]
    for weight in (one, two):
        forward.append(weight @ forward[-1])
    for weight in (three, two):
        backward.append(backward[-1] @ weight)
    flow = flow_of(net, (1, 2, 3))
    found = list(flow.scores().values())
    for score, weight, into, out in zip(found, (one, two, three), forward, reversed(backward), strict=True):
        np.testing.assert_allclose(score.numpy(), out[:, None] * weight * into[None, :], rtol=1e-12)
    assert flow.total == pytest.approx(float((three @ two @ one).sum()), rel=1e-12)


def test_it_is_the_gradient_of_the_flow_on_mask_variables() -> None:
    net = Residual()
    fill(net)
    scores = flow_of(net).scores()
    twin = copy.deepcopy(net)
    for parameter in twin.parameters():
        parameter.data.abs_()
    masks = {
        name: torch.ones_like(p, requires_grad=True) for name, p in twin.named_parameters() if p.dim() > 1
    }
    weights = {name: mask * twin.get_parameter(name).detach() for name, mask in masks.items()}
    total = torch.func.functional_call(twin, weights, (torch.ones(1, 3, 8, 8, dtype=torch.float64),)).sum()
    for name, wanted in zip(masks, torch.autograd.grad(total, list(masks.values())), strict=True):
        torch.testing.assert_close(scores[name], wanted, rtol=1e-10, atol=0)


# --------------------------------------------------------------------------------------------------- conservation


@pytest.mark.parametrize("bn", ["scale", "identity"])
def test_every_layer_of_a_chain_carries_the_whole_flow(bn: str) -> None:
    for net, shape in ((mlp(), (1, 2, 3)), (vgg(), (3, 8, 8))):
        sums, total = layers(net, shape, bn=bn)
        assert sums == pytest.approx([total] * len(sums), rel=1e-12)


def test_a_published_chain_carries_the_same_flow_in_all_14_layers() -> None:
    """VGG-16's plan, narrow. The authors' stored run has spread 8e-7 in float32."""
    plan = (2, 2, "M", 4, 4, "M", 8, 8, 8, "M", 8, 8, 8, "M", 8, 8, 8)
    parts: list[nn.Module] = []
    width = 3
    for entry in plan:
        if isinstance(entry, str):
            parts.append(nn.MaxPool2d(2))
        else:
            parts += [nn.Conv2d(width, entry, 3, padding=1), nn.BatchNorm2d(entry), nn.ReLU()]
            width = entry
    net = fill(nn.Sequential(*parts, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(width, 100)))
    sums, total = layers(net, (3, 32, 32))
    assert len(sums) == 14
    assert sums == pytest.approx([total] * 14, rel=1e-12)


def test_what_flows_into_a_unit_flows_out_of_it() -> None:
    scores = list(flow_of(mlp(), (1, 2, 3)).scores().values())
    for before, after in pairwise(scores):
        torch.testing.assert_close(before.sum(1), after.sum(0), rtol=1e-12, atol=0)
    convs = [score for score in flow_of(vgg()).scores().values() if score.dim() == 4]
    for before, after in pairwise(convs):
        torch.testing.assert_close(before.sum((1, 2, 3)), after.sum((0, 2, 3)), rtol=1e-12, atol=0)


def test_around_an_addition_the_branches_carry_it_together() -> None:
    net = Residual()
    flow = flow_of(fill(net))
    sums = {name.removesuffix(".weight"): float(score.sum()) for name, score in flow.scores().items()}
    assert sums["stem"] == pytest.approx(flow.total, rel=1e-12)
    assert sums["fc"] == pytest.approx(flow.total, rel=1e-12)
    assert sums["a1"] == pytest.approx(sums["a2"], rel=1e-12)
    assert sums["a1"] + sums["short"] == pytest.approx(flow.total, rel=1e-12)
    assert sums["b1"] == pytest.approx(sums["b2"], rel=1e-12)
    assert sums["b1"] < flow.total  # the rest takes the identity


def test_with_biases_a_unit_passes_on_what_it_gets_and_its_bias() -> None:
    """`peer` keeps |bias|: what flows in, and |b| dR/db, is what flows out."""
    net = vgg()
    for name, parameter in net.named_parameters():
        if name in ("0.bias", "4.bias"):
            parameter.data.copy_(torch.linspace(-1, 1, parameter.numel(), dtype=torch.float64))
    flow = flow_of(net, bn="peer")
    found = flow.scores()
    bias = flow.net.get_parameter("4.bias").requires_grad_()
    [slope] = torch.autograd.grad(flow.net(flow.ones).sum(), [bias])
    into = found["4.weight"].sum((1, 2, 3)) + slope * bias.detach()
    torch.testing.assert_close(into, found["8.weight"].sum((0, 2, 3)), rtol=1e-12, atol=0)


def moved(net: nn.Module) -> nn.Module:
    """BatchNorm as after some training: every value another, of both signs."""
    numbers = np.random.default_rng(4)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor.copy_(torch.from_numpy(numbers.normal(0.5, 1, tuple(tensor.shape))))
            module.running_var.copy_(
                torch.from_numpy(numbers.uniform(0.5, 2, tuple(module.running_var.shape)))
            )
    return net


def test_trained_statistics_break_the_law_for_shifts_and_not_for_scales() -> None:
    net = moved(vgg())
    for bn in ("scale", "identity"):
        sums, total = layers(net, bn=bn)
        assert sums == pytest.approx([total] * 4, rel=1e-12)
    sums, total = layers(net, bn="peer")
    assert max(sums) / min(sums) > 1.05


def test_peer_is_the_absolute_value_of_everything_in_evaluation_mode() -> None:
    net = moved(vgg())
    twin = copy.deepcopy(net).eval()
    for value in twin.state_dict().values():
        value.abs_()
    weights = [parameter for parameter in twin.parameters() if parameter.dim() > 1]
    total = twin(torch.ones(1, 3, 8, 8, dtype=torch.float64)).sum()
    found = flow_of(net, bn="peer").scores().values()
    for score, weight, slope in zip(found, weights, torch.autograd.grad(total, weights), strict=True):
        torch.testing.assert_close(score, (weight * slope).abs().detach(), rtol=1e-12, atol=0)


def test_the_scale_is_that_of_batchnorm_without_its_shift() -> None:
    """As scores of the net in which each BatchNorm is a 1x1 convolution with |gamma| / sqrt(var + eps)."""
    net = moved(vgg())
    twin = copy.deepcopy(net)
    for name, module in list(twin.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            point = nn.Conv2d(module.num_features, module.num_features, 1, bias=False).double()
            factor = module.weight.detach().abs() / (module.running_var + module.eps).sqrt()
            point.weight.data.copy_(torch.diag(factor)[:, :, None, None])
            twin.set_submodule(name, point)
    ours, theirs = flow_of(net).scores(), flow_of(twin).scores()
    for name, score in ours.items():
        torch.testing.assert_close(score, theirs[name], rtol=1e-12, atol=0)


def test_at_initialisation_the_three_forms_of_batchnorm_agree_up_to_a_factor() -> None:
    scale, identity, peer = (flat(flow_of(vgg(), bn=bn).scores()) for bn in MODES)
    torch.testing.assert_close(scale, peer, rtol=1e-12, atol=0)
    alive = scale > 0
    assert torch.equal(alive, identity > 0)
    ratio = identity[alive] / scale[alive]
    assert float(ratio.max() / ratio.min() - 1) < 1e-12
    assert float(ratio[0]) == pytest.approx((1 + 1e-5) ** (2 / 2), rel=1e-9)


def test_a_net_in_train_mode_is_scored_in_evaluation_mode() -> None:
    """Batch statistics of one sample of ones would be 0 / sqrt(eps): layer sums then range over 7 orders."""
    net = vgg()
    trained, evaluated = flow_of(net.train()).scores(), flow_of(net.eval()).scores()
    assert torch.equal(flat(trained), flat(evaluated))


# -------------------------------------------------------------------------------------------------- other properties


def test_signs_do_not_matter() -> None:
    net = Residual()
    fill(net)
    before = flow_of(net).scores()
    numbers = np.random.default_rng(1)
    for parameter in net.parameters():
        parameter.data.mul_(torch.from_numpy(numbers.choice([-1.0, 1.0], tuple(parameter.shape))))
    after = flow_of(net).scores()
    assert torch.equal(flat(before), flat(after))
    assert bool((flat(after) >= 0).all())


@pytest.mark.parametrize("factor", [0.25, 8.0, 3.0])
def test_a_factor_moved_from_one_layer_to_the_next_changes_nothing(factor: float) -> None:
    net = vgg()
    before = flow_of(net).scores()
    net.get_parameter("4.weight").data.mul_(factor)
    net.get_parameter("8.weight").data.div_(factor)
    torch.testing.assert_close(flat(flow_of(net).scores()), flat(before), rtol=1e-12, atol=0)


def test_the_net_is_left_as_it_was() -> None:
    net = vgg()
    before = copy.deepcopy(net.state_dict())
    for bn in MODES:
        flow_rounds(flow_of(net, bn=bn), [100, 50], lambda: None)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())


def test_rounds_are_nested_exact_and_rescored() -> None:
    flow = flow_of(vgg())
    counts = schedule(full(vgg()).size, Fraction(1, 10), 7)
    seen: list[Mask] = []
    done = flow_rounds(flow, counts, lambda: seen.append(flow.mask))
    masks = [*seen, done.mask]
    assert [mask.kept for mask in masks] == [done.mask.size, *counts]
    assert all(low <= high for high, low in pairwise(masks))
    assert list(done.totals) == sorted(done.totals, reverse=True)
    again = flow_of(vgg())
    again.apply_(seen[-1])  # what the last round ranked is the score of the net it was handed
    assert torch.equal(flat(again.scores()), flat(done.scores))
    assert done.among.equal(seen[-1])
    assert all(not done.scores[name][~keep].any() for name, keep in seen[-1].keep.items())


def test_a_pruned_weight_does_not_come_back_when_what_is_left_carries_nothing() -> None:
    """Two weak weights go; the one they fed stays and scores 0, as they do, whose index is lower."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)).double()
    net.get_parameter("1.weight").data.copy_(torch.tensor([[1e-3, 1e-3], [1.0, 1.0]]))
    net.get_parameter("2.weight").data.fill_(1)
    mask = flow_rounds(flow_of(net, (1, 1, 2)), [4, 4], lambda: None).mask
    assert mask.keep["1.weight"].tolist() == [[False, False], [True, True]]
    assert mask.keep["2.weight"].tolist() == [[True, True]]


def test_a_chain_is_not_cut_before_one_weight_per_layer_is_left() -> None:
    """The paper's Maximal Critical Compression, which one round does not have."""
    widths = (12, 40, 40, 6, 40, 40, 10)
    parts: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        parts += [nn.Linear(inputs, outputs, bias=False), nn.ReLU()]
    net = fill(nn.Sequential(*parts[:-1]))
    size, depth = full(net).size, len(widths) - 1
    many = flow_rounds(flow_of(net, (3, 2, 2)), schedule(size, Fraction(depth, size), 100), lambda: None).mask
    assert [kept for kept, _ in many.layers().values()] == [1] * depth
    assert not collapse(net, many, (3, 2, 2)).cut
    once = flow_rounds(flow_of(net, (3, 2, 2)), [depth], lambda: None).mask
    assert collapse(net, once, (3, 2, 2)).cut


# ------------------------------------------------------------------------------------------------- range and refusals


# As the specification prints them, measured with another sample of Kaiming's normal initialisation at 32x32. Those of
# the ImageNet family are with 100 classes, those of the others with 10: with either number, R is proportional to it.
MAGNITUDES = {
    "resnet20s": (10, 1.4e25), "mobilenet": (10, 2.6e25), "resnet32-2x": (10, 1.0e45), "vgg16": (10, 3.1e22),
    "vgg19": (10, 3.1e27), "wrn-28-10": (10, 5.3e44), "resnet18": (100, 4.1e29), "resnet34": (100, 7.6e55),
    "resnet50": (100, 5.2e72),
}  # fmt: skip
QUICK = {"resnet20s", "mobilenet", "resnet32-2x"}


@pytest.mark.parametrize(
    "model", [m if m in QUICK else pytest.param(m, marks=pytest.mark.slow) for m in MAGNITUDES]
)
def test_the_flow_is_as_large_as_was_measured(model: str) -> None:
    classes, wanted = MAGNITUDES[model]
    net = build(model, shape=(3, 32, 32), classes=classes)
    flow = flow_of(initialise_(net, "kaiming-normal", Seeds(0)), (3, 32, 32))
    found = float(flow.net(flow.ones).detach().sum())
    assert found == pytest.approx(wanted, rel=0.25)


def test_where_float32_overflows_scores_are_finite() -> None:
    net = build("resnet32-2x", shape=(3, 16, 16), classes=10)
    initialise_(net, "kaiming-normal", Seeds(0))
    twin = copy.deepcopy(net).eval()
    for tensor in twin.state_dict().values():
        tensor.abs_()
    assert not bool(torch.isfinite(twin(torch.ones(1, 3, 16, 16)).sum()))
    flow = flow_of(net, (3, 16, 16))
    scores = flow.scores()
    assert flow.total > 3.5e38
    assert bool(torch.isfinite(flat(scores)).all())
    assert {score.dtype for score in scores.values()} == {torch.float64}
    assert bool((flat(scores) > 0).all())


def test_where_float64_overflows_it_says_so() -> None:
    net = fill(nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 4)), scale=1e200)
    with pytest.raises(DivergedError, match="inf"):
        flow_of(net, (1, 2, 2)).scores()


LARGE = {"resnet34", "resnet50", "wrn-28-10"}


@pytest.mark.parametrize(
    "model",
    [pytest.param(m, marks=pytest.mark.slow) if m in LARGE else m for m in plugins("nets") if ":" not in m],
)
def test_it_flows_through_every_net_there_is(model: str) -> None:
    """Weights 1 / fan-in: means of means, so R is the number of classes but for padding, and all scores positive."""
    shape, classes = (3, 32, 32), 10
    net = build(model, shape=shape, classes=classes)
    for parameter in net.parameters():
        if parameter.dim() > 1:
            parameter.data.fill_(1 / parameter[0].numel())
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.fill_(1)
            assert module.running_var is not None
            module.running_var.fill_(1)
    flow = flow_of(net, shape)
    scores = flow.scores()
    first, last = (float(scores[name].sum()) for name in (next(iter(scores)), list(scores)[-1]))
    assert flow.total > 0
    assert (first, last) == pytest.approx((flow.total, flow.total), rel=1e-10)
    assert bool((flat(scores) >= 0).all())
    assert float((flat(scores) > 0).double().mean()) > 0.99


class Centred(nn.Module):
    """Home-made normalisation, which no list of types knows."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-5)


@pytest.mark.parametrize(
    "odd",
    [
        nn.LayerNorm(8),
        nn.Softmax(1),
        nn.LogSoftmax(1),
        nn.GroupNorm(2, 8),
        nn.GELU(),
        nn.Sigmoid(),
        Centred(),
    ],
    ids=lambda module: type(module).__name__,
)
def test_nets_that_do_not_pass_on_the_size_of_their_input_are_refused(odd: nn.Module) -> None:
    net = fill(nn.Sequential(nn.Flatten(), nn.Linear(4, 8), odd, nn.Linear(8, 3)))
    for bn in MODES:
        with pytest.raises(UsageError) as refused:
            flow_of(net, (1, 2, 2), bn=bn)
        assert "\n" not in str(refused.value)
        assert "snip" in str(refused.value)
        if isinstance(odd, nn.LayerNorm | nn.GroupNorm | nn.Softmax | nn.LogSoftmax):
            assert f"2 is a {type(odd).__name__}" in str(refused.value)


# ----------------------------------------------------------------------------------------------------------- draws


def lab_of(folder: Path) -> Lab:
    made = small.lab(folder, small.bench(images=30))
    made.fit = lambda *_, **__: None
    return made


def draw(lab: Lab, density: str = "1/10", **keys: Any) -> Level:
    *_, last = synflow.draw(lab, target=Target(Fraction(density)), params=synflow.Params(**keys))
    return last


def test_no_image_and_no_label_is_looked_at(tmp_path: Path) -> None:
    lab, other = lab_of(tmp_path / "a"), lab_of(tmp_path / "b")
    images = Images(small.split(30, 77), None, lab.bench.feed.images.scaling, small.CPU)
    other.bench.feed.images = images
    one, two = draw(lab), draw(other)
    assert one.mask.equal(two.mask)
    assert one.notes == two.notes


def test_the_record_has_the_flow_of_the_first_and_the_last_round(tmp_path: Path) -> None:
    level = draw(lab_of(tmp_path))
    assert level.notes["rounds"] == 100
    first, last = level.notes["flow"]
    assert first > last > 0
    assert (level.notes["loss"], level.notes["bn"], level.notes["precision"]) == (
        "sum of outputs",
        "scale",
        "f64",
    )


def test_masks_of_other_densities_need_not_be_nested_but_each_is_exact(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    assert [draw(lab, density).mask.kept for density in ("1/2", "1/10", "1/99")] == [99, 20, 2]
