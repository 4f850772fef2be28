"""Channels: which to keep by the scales of BatchNorm, and what that means for the weights of a net.

A channel mask is a `Mask` over the scales (gammas) of the norms. Which weights write and read a channel is not declared
anywhere: a copy of the net is run in which every layer answers with ones, so that between two layers only sums,
poolings and paddings are left. What a layer then receives tells which channels reach it, and the gradients on the way
back which channels it reads. Residual additions join channels by themselves, and so do depthwise convolutions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import top

_Layer = _ConvNd | nn.Linear


def scales(model: nn.Module) -> dict[str, nn.Parameter]:
    """The scales of the net's BatchNorms by state_dict name, shape [C] each, in the order of its modules."""
    norms = ((path, module) for path, module in model.named_modules() if isinstance(module, _NormBase))
    return {f"{path}.weight": module.weight for path, module in norms if module.weight is not None}


def top_channels(gammas: Mapping[str, Tensor], count: int) -> Mask:
    """The `count` channels with the largest |gamma| over all norms together, but at least one of each norm.

    Equal scales: the earlier channel is kept. The largest of each norm is taken first, because a norm without channels
    cuts a net that has no way around it; the rest is one ranking.

    Raises:
        UsageError: fewer channels than norms, or more than there are.
        DivergedError: a scale that is not finite.
    """
    if count < len(gammas):
        raise UsageError(
            f"{count:,} channels do not suffice for {len(gammas)} norms, each of which keeps one"
        )
    scores = {name: gamma.detach().abs().cpu() for name, gamma in gammas.items()}
    first = {name: top({name: score}, 1).keep[name] for name, score in scores.items()}
    rest = top(scores, count - len(gammas), among=Mask({name: ~keep for name, keep in first.items()}))
    return Mask({name: keep | first[name] for name, keep in rest.keep.items()})


@dataclass(frozen=True)
class Expansion:
    """What keeping some channels means for a net."""

    weights: Mask
    """Over the prunable weights: rows of channels that go are False, and so are the columns that read them."""
    channels: Mask
    """Over the norms: the channels asked for that some layer reads, and those that share a sum with one of them."""


def expand(
    model: nn.Module, channels: Mask, shapes: Mapping[str, torch.Size], image: Iterable[int]
) -> Expansion:
    """The weights that remain when only `channels` do.

    Channels that are added to each other stay or go together: if one of them is kept, all are (the union). Rows
    whose output no norm scales stay.

    Args:
        model: any net of convolutions, Linear layers and norms; it is neither run nor changed.
        channels: over the scales of all norms, from `top_channels`.
        shapes: the prunable weights, in flat order.
        image: channels, height and width of an input.
    """
    net = _Traced(model, (1, *image))
    while True:
        written = net.written(channels)
        read = net.read(written)
        if read.norms.equal(channels):
            break
        channels = read.norms  # channels that joined may reach further layers
    keep = {}
    for name in shapes:
        path = name.rpartition(".")[0]
        keep[name] = _block(net.layers[path], read.rows[path], written[path])
    return Expansion(Mask(keep), channels)


def silenced(weights: Mapping[str, Tensor], channels: Mask) -> dict[str, Tensor]:
    """A state_dict whose norms have scale and shift 0 where a channel is gone; other tensors are passed on."""
    changed = dict(weights)
    for name, keep in channels.keep.items():
        for sibling in (name, f"{name.rpartition('.')[0]}.bias"):
            if sibling in weights:
                changed[sibling] = torch.where(keep, weights[sibling], 0.0)
    return changed


