"""Does a mask cut the net? Paths of kept weights from the input to the logits (layer
collapse; Tanaka et al. 2020).

A copy of the net is turned into one that counts nothing and only asks "is there a path": weights become the
mask's zeros and ones, biases vanish, BatchNorm is the identity, every activation a ReLU, max-pooling an
average (so that all its inputs are asked). After every layer the values become 0 or 1, and so do the
gradients on the way back. A positive logit is then a path, and a positive gradient a weight on one. Sums,
concatenations, paddings and shapes of the real `forward` are kept: residual additions mean "or" by themselves,
a depthwise channel reads its own channel alone, and a weight that only ever reads padding is on no path. A gate
(squeeze and excitation: a sigmoid that multiplies) never closes, since no sigmoid is 0, and what feeds it is on a
path where the gated channel is.

Attention, subtraction, normalisation by function call and parameters that are no layer's do not fit this
picture. Nets that have them are not judged, and say so.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from ticketctl.masks.bind import check_fit
from ticketctl.masks.mask import Mask


@dataclass(frozen=True)
class Collapse:
    """What a mask leaves connected."""

    empty_layers: tuple[str, ...]
    """Layers without a kept weight; harmless where a shortcut goes around."""
    cut: bool
    """No path of kept weights reaches any logit: the only fatal case. False where the net is not judged."""
    effective: int | None
    """Kept weights on at least one path; 0 if cut, never above the mask's `kept`. None: the net is not judged."""
    dead_channels: dict[str, int]
    """By masked layer, its output channels that no path uses. Empty where the net is not judged."""
    unknown: str = ""
    """Why the net is not judged: the operation or parameter that this method cannot follow."""


def collapse(model: nn.Module, mask: Mask, shape: tuple[int, int, int]) -> Collapse:
    """Trace the paths of `mask` through `model` for an image of `shape` (channels, height, width).

    `model` is neither run nor changed; its weights do not matter. Layers the mask does not name count as dense.

    Raises:
        ArtifactError: the mask does not fit the model (E_ARCH_MISMATCH).
    """
    check_fit(mask, dict(model.named_parameters(remove_duplicate=False)))
    empty = tuple(name for name, (kept, _) in mask.layers().items() if kept == 0)
    try:
        cut, on_path = _trace(model, mask.keep, shape)
        lost = any(not used.any() for name, used in on_path.items() if name not in empty)
        if cut or lost:  # by the mask, or because this method does not see what the net does?
            full = {name: torch.ones_like(keep) for name, keep in mask.keep.items()}
            if not all(used.any() for used in _trace(model, full, shape)[1].values()):
                raise _UnknownError("a layer that no path is seen through, even in the dense net")
    except _UnknownError as unknown:
        return Collapse(empty, cut=False, effective=None, dead_channels={}, unknown=str(unknown))
    return Collapse(
        empty,
        cut,
        effective=sum(int(used.count_nonzero()) for used in on_path.values()),
        dead_channels={
            name: int((~used.flatten(1).any(1)).count_nonzero()) for name, used in on_path.items()
        },
    )


class _UnknownError(Exception):
    """What the method cannot follow."""


def _trace(
    model: nn.Module, keep: Mapping[str, torch.Tensor], shape: tuple[int, int, int]
) -> tuple[bool, dict[str, torch.Tensor]]:
    """Whether no logit is reached, and which weights lie on a path."""
    net = _skeleton(model, keep)
    with torch.enable_grad(), _Paths():
        logits = net(torch.ones(1, *shape, dtype=torch.float64))
    if not isinstance(logits, torch.Tensor) or not bool(logits.isfinite().all()):
        raise _UnknownError("an output that is no tensor of numbers")
    with torch.enable_grad():
        if logits.requires_grad:
            logits.sum().backward()
    return not bool((logits > 0).any()), {
        name: _on_path(net.get_parameter(name), kept) for name, kept in keep.items()
    }


