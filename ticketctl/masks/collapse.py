"""Does a mask cut the net? Paths of kept weights from the input to the logits (layer
collapse; Tanaka et al. 2020).

A copy of the net is turned into one that counts nothing and only asks "is there a path": weights become the
mask's zeros and ones, biases vanish, BatchNorm is the identity, every activation a ReLU, max-pooling an
average (so that all its inputs are asked). After every layer the values become 0 or 1, and so do the
gradients on the way back. A positive logit is then a path, and a positive gradient a weight on one. Sums,
paddings and shapes of the real `forward` are kept: residual additions mean "or" by themselves, and a weight
that only ever reads padding is on no path.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from ticketctl.masks.bind import check_fit
from ticketctl.masks.mask import Mask


@dataclass(frozen=True)
class Collapse:
    """What a mask leaves connected."""

    empty_layers: tuple[str, ...]
    """Layers without a kept weight; harmless where a shortcut goes around."""
    cut: bool
    """No path of kept weights reaches any logit: the only fatal case."""
    effective: int
    """Kept weights on at least one path; 0 if cut, never above the mask's `kept`."""
    dead_channels: dict[str, int]
    """By masked layer, its output channels that no path uses."""


def collapse(model: nn.Module, mask: Mask, shape: tuple[int, int, int]) -> Collapse:
    """Trace the paths of `mask` through `model` for an image of `shape` (channels, height, width).

    `model` is neither run nor changed; its weights do not matter. Layers the mask does not name count as
    dense. Maximum pooling by function call instead of by module is traced through one input only, so
    `effective` may then be too small; `cut` holds.

    Raises:
        ArtifactError: the mask does not fit the model (E_ARCH_MISMATCH).
    """
    check_fit(mask, dict(model.named_parameters(remove_duplicate=False)))
    net = _skeleton(model, mask)
    with torch.enable_grad():
        logits = net(torch.ones(1, *shape, dtype=torch.float64))
        logits.sum().backward()
    on_path = {name: _on_path(net.get_parameter(name), keep) for name, keep in mask.keep.items()}
    return Collapse(
        empty_layers=tuple(name for name, (kept, _) in mask.layers().items() if kept == 0),
        cut=not bool((logits > 0).any()),
        effective=sum(int(used.count_nonzero()) for used in on_path.values()),
        dead_channels={
            name: int((~used.flatten(1).any(1)).count_nonzero()) for name, used in on_path.items()
        },
    )


class _Alive(torch.autograd.Function):
    """1 where positive, else 0; the same for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return (grad > 0).to(grad.dtype)


def _skeleton(model: nn.Module, mask: Mask) -> nn.Module:
    # float64, for exact zeros: float32 convolutions may take Winograd's method, which leaves crumbs
    net = copy.deepcopy(model).to("cpu", torch.float64).eval().requires_grad_(False)
    for name, module in list(net.named_modules()):
        if isinstance(module, _ConvNd | nn.Linear):
            _open(module)
        elif (plain := _plain(module)) is not None:
            net.set_submodule(name, plain)
    for name, keep in mask.keep.items():
        net.get_parameter(name).requires_grad_(True).data.copy_(keep)
    return net


def _open(layer: _ConvNd | nn.Linear) -> None:
    layer.weight.data.fill_(1)
    if layer.bias is not None:
        layer.bias.data.zero_()
    layer.register_forward_hook(lambda _module, _inputs, output: _Alive.apply(output))


def _plain(module: nn.Module) -> nn.Module | None:
    """The module that lets through what lives and nothing else; None where it does so already."""
    if isinstance(module, _NormBase | nn.GroupNorm | nn.LayerNorm):
        return nn.Identity()
    if isinstance(module, nn.MaxPool2d):
        return nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode)
    if _is_activation(module):
        return nn.ReLU()
    return None


def _is_activation(module: nn.Module) -> bool:
    """Torch's activations all stand for a ReLU: sigmoid(0), which is not 0, were a path from nowhere."""
    elementwise = not isinstance(module, nn.GLU) and not any(module.children())
    return elementwise and type(module).__module__ == nn.ReLU.__module__


def _on_path(weight: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(keep) if weight.grad is None else keep & (weight.grad > 0)
