"""open_lth's names of our nets, where it has the same net: what `ticketctl.nets.naming` reads, the other way round."""

from __future__ import annotations

import re
from itertools import accumulate, pairwise

from ticketctl.errors import ArtifactError
from ticketctl.nets.naming import Shapes, to_ours


def open_lth_names(ours: Shapes) -> dict[str, str]:
    """open_lth's name for each parameter of our net; empty if it has no such net.

    It has LeNets of Linear layers, three-stage ResNets with convolutions in their shortcuts, VGGs with one Linear
    layer, and torchvision's ResNets under `model.`. Source: open_lth, models/.

    Args:
        ours: names and shapes of the net's state_dict, in its order.
    """
    kinds = (_lenet, _resnet, _vgg, _imagenet)
    for found in (kind(ours) for kind in kinds):
        if found and _leads_back(found, ours):
            return found
    return {}


def _leads_back(found: dict[str, str], ours: Shapes) -> bool:
    try:
        back = to_ours(ours, {theirs: ours[name] for name, theirs in found.items()}, "open-lth")
    except ArtifactError:
        return False
    return back == {theirs: name for name, theirs in found.items()} and len(found) == len(ours)


def _lenet(ours: Shapes) -> dict[str, str]:
    numbers = [re.fullmatch(r"fc(\d+)\.(weight|bias)", name) for name in ours]
    if not all(numbers):
        return {}
    found = [(int(match[1]), match) for match in numbers if match]
    last = max(number for number, _ in found)
    return {
        match[0]: f"fc.{match[2]}" if number == last else f"fc_layers.{number - 1}.{match[2]}"
        for number, match in found
    }


def _resnet(ours: Shapes) -> dict[str, str]:
    blocks = list(dict.fromkeys(match[0] for name in ours if (match := re.match(r"layer\d+\.\d+\.", name))))
    stages = {block.partition(".")[0] for block in blocks}
    shortcuts = {name.partition(".")[0] for name in ours if name.endswith(".downsample.0.weight")}
    if stages != {"layer1", "layer2", "layer3"} or not {"layer2", "layer3"} <= shortcuts:
        return {}
    found = {}
    for name in ours:
        for number, block in enumerate(blocks):
            if name.startswith(block):
                rest = re.sub(r"^downsample\.", "shortcut.", name.removeprefix(block))
                found[name] = f"blocks.{number}.{rest}"
        if name not in found:
            found[name] = re.sub(r"^(conv|bn)1\.", r"\1.", name)
    return found


def _vgg(ours: Shapes) -> dict[str, str]:
    convs = [
        int(name.split(".")[1])
        for name in ours
        if re.fullmatch(r"features\.\d+\.weight", name) and len(ours[name]) == 4
    ]
    if not convs:
        return {}
    pools = accumulate(
        (at - before > 3 for before, at in pairwise(convs)), initial=0
    )  # they are numbered too
    numbers = {at: place + skipped for place, (at, skipped) in enumerate(zip(convs, pools, strict=True))}
    found = {}
    for name in ours:
        match = re.fullmatch(r"features\.(\d+)\.(.+)", name)
        at = int(match[1]) if match else -1
        if match and at in numbers:
            found[name] = f"layers.{numbers[at]}.conv.{match[2]}"
        elif match and at - 1 in numbers:
            found[name] = f"layers.{numbers[at - 1]}.bn.{match[2]}"
        elif not match:
            found[name] = name
    return found


def _imagenet(ours: Shapes) -> dict[str, str]:
    stem = ours.get("conv1.weight", ())
    return (
        {name: f"model.{name}" for name in ours}
        if "layer4.0.conv1.weight" in ours and stem[-1:] == (7,)
        else {}
    )
