"""Prunable sets against what the papers' code prunes and its counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ticketctl.errors import UsageError
from ticketctl.masks.prunable import POLICIES, Policy, head, left_dense, policy, prunable
from ticketctl.nets.build import layout

SIZES = {"lenet-300-100": (1, 28, 28)}


def net(name: str) -> nn.Module:
    return layout(name, shape=SIZES.get(name, (3, 32, 32)), classes=10)


def vgg_like() -> nn.Module:
    class Vgg(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)
            )
            self.classifier = nn.Linear(4, 2)

    return Vgg()


def size(model: nn.Module, names: tuple[str, ...]) -> int:
    return sum(model.get_parameter(name).numel() for name in names)


# (policy, net) -> weights in the prunable set: rows of table 1.1 times counts of section 8
TABLE = [
    ("default", "lenet-300-100", 266_200),
    ("default", "resnet18", 11_159_232 + 5_120),
    ("paper-000", "resnet32-2x", 1_854_304 + 1_280),
    ("paper-001", "resnet18", 11_159_232),
    ("paper-001", "resnet50", 23_447_232),
    ("paper-002", "lenet-300-100", 265_200),
    ("paper-002", "resnet18", 11_159_232 + 5_120),
    ("paper-003", "resnet34", 21_259_968 + 5_120),
    ("paper-004", "resnet20s", 267_696),
    ("paper-004", "resnet18", 11_159_232),
    ("openlth", "lenet-300-100", 265_200),
    ("openlth", "resnet20", 270_256 + 640),
    ("openlth", "resnet50", 23_447_232 + 20_480),
]


@pytest.mark.parametrize(("preset", "name", "weights"), TABLE)
def test_a_preset_prunes_what_its_paper_pruned(preset: str, name: str, weights: int) -> None:
    model = net(name)
    assert size(model, prunable(model, policy(preset))) == weights


def test_openlth_leaves_the_head_of_a_vgg_dense() -> None:
    model = vgg_like()
    assert prunable(model, policy("openlth")) == ("features.0.weight", "features.3.weight")
    assert prunable(nn.Sequential(model), policy("openlth")) == ("0.features.0.weight", "0.features.3.weight")


def test_names_are_state_dict_names_in_the_order_of_modules() -> None:
    model = net("resnet20")
    names = prunable(model, Policy())
    assert names[:3] == ("conv1.weight", "layer1.0.conv1.weight", "layer1.0.conv2.weight")
    assert names[-1] == "fc.weight"
    assert "layer2.0.downsample.0.weight" in names
    assert set(names) <= set(model.state_dict())
    assert not any("bn" in name or "bias" in name for name in names)


def test_first_head_and_excluded_layers_stay_dense_and_are_listed() -> None:
    model = net("lenet-300-100")
    every = ("fc1.weight", "fc2.weight", "fc3.weight")
    assert prunable(model, Policy(first="dense")) == every[1:]
    assert prunable(model, Policy(head="dense")) == every[:2]
    names = prunable(model, Policy(exclude=(r"^fc[13]\.",)))
    assert names == every[1:2]
    assert left_dense(model, names) == ("fc1.weight", "fc3.weight")
    assert left_dense(model, every) == ()


def test_matrices_that_no_policy_prunes_are_listed() -> None:
    model = nn.ModuleDict(
        {"embed": nn.Embedding(5, 4), "attend": nn.MultiheadAttention(4, 2), "fc": nn.Linear(4, 2)}
    )
    names = prunable(model, Policy())
    assert names == ("attend.out_proj.weight", "fc.weight")
    assert left_dense(model, names) == ("embed.weight", "attend.in_proj_weight")


def test_a_shared_weight_counts_once() -> None:
    one, two = nn.Linear(4, 4), nn.Linear(4, 4)
    two.weight = one.weight
    assert prunable(nn.Sequential(one, two, nn.Linear(4, 2)), Policy()) == ("0.weight", "2.weight")


def test_the_head_is_the_last_linear_layer() -> None:
    assert head(net("resnet18")) == "fc.weight"
    assert head(nn.Sequential(nn.Conv2d(1, 1, 1))) is None


def test_all_presets_have_the_names_of_the_table() -> None:
    assert set(POLICIES) == {"default", *(f"paper-00{number}" for number in range(5)), "openlth"}


def test_an_unknown_policy_names_the_near_miss() -> None:
    with pytest.raises(UsageError, match="did you mean 'openlth'"):
        policy("open-lth")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Policy(types=("convs",)), "did you mean 'conv'"),
        (Policy(head="dence"), "did you mean 'dense'"),
        (Policy(first="sparse"), "first = 'sparse'"),
        (Policy(exclude=("(",)), "regular expression"),
        (Policy(exclude=("fc4",)), "finds no layer"),
        (Policy(types=("conv",)), "nothing to prune"),
    ],
)
def test_a_policy_that_cannot_be_is_a_usage_error(wrong: Policy, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prunable(net("lenet-300-100"), wrong)


def test_a_net_without_layers_has_nothing_to_prune() -> None:
    with pytest.raises(UsageError, match="nothing to prune in BatchNorm1d"), torch.device("meta"):
        prunable(nn.BatchNorm1d(4), Policy())