class _Alive(torch.autograd.Function):
    """1 where positive, else 0; the same for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return (grad > 0).to(grad.dtype)


_SIGMOIDS = {"sigmoid", "hardsigmoid"}
_PRODUCTS = {"mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"}
_VIEWS = {"view", "reshape", "flatten", "squeeze", "unsqueeze", "expand", "expand_as", "permute", "transpose"}
_UNKNOWN = {
    "softmax", "log_softmax", "matmul", "__matmul__", "__rmatmul__", "bmm", "einsum", "scaled_dot_product_attention",
    "multi_head_attention_forward", "sub", "sub_", "__sub__", "__rsub__", "__isub__", "subtract", "neg", "__neg__",
    "batch_norm", "layer_norm", "group_norm", "instance_norm", "normalize", "rms_norm", "std", "var", "var_mean",
    "exp", "log", "softplus", "logsigmoid", "log_sigmoid", "cos", "sin", "bilinear", "embedding",
}  # fmt: skip
"""Of these, what is 0 going in may be something else coming out, or a path lowers a value."""


class _Paths(TorchFunctionMode):
    """What is done to tensors by function call, as paths see it."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name in _UNKNOWN:
            raise _UnknownError(f"the operation {name.strip('_')}")
        if name in _SIGMOIDS:
            return _gate(F.relu(args[0]))
        if name in ("max_pool2d", "_max_pool2d"):
            return _mean_pool(*args, **kwargs)
        if name in ("adaptive_max_pool2d", "_adaptive_max_pool2d"):
            return F.adaptive_avg_pool2d(args[0], args[1] if len(args) > 1 else kwargs["output_size"])
        if name in _PRODUCTS:
            return func(*(1 + each if _is_gate(each) else each for each in args), **kwargs)
        result = func(*args, **kwargs)
        return _gate(result) if name in _VIEWS and args and _is_gate(args[0]) else result


def _gate(x: torch.Tensor) -> torch.Tensor:
    """Mark the value of a sigmoid: where it is 0 it stands for one that nothing reaches, which is still open."""
    x._is_gate = True  # type: ignore[attr-defined]  # tensors take attributes
    return x


def _is_gate(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and getattr(x, "_is_gate", False)


def _mean_pool(
    x: torch.Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> torch.Tensor:
    """The mean where the net takes the maximum, so that every input is asked."""
    if dilation not in (1, (1, 1), [1, 1]) or return_indices:
        raise _UnknownError("max-pooling with dilation or indices")
    return F.avg_pool2d(x, kernel_size, stride or kernel_size, padding, ceil_mode)


class _Sigmoid(nn.Module):
    """A sigmoid as paths see it, by module."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _gate(F.relu(x))


class _MaxPool(nn.Module):
    """A maximum over windows as paths see it, by module."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.options = (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
        self.rest = (pool.ceil_mode, pool.return_indices)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _mean_pool(x, *self.options, *self.rest)


def _skeleton(model: nn.Module, keep: Mapping[str, torch.Tensor]) -> nn.Module:
    # float64, for exact zeros: float32 convolutions may take Winograd's method, which leaves crumbs
    net = copy.deepcopy(model).to("cpu", torch.float64).eval().requires_grad_(False)
    for name, module in list(net.named_modules()):
        if isinstance(module, _ConvNd | nn.Linear):
            _open(module)
        elif (plain := _plain(module)) is not None:
            net.set_submodule(name, plain)
    _refuse_others(net)
    for name, kept in keep.items():
        net.get_parameter(name).requires_grad_(True).data.copy_(kept)
    return net


def _refuse_others(net: nn.Module) -> None:
    """Only weights and biases of layers may be left: what else a parameter does, nobody can tell from here."""
    for path, module in net.named_modules():
        own: Iterable[str] = (name for name, _ in module.named_parameters(recurse=False))
        if any(not isinstance(module, _ConvNd | nn.Linear) or name not in ("weight", "bias") for name in own):
            raise _UnknownError(f"the parameters of {path or 'the net'}, a {type(module).__name__}")


def _open(layer: _ConvNd | nn.Linear) -> None:
    layer.weight.data.fill_(1)
    if layer.bias is not None:
        layer.bias.data.zero_()
    layer.register_forward_hook(lambda _module, _inputs, output: _Alive.apply(output))


def _plain(module: nn.Module) -> nn.Module | None:
    """The module that lets through what lives and nothing else; None where it does so already."""
    if isinstance(module, _NormBase | nn.GroupNorm | nn.LayerNorm | nn.RMSNorm):
        return nn.Identity()
    if isinstance(module, nn.MaxPool2d):
        return _MaxPool(module)
    if isinstance(module, nn.AdaptiveMaxPool2d):
        return nn.AdaptiveAvgPool2d(module.output_size)
    if isinstance(module, nn.Sigmoid | nn.Hardsigmoid):
        return _Sigmoid()
    if isinstance(module, nn.Softmax | nn.LogSoftmax | nn.Softmax2d):
        return None  # their function is seen when it is called
    return nn.ReLU() if _is_activation(module) else None


def _is_activation(module: nn.Module) -> bool:
    """Torch's activations all stand for a ReLU: sigmoid(0), which is not 0, were a path from nowhere."""
    elementwise = not isinstance(module, nn.GLU | nn.MultiheadAttention) and not any(module.children())
    return elementwise and type(module).__module__ == nn.ReLU.__module__


def _on_path(weight: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(keep) if weight.grad is None else keep & (weight.grad > 0)
