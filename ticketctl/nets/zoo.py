"""Classification nets of torchvision and timm, as `torchvision:resnet101` and `timm:resnet26t`.

They take channels, size and classes from the data and keep their own stems, which are made for 224x224 images: many
cannot take small ones, and say so. Weights are never downloaded; `model.init` fills them. Dropout and stochastic depth
are off: they draw random numbers that no training could repeat after a kill. Auxiliary outputs are off as well.
torchvision's nets are made for three channels: for other data their first convolution is made anew. `timm` needs the
extra `models`: pip install 'ticketctl[models]'.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torchvision.ops import StochasticDepth

from ticketctl.errors import UsageError
from ticketctl.nets._zoo_names import ZOOS, check_zoo_name

__all__ = ["ZOOS"]

NAMES: dict[str, str] = {
    "torchvision:NAME": "a classification net of torchvision, e.g. torchvision:resnet101; never with its weights",
    "timm:NAME": "a net of timm, e.g. timm:resnet26t; never with its weights; pip install 'ticketctl[models]'",
}

FOREIGN = True
"""Built with the values they come with: `ticketctl.nets.foreign`."""

_RATES = ("drop_prob", "drop_rate", "dropout", "attention_dropout")
"""Attributes in which modules keep the rate of a dropout that they apply by function."""


def check(name: str) -> None:
    """Whether there is such a net, without building it; see `check_zoo_name`."""
    check_zoo_name(name)


def build(name: str, *, channels: int, size: tuple[int, int], classes: int, stem: str = "cifar") -> nn.Module:
    """The net with the values of its own initialisation, for images of `channels` x `size`; `stem` is ignored.

    Raises:
        UsageError: no such net, or one that cannot take such images.
        MissingExtraError: timm is not installed.
    """
    del stem
    check_zoo_name(name)
    zoo, _, net = name.partition(":")
    found = (_of_timm if zoo == "timm" else _of_torchvision)(net, channels, size, classes)
    _still(found)
    return found


def _of_torchvision(name: str, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
    from torchvision import models

    options: dict[str, Any] = {"num_classes": classes}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    if name.startswith("vit_"):
        if size[0] != size[1]:
            raise UsageError(f"torchvision:{name} takes square images, not {size[0]}x{size[1]}")
        options["image_size"] = size[0]
    if name.startswith("maxvit"):
        options["input_size"] = size
    net: nn.Module = models.get_model(name, weights=None, **options)
    if channels != 3:
        _rechannel(net, channels)
    return net


def _rechannel(net: nn.Module, channels: int) -> None:
    """Make the first convolution, which reads the image, anew for another number of channels."""
    for path, old in net.named_modules():
        if isinstance(old, nn.Conv2d):
            words = set(inspect.signature(nn.Conv2d).parameters) - {"in_channels", "bias", "device", "dtype"}
            options = {word: getattr(old, word) for word in words}
            net.set_submodule(path, nn.Conv2d(channels, bias=old.bias is not None, **options))
            return


def _of_timm(name: str, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
    import timm

    options: dict[str, Any] = {"pretrained": False, "num_classes": classes, "in_chans": channels}
    try:  # nets with tables of positions must know the size; the others have no such option
        net: nn.Module = timm.create_model(name, img_size=size, **options)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        net = timm.create_model(name, **options)
    return net


def _still(net: nn.Module) -> None:
    """Set every rate of dropout and stochastic depth to 0."""
    for module in net.modules():
        drops = isinstance(module, _DropoutNd | StochasticDepth)
        for rate in (*_RATES, *(["p"] if drops else [])):
            if isinstance(getattr(module, rate, None), float | int):
                setattr(module, rate, 0.0)
