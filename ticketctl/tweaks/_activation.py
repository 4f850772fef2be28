"""Another activation in place of every ReLU and ReLU6 of a net; weights, buffers and their names stay.

Modules are swapped. A relu that a net calls as a function, or that is out of reach otherwise, is found by running a
copy without memory (meta device) on two images in train mode, and the net is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ticketctl.errors import UsageError
from ticketctl.train.feed import Images

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""

_KINDS = (nn.ReLU, nn.ReLU6)
_FUNCTIONS = (torch.relu, torch.relu_, F.relu, F.relu6, Tensor.relu, Tensor.relu_)


def shape_of(images: Images) -> Shape:
    """Of each of them."""
    return (images.scaling.offset.shape[1], *images.size)


def swap(net: nn.Module, make: Callable[[nn.Module], nn.Module], *, tweak: str, shape: Shape) -> int:
    """Put `make(old)` in the place of every ReLU; how many places that were.

    Raises:
        UsageError: the net has no ReLU, or one that is no module of its own (says where).
    """
    places = [
        (module, name, child)
        for module in net.modules()
        for name, child in module._modules.items()  # `named_children` leaves out second names
        if child is not None and type(child) in _KINDS
    ]
    _check(net, tweak, shape)
    if not places:
        raise UsageError(
            f"tweak {tweak}: {type(net).__name__} has no ReLU to replace; spend it without {tweak}"
        )
    for module, name, child in places:
        made = make(child).train(child.training)
        made.register_forward_hook(_keep_layout)
        module.add_module(name, made)
    return len(places)


def _keep_layout(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """Make the gradient that comes back lie in memory as `output` does.

    The one of a mean over positions has no layout of its own. ReLU's backward then takes that of its input, SiLU's and
    Mish's that of a plain tensor, and all layers below go on in it: a step of ResNet-20s takes half as long again.
    """
    if output.requires_grad and output.dim() == 4 and output.is_contiguous(memory_format=torch.channels_last):
        output.register_hook(_channels_last)


def _channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)


def _check(net: nn.Module, tweak: str, shape: Shape) -> None:
    try:
        found = _called(net, shape, "meta")
    except RuntimeError:  # a net that asks for values, or holds tensors that are not its own
        found = _called(net, shape, "cpu")
    if found is not None:
        raise UsageError(
            f"tweak {tweak}: {found} calls relu as a function, which cannot be replaced; make it an nn.ReLU module, "
            f"or spend this net without {tweak}"
        )


def _called(net: nn.Module, shape: Shape, device: str) -> str | None:
    """The module that calls relu itself, if one does."""
    trial = copy.deepcopy(net).to(device).train()
    watch = _Watch()
    for path, module in trial.named_modules():
        module.register_forward_pre_hook(watch.enter(f"{type(module).__name__} {path}".strip(), module))
        module.register_forward_hook(watch.leave)
    with torch.no_grad(), watch:
        trial(torch.zeros(2, *shape, device=device))
    return watch.found


class _Watch(TorchFunctionMode):
    """Notices calls of relu outside of ReLU modules."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[tuple[str, nn.Module]] = []
        self.found: str | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _FUNCTIONS and self.found is None and self.inside:
            name, module = self.inside[-1]
            self.found = name if type(module) not in _KINDS else None
        return func(*args, **(kwargs or {}))

    def enter(self, name: str, module: nn.Module) -> Callable[..., None]:
        """The hook before `module`."""
        return lambda *_: self.inside.append((name, module))

    def leave(self, *_: Any) -> None:
        """The hook behind every module."""
        self.inside.pop()
