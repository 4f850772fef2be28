"""Names of other code bases' nets are found in ours: torchvision's and timm's own, and dialects as described."""

from __future__ import annotations

import pytest
import torchvision
from torch import nn

from ticketctl.errors import ArtifactError
from ticketctl.nets.build import layout
from ticketctl.nets.naming import between, positional, schemes, to_ours, unsure, unwrapped


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def ours(name: str, classes: int = 10) -> dict[str, tuple[int, ...]]:
    return shapes(layout(name, shape=(3, 32, 32), classes=classes))


def refuse_other_names(name: str, theirs: nn.Module) -> None:
    mine = shapes(layout(name, shape=(3, 224, 224), classes=10, stem="imagenet"))
    assert to_ours(mine, shapes(theirs)) == {one: one for one in theirs.state_dict()}


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_residual_net_of_torchvision_has_our_names_and_every_one_is_found(name: str) -> None:
    refuse_other_names(name, getattr(torchvision.models, name)(num_classes=10))


@pytest.mark.slow
def test_a_residual_net_of_timm_has_our_names_and_every_one_is_found() -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'ticketctl[models]'")
    refuse_other_names("resnet18", timm.create_model("resnet18", num_classes=10))


def open_lth_resnet(mine: dict[str, tuple[int, ...]]) -> dict[str, str]:
    """open_lth's CIFAR ResNet: conv, bn, blocks counted through, shortcut, fc."""
    places = list(dict.fromkeys(".".join(key.split(".")[:2]) for key in mine if key.startswith("layer")))
    found = {}
    for key in mine:
        head = ".".join(key.split(".")[:2])
        theirs = key.replace(head, f"blocks.{places.index(head)}") if head in places else key
        theirs = theirs.replace("downsample", "shortcut")
        found[theirs.replace("conv1.", "conv.", 1) if theirs.startswith("conv1") else theirs] = key
    return {
        one.replace("bn1.", "bn.", 1) if one.startswith("bn1") else one: key for one, key in found.items()
    }


@pytest.mark.parametrize("name", ["resnet20", "resnet18"])
def test_blocks_counted_through_all_stages_are_found(name: str) -> None:
    mine = ours(name)
    named = open_lth_resnet(mine)
    assert to_ours(mine, {theirs: mine[here] for theirs, here in named.items()}) == named
    assert any(theirs.startswith("blocks.3.") for theirs in named)


def test_a_lenet_of_numbered_layers_and_a_last_one_is_found() -> None:
    mine = ours("lenet-300-100")
    theirs = {
        "fc_layers.0.weight": "fc1.weight",
        "fc_layers.1.weight": "fc2.weight",
        "fc.weight": "fc3.weight",
    }
    assert to_ours(mine, {one: mine[here] for one, here in theirs.items()}) == theirs


def test_vgg_layers_that_number_their_pools_are_found() -> None:
    mine = ours("vgg11")
    convs = [key for key in mine if key.endswith(".weight") and len(mine[key]) == 4]
    numbers = [0, 2, 4, 5, 7, 8, 10, 11]  # 64 M 128 M 256 256 M 512 512 M 512 512 (M)
    theirs = {f"layers.{at}.conv.weight": key for at, key in zip(numbers, convs, strict=True)}
    assert to_ours(mine, {one: mine[here] for one, here in theirs.items()}, "open-lth") == theirs


def test_shortcut_and_linear_are_downsample_and_fc() -> None:
    mine = ours("resnet18")
    theirs = {key.replace("downsample", "shortcut").replace("fc.", "linear."): key for key in mine}
    assert to_ours(mine, {one: mine[here] for one, here in theirs.items()}) == theirs


def test_unknown_names_are_matched_by_order_where_nothing_is_left_to_choose() -> None:
    mine = ours("resnet20")
    weights = [key for key in mine if key.endswith("weight") and len(mine[key]) > 1]
    theirs = {f"part{at}.weight": mine[key] for at, key in enumerate(weights)}
    assert list(to_ours(mine, theirs).values()) == weights


def test_only_what_order_alone_tells_and_another_order_would_fit_is_unsure() -> None:
    mine = ours("lenet-300-100")
    theirs = {f"part{name}": shape for name, shape in mine.items()}
    assert unsure(between(mine, theirs), mine, theirs) == []
    here = {"a.weight": (4, 4), "b.weight": (4, 4), "c.weight": (2, 4)}
    there = {name.upper().replace("WEIGHT", "weight"): shape for name, shape in here.items()}
    assert unsure(between(here, there), here, there) == ["a.weight", "b.weight"]
    assert unsure(between(here, here), here, here) == []


def test_what_wrappers_put_before_names_is_taken_off_and_a_part_that_is_the_users_stays() -> None:
    assert unwrapped(["module._orig_mod.a.w", "module.b._orig_mod.w"]) == {
        "a.w": "module._orig_mod.a.w", "b.w": "module.b._orig_mod.w",
    }  # fmt: skip
    assert unwrapped(["module.w", "head.w"]) == {"module.w": "module.w", "head.w": "head.w"}
    assert unwrapped([]) == {}


def test_another_net_is_refused_by_the_parameter_that_does_not_fit() -> None:
    mine = ours("resnet20")
    with pytest.raises(
        ArtifactError, match=r"fc\.weight has the shape \[100, 64\], our net's fc\.weight has \[10, 64\]"
    ):
        to_ours(mine, ours("resnet20", classes=100))
    with pytest.raises(ArtifactError, match=r"no parameter 'encoder\.weight' in our net"):
        to_ours(mine, {"encoder.weight": (3, 3)})


def test_two_names_of_one_parameter_are_refused() -> None:
    mine = ours("resnet18")
    with pytest.raises(ArtifactError, match=r"would both be our net's fc\.weight"):
        to_ours(mine, {"fc.weight": mine["fc.weight"], "linear.weight": mine["fc.weight"]})


def test_masks_in_a_list_are_checked_by_their_shapes() -> None:
    mine = ours("lenet-300-100")
    names = [key for key in mine if key.endswith("weight")]
    assert positional(mine, names, [mine[name] for name in names]) == names
    with pytest.raises(ArtifactError, match="mask 1 has the shape"):
        positional(mine, names, [mine[names[0]], (1, 2), mine[names[2]]])
    with pytest.raises(ArtifactError, match="2 masks in a list, our net has 3"):
        positional(mine, names, [(1,), (2,)])


def test_the_names_of_schemes_are_words() -> None:
    assert {"ours", "torchvision", "timm", "open-lth"} <= {*schemes()}
