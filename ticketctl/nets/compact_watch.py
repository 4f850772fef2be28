"""Where the channels of a net go: one run of it in evaluation mode, watched.

Every call of a tensor operation is seen as it happens, those of hooks and of other people's code too. Whatever is not
in the tables below fixes the groups it touches (`ticketctl/nets/compact_flow.py`): their channels stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from ticketctl.nets.compact_flow import Flow, Stream, Use, finite, only_zero, through, through_each

_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_NORM = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
_MEAN = ("input", "dim", "keepdim")
_POINTWISE = {
    "relu", "relu_", "relu6", "silu", "mish", "gelu", "elu", "elu_", "selu", "celu", "leaky_relu", "leaky_relu_",
    "hardswish", "hardsigmoid", "hardtanh", "sigmoid", "sigmoid_", "tanh", "tanh_", "softplus", "clamp", "clamp_",
    "dropout", "clone", "contiguous", "detach", "float", "to",
}  # fmt: skip
_TOGETHER = {
    "add", "add_", "__add__", "__radd__", "__iadd__", "sub", "sub_", "__sub__", "__rsub__", "__isub__", "mul", "mul_",
    "__mul__", "__rmul__", "__imul__", "div", "__truediv__",
}  # fmt: skip
_POOLING = {
    "max_pool2d", "_max_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "_adaptive_max_pool2d", "avg_pool2d",
}  # fmt: skip
_FLATTENING = {"flatten", "view", "reshape"}


@torch.no_grad()
def flow_of(net: nn.Module, shape: tuple[int, int, int]) -> Flow:
    """Run `net`, which is in evaluation mode, on two black images of `shape` and watch."""
    flow = Flow()
    images = torch.zeros(2, *shape, device=next(net.parameters()).device)
    with _Watch(net, flow) as watch:
        watch.put(images, flow.group(shape[0], fixed=True))
        logits = net(images)
        watch.fix(*_tensors(logits))
    return flow


class _Watch(TorchFunctionMode):
    def __init__(self, net: nn.Module, flow: Flow) -> None:
        super().__init__()
        self.flow = flow
        self.streams: dict[int, tuple[Tensor, Stream]] = {}  # with the tensor, so that its id stays its own
        self.owners = dict(_owners(net))

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        known = [each for each in _tensors((args, kwargs)) if id(each) in self.streams]
        shapes = [each.shape for each in known]
        found = self._followed(name, func, args, kwargs) if known else None
        result = func(*args, **kwargs)
        answers = list(_tensors(result))
        if known and answers:
            if found is None or len(answers) != 1 or [each.shape for each in known] != shapes:
                self.fix(*known)
                for each in answers:
                    self.put(each, self.flow.group(each.shape[1] if each.ndim > 1 else 1, fixed=True))
            else:
                self.streams[id(answers[0])] = (answers[0], finite(found(answers[0])))
        return result

    def put(self, tensor: Tensor, group: int) -> None:
        """`tensor` carries this group, of which nothing is known."""
        value = torch.full((self.flow.sizes[group],), math.nan, device=tensor.device)
        self.streams[id(tensor)] = (tensor, Stream(group, 1, value))

    def fix(self, *tensors: Any) -> None:
        """All channels of these stay."""
        self.flow.fix(*(self.streams[id(each)][1].group for each in tensors if id(each) in self.streams))

    def _followed(
        self, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Callable[[Tensor], Stream] | None:
        """How to find the stream of the result; None where the operation is not understood."""
        first = args[0] if args else kwargs.get("input")
        stream = self.streams[id(first)][1] if id(first) in self.streams else None
        if name in _TOGETHER:
            return self._together(func, args, kwargs)
        if name == "where" and len(args) == 3 and id(args[0]) not in self.streams and args[0].ndim == 0:
            return self._together(partial(func, args[0]), args[1:], kwargs)
        if stream is None or not isinstance(first, Tensor):
            return None
        if name in ("conv2d", "linear"):
            return self._layer(name, stream, dict(zip(_CONV, args, strict=False)) | dict(kwargs))
        if name == "batch_norm":
            return self._norm(func, stream, dict(zip(_NORM, args, strict=False)) | dict(kwargs))
        if name in _POINTWISE and not any(id(each) in self.streams for each in _tensors((args[1:], kwargs))):
            value = _applied(func, stream.value, args[1:], kwargs)
            return lambda _: Stream(stream.group, stream.repeat, value)
        if stream.repeat == 1 and _keeps_channels(name, first, args[1:], kwargs):
            value = stream.value if _keeps_numbers(name, args, kwargs) else only_zero(stream.value)
            return lambda _: Stream(stream.group, 1, value)
        if name in _FLATTENING and _flattens(name, first, args[1:]):
            wide = stream.repeat * math.prod(first.shape[2:])
            return lambda _: Stream(stream.group, wide, stream.value)
        return None

    def _layer(self, name: str, stream: Stream, said: Mapping[str, Any]) -> Callable[[Tensor], Stream] | None:
        path, weight, groups = self.owners.get(id(said["weight"])), said["weight"], said.get("groups", 1)
        single = groups > 1 and groups == weight.shape[0] == self.flow.sizes[stream.group]
        dims = 2 if name == "linear" else 4
        if path is None or self._again(path) or said["input"].ndim != dims or (groups > 1 and not single):
            return None
        padded = name == "conv2d" and said.get("padding", 0) not in (0, (0, 0), [0, 0], "valid")
        taken = only_zero(stream.value) if padded else stream.value
        parts = weight.detach().reshape(len(weight), 1 if single else self.flow.sizes[stream.group], -1)
        value = (through_each if single else through)(parts, said.get("bias"), taken)
        writes = stream.group if single else self.flow.group(len(weight))
        self.flow.uses[path] = Use(stream.group, writes, stream.repeat, taken, single)
        return lambda _: Stream(writes, 1, value)

    def _norm(
        self, func: Callable[..., Any], stream: Stream, said: dict[str, Any]
    ) -> Callable[[Tensor], Stream] | None:
        path = self.owners.get(id(said.get("running_mean")))
        if path is None or self._again(path) or said.get("training") or stream.repeat != 1:
            return None
        value = func(**(said | {"input": stream.value[None]}))[0]
        if said.get("weight") is not None:
            shift = said["bias"] if said.get("bias") is not None else torch.zeros_like(value)
            value = torch.where(said["weight"] == 0, shift, value)
        self.flow.uses[path] = Use(stream.group, stream.group, 1, stream.value, single=True)
        return lambda _: Stream(stream.group, 1, value)

    def _again(self, path: str) -> bool:
        """Whether a module runs for the second time; then all of its channels stay."""
        if path in self.flow.uses:
            self.flow.fix(self.flow.uses[path].reads, self.flow.uses[path].writes)
        return path in self.flow.uses

    def _together(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Callable[[Tensor], Stream] | None:
        """Sums and products of two tensors, or of one and a number."""
        both = [each for each in args if isinstance(each, Tensor)]
        met = [self.streams[id(each)][1] for each in both if id(each) in self.streams]
        others = [each for each in both if id(each) not in self.streams]
        if len(args) != 2 or any(each.numel() != 1 or each.ndim for each in others):
            return None
        if len({each.ndim for each in both if each.ndim}) != 1 or len({one.repeat for one in met}) != 1:
            return None
        if len({self.flow.sizes[one.group] for one in met}) != 1:
            return None
        group = met[0].group if len(met) == 1 else self.flow.join(met[0].group, met[1].group)
        numbers = [
            self.streams[id(each)][1].value.clone() if id(each) in self.streams else each for each in args
        ]
        value: Tensor = func(*numbers, **kwargs)
        return lambda _: Stream(group, met[0].repeat, value)


def _owners(net: nn.Module) -> Iterator[tuple[int, str]]:
    """By the id of a weight, or of a norm's mean, the path of the module that alone has it."""
    found: dict[int, list[str]] = {}
    for path, module in net.named_modules():
        kept: Tensor | None = None
        if isinstance(module, nn.Conv2d | nn.Linear):
            kept = module._parameters.get("weight")  # not one that is computed anew at each call
        elif isinstance(module, _BatchNorm):
            kept = module.running_mean
        if kept is not None:
            found.setdefault(id(kept), []).append(path)
    return ((key, paths[0]) for key, paths in found.items() if len(paths) == 1)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _applied(
    func: Callable[..., Any], value: Tensor, rest: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tensor:
    """What an operation on single numbers makes of `value`; what is not known stays so."""
    found: Tensor = func(value.clone()[None, :, None, None], *rest, **kwargs).reshape(-1)
    return torch.where(value.isnan(), math.nan, found)


def _keeps_channels(name: str, x: Tensor, rest: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation works on each channel of [N, C, H, W] by itself and leaves them where they are."""
    if x.ndim != 4:
        return False
    if name in _POOLING:
        return not kwargs.get("return_indices")
    if name == "pad":
        sides = rest[0] if rest else kwargs["pad"]
        return len(sides) <= 4 or not any(sides[4:])
    if name == "mean":
        dims = dict(zip(_MEAN[1:], rest, strict=False)) | dict(kwargs)
        over = dims.get("dim")
        over = (over,) if isinstance(over, int) else tuple(over or ())
        return sorted(dim % 4 for dim in over) == [2, 3]
    if name == "__getitem__":
        where = rest[0]
        whole = isinstance(where, tuple) and where[:2] == (slice(None), slice(None)) and len(where) <= 4
        return whole and all(isinstance(each, slice | int) for each in where[2:])
    return False


def _keeps_numbers(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether such an operation makes the same number of the same number; padding with zeros does not."""
    if name == "avg_pool2d":
        return (kwargs["padding"] if "padding" in kwargs else (*args, 0, 0, 0)[3]) in (0, (0, 0), [0, 0])
    return name != "pad"


def _flattens(name: str, x: Tensor, rest: tuple[Any, ...]) -> bool:
    """Whether it makes [N, everything else] of `x` without writing down how much that is."""
    if name == "flatten":
        return rest in ((1,), (1, -1))
    sizes = rest[0] if len(rest) == 1 and isinstance(rest[0], tuple | list | torch.Size) else rest
    return len(sizes) == 2 and sizes[1] == -1 and sizes[0] == len(x)
