"""Build a net by name, and fill its weights from the `init` stream.

A net of ours is laid out without values (meta device) and then filled, so that no global random state is read or
moved, and every tensor has a stream of its own: its state_dict name. A net with one layer more has the same
weights in all others, and two nets with a layer of the same name and shape share its weights.

Other people's nets (torchvision, timm, a module of the user's or of another package) are built as they are, because
they may hold tables and constants that no layout has: see `ticketctl.nets.foreign`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from inspect import signature
from math import floor
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ticketctl.errors import UsageError
from ticketctl.nets.foreign import built, is_foreign
from ticketctl.nets.initialise import SCHEMES, initialise_
from ticketctl.nets.strided import sound_
from ticketctl.plugins import load

__all__ = ["SCHEMES", "build", "find", "initialise_", "layout", "scaled", "source", "widths_of"]


def find(name: str) -> ModuleType:
    """The module that builds `name`; for a net of somebody else's, after a look whether it is there.

    Raises:
        UsageError: no such net; says the near miss.
        MissingExtraError: timm is not installed.
    """
    family = load("nets", name)
    if hasattr(family, "check"):
        family.check(name)
    return family


def source(name: str) -> str:
    """Whose net it is, as manifests say it: ticketctl, torchvision, timm or custom.

    Raises:
        UsageError: no such net.
    """
    family = load("nets", name)
    if not is_foreign(family):
        return "ticketctl"
    zoo = name.partition(":")[0]
    return zoo if zoo in getattr(family, "ZOOS", ()) else "custom"


def layout(
    name: str,
    *,
    shape: tuple[int, int, int],
    classes: int,
    stem: str = "cifar",
    width: Fraction = Fraction(1),
    widths: Sequence[int] = (),
    conv_bias: bool | None = None,
) -> nn.Module:
    """The net on the meta device: names and shapes, no memory.

    Args:
        name: a name of `ticketctl list models`.
        shape: channels, height and width of an image.
        classes: number of logits.
        stem: "cifar" or "imagenet", for the families that have both.
        width: factor on all channels.
        widths: channels of the stem and of each stage instead.
        conv_bias: biases in the convolutions, for the families that have both; None: the family's own choice.

    Raises:
        UsageError: no such net or stem (says the near miss), or an option that this net does not have.
    """
    family = find(name)
    options = _options(name, family, width, widths, conv_bias)
    if is_foreign(family):
        return sound_(built(family, name, shape, classes, stem, options)).to("meta")
    with torch.device("meta"):
        return sound_(_call(family, name, shape, classes, stem, options))


def build(
    name: str,
    *,
    shape: tuple[int, int, int],
    classes: int,
    stem: str = "cifar",
    width: Fraction = Fraction(1),
    widths: Sequence[int] = (),
    conv_bias: bool | None = None,
) -> nn.Module:
    """The net on the CPU in float32; its weights are not set until `initialise_` fills them. See `layout`."""
    family = find(name)
    options = _options(name, family, width, widths, conv_bias)
    if is_foreign(family):
        return sound_(built(family, name, shape, classes, stem, options))
    with torch.device("meta"):
        net = sound_(_call(family, name, shape, classes, stem, options))
    net = net.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            tensor.zero_()  # what the allocator left is different every time, and may be NaN
    return net


def _call(
    family: ModuleType,
    name: str,
    shape: tuple[int, int, int],
    classes: int,
    stem: str,
    options: dict[str, Any],
) -> nn.Module:
    channels, height, width = shape
    net: nn.Module = family.build(
        name, channels=channels, size=(height, width), classes=classes, stem=stem, **options
    )
    return net


def _options(
    name: str, family: ModuleType, width: Fraction, widths: Sequence[int], conv_bias: bool | None
) -> dict[str, Any]:
    """What the family's `build` is given besides the common arguments: nothing where nothing is asked for."""
    options: dict[str, Any] = {}
    if conv_bias is not None:
        options["conv_bias"] = conv_bias
    if widths or width != 1 or hasattr(family, "WIDTHS"):
        options["widths"] = widths_of(name, width, widths)
    known = signature(family.build).parameters
    for option in options:
        if option not in known:
            raise UsageError(f"{name} has no option {option}: its layers are what they are")
    return options


def widths_of(name: str, width: Fraction = Fraction(1), widths: Sequence[int] = ()) -> tuple[int, ...]:
    """The channels of each stage of `name` under `model.width` or `model.widths`.

    Raises:
        UsageError: no such net, a net whose widths are fixed, or not as many numbers as it has stages.
    """
    full: tuple[int, ...] | None = getattr(load("nets", name), "WIDTHS", {}).get(name)
    if full is None:
        raise UsageError(f"{name} has no widths to choose: leave model.width and model.widths as they are")
    if widths and width != 1:
        raise UsageError("model.width and model.widths exclude each other: give the factor or the numbers")
    if widths and len(widths) != len(full):
        usual = ", ".join(map(str, full))
        raise UsageError(f"model.widths: {name} has {len(full)} of them, usually {usual}, not {len(widths)}")
    return tuple(widths) if widths else scaled(full, width)


def scaled(full: Sequence[int], width: Fraction) -> tuple[int, ...]:
    """Each of `full` times `width`, rounded half up, at least 1."""
    return tuple(max(1, floor(each * width + Fraction(1, 2))) for each in full)
