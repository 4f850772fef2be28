"""The blocks of a net, behind which a probe stands: read from its modules, in the order in which it names them.

* A residual net (and every other that is made of modules with a forward of their own): a block is the outermost module
  that has its own forward around two layers or more, a layer being a convolution or a Linear, but not around all of
  them, nor around the output layer. BasicBlock, Bottleneck and pre-activation blocks are; of torchvision's nets
  inverted residuals, CNBlocks, Inceptions, dense blocks. A single one of that kind is a case around the net (the
  encoder of a transformer), and the blocks are those inside it. Stems are none.
* A chain of layers (VGG, MobileNet, LeNet; AlexNet): each layer but the output layer is a block with the BatchNorm and
  the activation behind it, and its feature is the output of the last of these that is a module.

A stage ends where the image gets smaller (a stride, or a pooling), and in a chain at each Linear layer. What tweaks
have added (`net.tweak`) is no block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from ticketctl.masks.prunable import head

_LAYERS = (_ConvNd, nn.Linear)
_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_PASSING = (
    *_POOLS, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Unflatten, nn.Identity, nn.Upsample,
    nn.ZeroPad2d, _DropoutNd,
)  # fmt: skip
"""Modules without parameters that are no activations."""
_OWN = "tweak"
"""Where tweaks put their weights."""


@dataclass(frozen=True)
class Block:
    """One block of a net."""

    number: int
    """From 1."""
    name: str
    """To be read: `layer2.1`; of a unit of a chain that of its layer, `features.3`, `fc1`."""
    module: str
    """Path of the module whose output is the block's feature."""
    stage: int
    """From 1."""
    axis: int
    """Of the output, where the channels are: 1, or -1 of a block that has no convolution."""


def blocks_of(model: nn.Module) -> tuple[Block, ...]:
    """All blocks of a net, in order; none of a net that has only its output layer. `model` is not run."""
    output = (head(model) or "").rpartition(".")[0]
    inner = _inner(model, output)
    units = [_Unit(path, path, model.get_submodule(path)) for path in inner] or _units(model, output)
    stages = _stages(model, units, chain=not inner)
    return tuple(
        Block(number, unit.name, unit.module, stage, 1 if _convolves(unit.first) else -1)
        for number, (unit, stage) in enumerate(zip(units, stages, strict=True), 1)
    )


@dataclass(frozen=True)
class _Unit:
    name: str
    module: str
    first: nn.Module
    """The block itself, or a chain's layer."""


def _inner(model: nn.Module, output: str) -> list[str]:
    """Paths of the outermost modules with a forward of their own; [] where there is one at most."""
    total = sum(isinstance(module, _LAYERS) for _, module in _modules(model))
    found = _outermost("", model, total, output)
    while len(found) == 1:
        found = _outermost(found[0], model.get_submodule(found[0]), total, output)
    return found


def _outermost(path: str, module: nn.Module, total: int, output: str) -> list[str]:
    found = []
    for name, child in module.named_children():
        place = f"{path}.{name}" if path else name
        layers = sum(isinstance(each, _LAYERS) for each in child.modules())
        alone = not f"{output}.".startswith(f"{place}.")
        if place == _OWN:
            continue
        found += [place] if _runs_itself(child) and 1 < layers < total and alone else []
        found += _outermost(place, child, total, output) if place not in found else []
    return found


def _runs_itself(module: nn.Module) -> bool:
    """Whether its class has a forward, and not that of a list."""
    return type(module).forward not in (nn.Module.forward, nn.Sequential.forward)


def _modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All modules with their paths but those that tweaks have added."""
    for path, module in model.named_modules():
        if path.partition(".")[0] != _OWN:
            yield path, module


def _units(model: nn.Module, output: str) -> list[_Unit]:
    """A chain's layers with what belongs to them."""
    found: list[_Unit] = []
    open_ = False
    for path, module in _leaves("", model):
        if isinstance(module, _LAYERS):
            open_ = path != output
            found += [_Unit(path, path, module)] if open_ else []
        elif open_ and not isinstance(module, _PASSING):
            found[-1] = _Unit(found[-1].name, path, found[-1].first)
            open_ = isinstance(module, _NORMS)
    return found


def _leaves(path: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Layers, norms and what has no parameters, in order; an activation of a tweak is one, whatever it holds."""
    for name, child in module.named_children():
        place = f"{path}.{name}" if path else name
        bare = next(child.parameters(), None) is None and _runs_itself(child)
        if place == _OWN:
            continue
        if isinstance(child, (*_LAYERS, *_NORMS)) or bare or next(child.children(), None) is None:
            yield place, child
        else:
            yield from _leaves(place, child)


def _stages(model: nn.Module, units: list[_Unit], *, chain: bool) -> list[int]:
    """The stage of each unit: a new one where an image is made smaller in it, or between the one before and it."""
    first, done = set[int](), 0
    for path, module in _modules(model):
        done += done < len(units) and path == units[done].module
        inside = done > 0 and f"{path}.".startswith(f"{units[done - 1].module}.")
        if _shrinks(module) or (isinstance(module, nn.Linear) and (chain or not inside)):
            first.add(done - 1 if inside else done)
    return [1 + sum(place in first for place in range(1, count + 1)) for count in range(len(units))]


def _convolves(module: nn.Module) -> bool:
    return any(isinstance(each, _ConvNd) for each in module.modules())


def _shrinks(module: nn.Module) -> bool:
    if not isinstance(module, (*_POOLS, _ConvNd)):
        return False
    stride = module.stride
    return max(stride) > 1 if isinstance(stride, tuple) else stride > 1
