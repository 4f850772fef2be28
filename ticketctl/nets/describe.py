"""What a net is made of: shapes, parameters, multiply-adds."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd


def shapes(model: nn.Module, names: Iterable[str] | None = None) -> dict[str, torch.Size]:
    """Shapes of the parameters called `names`, in that order; of all parameters if none are named."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return {name: parameters[name].shape for name in (parameters if names is None else names)}


def parameter_count(model: nn.Module) -> int:
    """Number of trainable and frozen parameters; shared ones count once, buffers do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-adds of all convolutions and Linear layers for one image of `shape`, all weights present.

    Counted by running a copy on the meta device: nothing is computed and `model` is not touched. Biases,
    BatchNorm, activations, pooling, and what is multiplied by function call (attention) are not counted.
    """
    return sum(layer_macs(model, shape).values())


def layer_macs(model: nn.Module, shape: tuple[int, int, int]) -> dict[str, int]:
    """Multiply-adds by the name of each weight; see `macs`. A layer that runs twice counts twice."""
    try:
        return _counted(model, shape, "meta")
    except RuntimeError:  # a net that asks for values, or holds tensors that are not its own
        return _counted(model, shape, "cpu")


def _counted(model: nn.Module, shape: tuple[int, int, int], device: str) -> dict[str, int]:
    skeleton = copy.deepcopy(model).to(device).eval()
    counts: dict[str, int] = {}
    for name, module in skeleton.named_modules():
        if isinstance(module, _ConvNd | nn.Linear):
            module.register_forward_hook(_counter(counts, f"{name}.weight" if name else "weight"))
    with torch.no_grad():
        skeleton(torch.zeros(1, *shape, device=device))
    return counts


def _counter(counts: dict[str, int], name: str) -> Any:
    def count(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        weight = module.get_parameter("weight")
        positions = output.numel() // weight.shape[0]
        counts[name] = counts.get(name, 0) + positions * weight.numel()

    return count
