"""What the activations of a net give out, module or function, shared by the metrics that look at units.

A call of relu and its like is noticed wherever it stands. Its unit is the output of the module that holds it, where
that one has no parameters (nn.ReLU, or an activation of a tweak around it), and goes by that module's name; elsewhere
the output of the call, and goes by the module and the function (`layer1.0.relu`). A name that comes again in the same
pass of the net has its turn behind it (`layer1.0.relu#2`). Gates (sigmoid) are no activations; clamp and compiled
modules are not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

FUNCTIONS = {
    "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish",
    "hardtanh", "softplus", "tanh",
}  # fmt: skip
"""By name, in place or not."""

Take = Callable[[str, Tensor, int], None]
"""Told of each activation in the order of the net: its name, its output, and which axis of it the units are."""


@contextmanager
def watching(model: nn.Module, take: Take) -> Iterator[None]:
    """Tell `take` of every activation of the passes that `model` makes meanwhile."""
    watch = _Watch(model, take)
    handles = []
    try:
        for path, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(watch.enter(path, module)))
            handles.append(module.register_forward_hook(watch.leave))
        with watch:
            yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class _Frame:
    path: str
    bare: bool
    """A module that may be an activation: without parameters, and no container."""
    acted: bool = False


class _Watch(TorchFunctionMode):
    def __init__(self, model: nn.Module, take: Take) -> None:
        super().__init__()
        self.model, self.take = model, take
        self.frames: list[_Frame] = []
        self.turns: dict[str, int] = {}
        self.axis = 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "").rstrip("_")
        if name in FUNCTIONS and self.frames and isinstance(found, Tensor):
            self._called(name, found)
        return found

    def enter(self, path: str, module: nn.Module) -> Callable[..., None]:
        """The hook before `module`."""
        containers = nn.Sequential | nn.ModuleList | nn.ModuleDict
        bare = module is not self.model and not isinstance(module, containers)
        bare = bare and next(module.parameters(), None) is None

        def entered(*_: Any) -> None:
            if module is self.model:
                self.frames, self.turns = [], {}
            self.frames.append(_Frame(path, bare))

        return entered

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """The hook behind every module."""
        frame = self.frames.pop()
        if frame.acted and isinstance(output, Tensor):
            self._tell(frame.path, output)
        if isinstance(module, nn.Linear):
            self.axis = -1
        elif isinstance(module, _ConvNd | _NormBase | nn.GroupNorm):
            self.axis = 1

    def _called(self, name: str, output: Tensor) -> None:
        outermost = None
        for frame in reversed(self.frames):
            if not frame.bare:
                break
            outermost = frame
        if outermost is None:
            path = self.frames[-1].path
            self._tell(f"{path}.{name}" if path else name, output)
        else:
            outermost.acted = True

    def _tell(self, name: str, output: Tensor) -> None:
        turn = self.turns[name] = self.turns.get(name, 0) + 1
        self.take(name if turn == 1 else f"{name}#{turn}", output, self.axis)
