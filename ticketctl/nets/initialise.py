"""Initial weights: named schemes, every tensor from its own stream.

The numbers are a pure function of (root seed, tensor name): raw Philox words of the `init` stream at the
tensor's name, turned into uniforms (53 bits) and by Box and Muller's transform into normals in float64, then
rounded to the weight's dtype. numpy's and torch's own samplers are not used: neither promises the same
numbers in its next version. Schemes: those of the papers' released code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from ticketctl.errors import UsageError, near_miss
from ticketctl.seeds import Seeds

_Layer = _ConvNd | nn.Linear
_Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Scheme:
    """How weights, biases and BatchNorm scales start. BatchNorm shifts are 0, its statistics 0 and 1."""

    weight: Callable[[_Layer], tuple[Literal["normal", "uniform"], float]]
    """The distribution and its standard deviation, or the half-width of the interval around 0."""
    bias: Literal["zero", "torch"] = "zero"
    """"torch": uniform within 1/sqrt(fan_in)."""
    gamma: Literal["one", "uniform"] = "one"
    """"uniform": over [0, 1)."""


def _fan_in(layer: _Layer) -> int:
    return layer.weight[0].numel()


def _fan_out(layer: _Layer) -> int:
    return layer.weight.shape[0] * layer.weight[0, 0].numel()


SCHEMES: dict[str, Scheme] = {
    # torch's default, kaiming_uniform_(a=sqrt(5)), is the interval 1/sqrt(fan_in)
    "torch": Scheme(lambda layer: ("uniform", 1 / math.sqrt(_fan_in(layer))), bias="torch"),
    "kaiming-normal": Scheme(lambda layer: ("normal", math.sqrt(2 / _fan_in(layer)))),
    "kaiming-normal-fan-out": Scheme(
        lambda layer: ("normal", 0.01 if isinstance(layer, nn.Linear) else math.sqrt(2 / _fan_out(layer)))
    ),
    "xavier-normal": Scheme(lambda layer: ("normal", math.sqrt(2 / (_fan_in(layer) + _fan_out(layer))))),
    "openlth": Scheme(lambda layer: ("normal", math.sqrt(2 / _fan_in(layer))), bias="torch", gamma="uniform"),
}


@torch.no_grad()
def initialise_(model: nn.Module, scheme: str, seeds: Seeds) -> nn.Module:
    """Set every parameter and buffer of `model`, wherever it lies, and return it. No global state is touched.

    Raises:
        UsageError: no such scheme (says the near miss), or a parameter of a kind of layer no scheme speaks
            about.
    """
    if scheme not in SCHEMES:
        raise UsageError(f"no initialisation named {scheme!r}; {near_miss(scheme, SCHEMES)}")
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        if isinstance(module, _Layer):
            _fill_layer(module, prefix, SCHEMES[scheme], seeds)
        elif isinstance(module, _NormBase | nn.GroupNorm | nn.LayerNorm):
            _fill_norm(module, prefix, SCHEMES[scheme], seeds)
        else:
            _refuse_unknown(module, prefix)
    return model


def _fill_layer(layer: _Layer, prefix: str, scheme: Scheme, seeds: Seeds) -> None:
    kind, scale = scheme.weight(layer)
    draw = _normal if kind == "normal" else _symmetric
    _put(layer.weight, scale * draw(seeds, f"{prefix}weight", layer.weight.numel()))
    if layer.bias is None:
        return
    layer.bias.zero_()
    if scheme.bias == "torch":
        bound = 1 / math.sqrt(_fan_in(layer))
        _put(layer.bias, bound * _symmetric(seeds, f"{prefix}bias", layer.bias.numel()))


def _fill_norm(layer: nn.Module, prefix: str, scheme: Scheme, seeds: Seeds) -> None:
    for name, tensor in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
        tensor.fill_(1 if name in ("weight", "running_var") else 0)
    weight = layer._parameters.get("weight")
    if weight is not None and scheme.gamma == "uniform":
        _put(weight, _uniform(seeds.raw("init", f"{prefix}weight", count=weight.numel())))


def _refuse_unknown(module: nn.Module, prefix: str) -> None:
    own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    for name, _ in own:
        raise UsageError(f"{prefix}{name}: no initialisation for a {type(module).__name__}")


def _put(tensor: torch.Tensor, numbers: _Numbers) -> None:
    tensor.copy_(torch.from_numpy(numbers).reshape(tensor.shape))


def _uniform(raw: NDArray[np.uint64]) -> _Numbers:
    """[0, 1) in steps of 2^-53."""
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _symmetric(seeds: Seeds, name: str, count: int) -> _Numbers:
    return 2 * _uniform(seeds.raw("init", name, count=count)) - 1


def _normal(seeds: Seeds, name: str, count: int) -> _Numbers:
    """Box and Muller (1958): the first half of the words are radii, the second angles."""
    pairs = (count + 1) // 2
    words = _uniform(seeds.raw("init", name, count=2 * pairs))
    radius = np.sqrt(-2 * np.log1p(-words[:pairs]))  # 1 - u is in (0, 1], so the logarithm is finite
    angle = 2 * np.pi * words[pairs:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