def _block(layer: _Layer, rows: Tensor, columns: Tensor) -> Tensor:
    """Bool of the weight's shape: row and column both kept. Columns of a grouped convolution are its group's."""
    outputs, inputs = layer.weight.shape[:2]
    groups = layer.groups if isinstance(layer, _ConvNd) else 1
    seen = columns.reshape(groups, inputs).repeat_interleave(outputs // groups, 0)
    block = rows.reshape(-1, 1) & seen
    return block.reshape(outputs, inputs, *[1] * (layer.weight.dim() - 2)).expand(layer.weight.shape).clone()


@dataclass(frozen=True)
class _Read:
    """Which channels some layer (or the logits) reads: by layer that writes them, and by norm they pass."""

    rows: dict[str, Tensor]
    norms: Mask


class _Gate(nn.Module):
    """Stands for a norm: lets the channels of its mask through, and those a depthwise convolution before it carries."""

    def __init__(self, channels: int, carried: Mapping[int, Tensor]) -> None:
        super().__init__()
        self.carried = carried
        self.open = torch.ones(channels)
        self.seen: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Zeros where the channel is closed."""
        y = x * _along(torch.maximum(self.open, self.carried.get(id(x), self.open)), x)
        y.retain_grad()
        self.seen = y
        return y


class _Traced:
    """A copy of a net that carries positive numbers where channels live and zeros where they do not."""

    def __init__(self, model: nn.Module, shape: tuple[int, ...]) -> None:
        self.net = copy.deepcopy(model).to("cpu").float().eval().requires_grad_(False)
        self.shape = shape
        self.layers: dict[str, _Layer] = {}
        self.gates: dict[str, _Gate] = {}
        self.received: dict[str, Tensor] = {}
        self.answered: dict[str, Tensor] = {}
        self.carried: dict[int, Tensor] = {}
        for path, module in list(self.net.named_modules()):
            self._replace(path, module)

    def _replace(self, path: str, module: nn.Module) -> None:
        if isinstance(module, _Layer):
            self.layers[path] = module
            module.register_forward_hook(partial(self._answer, path))
        elif isinstance(module, _NormBase):
            gate = _Gate(module.num_features, self.carried)
            if module.weight is not None:
                self.gates[f"{path}.weight"] = gate
            self.net.set_submodule(path, gate)
        elif _is_elementwise(module):
            self.net.set_submodule(path, nn.Identity())

    def _answer(self, path: str, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        """Ones, so that the trace starts afresh. Through a depthwise convolution each channel passes by itself."""
        [x] = inputs
        answer = torch.ones_like(output).requires_grad_()
        if _is_depthwise(layer):
            answer = answer + x.amax(tuple(range(2, x.dim())), keepdim=True)
            answer.retain_grad()
            self.carried[id(answer)] = _by_channel(x > 0).float()
        self.received[path], self.answered[path] = x, answer  # which also keeps its id its own
        return answer

    def _run(self, gates: Mask | None) -> Tensor:
        self.carried.clear()
        for name, gate in self.gates.items():
            gate.open = torch.ones_like(gate.open) if gates is None else gates.keep[name].float()
        with torch.enable_grad():
            logits: Tensor = self.net(torch.ones(self.shape, requires_grad=True))
        return logits

    def written(self, channels: Mask) -> dict[str, Tensor]:
        """By layer, bool [inputs]: whether anything of `channels` reaches this input of it."""
        self._run(channels)
        return {path: _by_channel(x > 0) for path, x in self.received.items()}

    def read(self, inputs: Mapping[str, Tensor]) -> _Read:
        """The channels that are read if each layer reads these of its inputs, and the logits are all wanted."""
        asked = self._run(None).sum()
        for path, x in self.received.items():
            asked = asked + (x * _along(inputs[path], x)).sum()
        asked.backward()
        rows = {path: _by_channel(_reached(answer)) for path, answer in self.answered.items()}
        norms = {name: _by_channel(_reached(gate.seen)) for name, gate in self.gates.items()}
        return _Read(rows, Mask(norms))


def _along(channels: Tensor, x: Tensor) -> Tensor:
    """[C] in the shape that meets the second dimension of `x`, [N, C, ...]."""
    return channels.view(-1, *[1] * (x.dim() - 2))


def _reached(x: Tensor | None) -> Tensor:
    assert x is not None
    return torch.zeros_like(x, dtype=torch.bool) if x.grad is None else x.grad > 0


def _by_channel(x: Tensor) -> Tensor:
    """Bool [C]: any over the batch and all positions. Channels are the second dimension, [N, C, ...]."""
    return x.transpose(0, 1).flatten(1).any(1)


def _is_depthwise(layer: nn.Module) -> bool:
    return (
        isinstance(layer, _ConvNd)
        and layer.groups > 1
        and layer.groups == layer.in_channels == layer.out_channels
    )


def _is_elementwise(module: nn.Module) -> bool:
    """Activations and norms over positions keep channels apart; GLU halves them."""
    if isinstance(module, nn.GroupNorm | nn.LayerNorm):
        return True
    activation = not isinstance(module, nn.GLU) and not any(module.children())
    return activation and type(module).__module__ == nn.ReLU.__module__
