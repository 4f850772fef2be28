"""Initial weights: named schemes, every tensor from its own stream.

The numbers are a pure function of (root seed, tensor name): raw Philox words of the `init` stream at the
tensor's name, turned into uniforms (53 bits) and by Box and Muller's transform into normals in float64, then
rounded to the weight's dtype. numpy's and torch's own samplers are not used: neither promises the same
numbers in its next version. Schemes: those of the papers' released code.

Schemes speak of convolutions (transposed and depthwise ones too: the fans are those that torch computes) and Linear
layers. The rest follows one rule for all schemes, in this order:

* BatchNorm, InstanceNorm, GroupNorm, LayerNorm: scale 1 (or as the scheme says), shift 0, statistics 0 and 1.
* The packed projections of `nn.MultiheadAttention` are the weights of a Linear layer.
* Other buffers (tables of positions), frozen parameters, and parameters whose values are all the same (the scale of a
  layer, a class token of zeros, the slope of a PReLU) keep what their constructor gave them.
* Other parameters (tables of positions to be learned, embeddings, recurrent weights) are normal with standard deviation
  0.02, the custom of vision transformers (Dosovitskiy et al. 2021).
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
_Norm = _NormBase | nn.GroupNorm | nn.LayerNorm
_Numbers = NDArray[np.float64]

_OTHER_DEVIATION = 0.02


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
    """Set every parameter and buffer of `model`, fresh from its constructor, wherever it lies; return it.

    No global state is touched. A parameter that two layers share gets the numbers of its first name.

    Raises:
        UsageError: no such scheme (says the near miss), or a weight that is computed from other parameters.
    """
    if scheme not in SCHEMES:
        raise UsageError(f"no initialisation named {scheme!r}; {near_miss(scheme, SCHEMES)}")
    filled: set[int] = set()
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        if isinstance(module, _Layer) and "weight" not in module._parameters:
            raise UsageError(
                f"{prefix}weight is computed from other parameters (weight norm and its like): nothing could mask it"
            )
        own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        for name, tensor in own:
            if id(tensor) not in filled:
                filled.add(id(tensor))
                _fill(module, name, tensor, f"{prefix}{name}", SCHEMES[scheme], seeds)
    return model


def _fill(
    module: nn.Module, name: str, tensor: torch.Tensor, full: str, scheme: Scheme, seeds: Seeds
) -> None:
    """Fill `name` of one module; `full` is its name in the state_dict."""
    if isinstance(module, _Layer) and name == "weight":
        _spread(tensor, full, *scheme.weight(module), seeds)
    elif isinstance(module, _Layer) and name == "bias":
        bound = 1 / math.sqrt(_fan_in(module)) if scheme.bias == "torch" else 0.0
        _spread(tensor, full, "uniform", bound, seeds)
    elif isinstance(module, _Norm) and name in ("weight", "bias", *_STATISTICS):
        tensor.fill_(1 if name in ("weight", "running_var") else 0)
        if name == "weight" and scheme.gamma == "uniform":
            _put(tensor, _uniform(seeds.raw("init", full, count=tensor.numel())))
    elif isinstance(module, nn.MultiheadAttention) and name.endswith("proj_weight"):
        with torch.device("meta"):
            like = nn.Linear(tensor.shape[1], tensor.shape[0])
        _spread(tensor, full, *scheme.weight(like), seeds)
    elif isinstance(tensor, nn.Parameter) and tensor.requires_grad and _varies(tensor):
        _spread(tensor, full, "normal", _OTHER_DEVIATION, seeds)


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def _varies(tensor: torch.Tensor) -> bool:
    """Whether the constructor gave it values that differ."""
    return tensor.numel() > 1 and not bool((tensor == tensor.flatten()[0]).all())


def _spread(
    tensor: torch.Tensor, full: str, kind: Literal["normal", "uniform"], scale: float, seeds: Seeds
) -> None:
    """Fill with numbers of the stream; `scale` is the standard deviation, or the half-width around 0."""
    if scale == 0:
        tensor.zero_()
        return
    draw = _normal if kind == "normal" else _symmetric
    _put(tensor, scale * draw(seeds, full, tensor.numel()))


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
