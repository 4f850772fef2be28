"""Hidden channels of a net may change places: which of them, in which tensors, and a net or mask with them exchanged.

A group is a set of channels that may be put in any order without changing what the net computes, if every tensor that
writes, scales or reads them follows: the rows of the layer, scale, shift and running statistics of its BatchNorm, the
columns of the next layer (of a flattened image, `repeat` columns each). All that is added together is one group, so a
residual stream has one per stage, and the channels inside of a block have their own; a depthwise convolution keeps the
group that it reads. Pixels and classes stay where they are (Ainsworth et al. 2023, "Git Re-Basin", section 2).

Nobody writes these groups down: the net is run and watched, so tweaks and other people's nets have as many as are
understood. What is not (a grouped convolution, channels that are sliced, joined or shuffled, a tensor with two names)
keeps its place. The groups found are tried on random weights, and one that changes what the net says is left out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ticketctl.masks.mask import Mask
from ticketctl.nets._permutation_flow import Ties, Unit, ties_of
from ticketctl.nets.compact import difference
from ticketctl.nets.compact_flow import Use
from ticketctl.seeds import Seeds

WITHIN = 1e-4
"""The largest difference of float32 logits, over the largest logit, when the groups found are tried."""
TRIALS = 4
"""Random images that they are tried on."""

Permutations = Mapping[str, NDArray[np.int64]]
"""By the name of a group, int64 [its size]: which unit comes to each place. A group that is not there stays."""


@dataclass(frozen=True)
class Place:
    """Where the units of a group stand in one tensor of the state_dict."""

    tensor: str
    axis: int
    channels: tuple[int, ...]
    """Of each unit; the axis has other channels too where a shortcut pads or cuts."""
    repeat: int
    """Each channel is so many entries of the axis side by side: those of a flattened image; else 1."""
    trained: bool
    """A parameter; else a running statistic, which only follows."""


@dataclass(frozen=True)
class Group:
    """Units that may be put in any order."""

    name: str
    """The path of the first layer that writes them."""
    size: int
    places: tuple[Place, ...]

    @property
    def readers(self) -> tuple[Place, ...]:
        """The weights of the layers that read these units: their second axis."""
        return tuple(place for place in self.places if place.axis == 1)


def permutation_groups(model: nn.Module, shape: tuple[int, int, int]) -> tuple[Group, ...]:
    """The groups of two or more units of `model`, in the order in which it first writes them; it is left as it is.

    Args:
        model: on any device, in any dtype; a copy of it runs in float32 on the CPU.
        shape: channels, height and width of an image.
    """
    net = copy.deepcopy(model).cpu().float().eval()
    ties = ties_of(net, shape)
    places, twice = list(_places(net, ties)), _twice(net)
    named: dict[str, Group] = {}
    for units in ties.units():
        group = _group(ties, units, places, named)
        if group.size > 1 and group.places and not {place.tensor for place in group.places} & twice:
            named[group.name] = group
    order = list(ties.flow.uses)
    found = sorted(named.values(), key=lambda group: order.index(group.name.partition("#")[0]))
    return _sound(net, shape, tuple(found))


def permuted(
    state_dict: Mapping[str, Tensor], groups: Sequence[Group], perms: Permutations
) -> dict[str, Tensor]:
    """The tensors of a net whose unit at place i of group g is the unit `perms[g][i]` of this one.

    With them the net says the same. Pure: what is permuted is new, the rest is shared. Names that are not there are
    left out, so this also takes masks, momenta or gradients.

    Args:
        state_dict: tensors by name, on any device.
        groups: those of the net.
        perms: see `Permutations`.

    Raises:
        ValueError: no such group, or no permutation of its units.
    """
    _check(groups, perms)
    found = dict(state_dict)
    for group in groups:
        order = perms.get(group.name)
        for place in group.places if order is not None else ():
            assert order is not None
            if place.tensor in found:
                found[place.tensor] = _moved(found[place.tensor], place, torch.from_numpy(np.array(order)))
    return found


def permuted_mask(mask: Mask, groups: Sequence[Group], perms: Permutations) -> Mask:
    """The mask of the permuted net: another ticket, as many weights kept in each layer, the same function.

    Raises:
        ValueError: as `permuted`.
    """
    return Mask(permuted(mask.keep, groups, perms))


def part(tensor: Tensor, place: Place) -> Tensor:
    """[units, numbers of each]: what `tensor` has of the units of a group, at one of its places."""
    moved = tensor.movedim(place.axis, 0)
    moved = moved.reshape(len(moved) // place.repeat, -1)
    return moved[torch.tensor(place.channels, device=tensor.device)]


def _moved(tensor: Tensor, place: Place, order: Tensor) -> Tensor:
    index = torch.arange(tensor.shape[place.axis]).view(-1, place.repeat)
    channels = torch.tensor(place.channels)
    index[channels] = index[channels[order]]
    return tensor.index_select(place.axis, index.flatten().to(tensor.device))


def _check(groups: Sequence[Group], perms: Permutations) -> None:
    sizes = {group.name: group.size for group in groups}
    for name, order in perms.items():
        if name not in sizes:
            raise ValueError(f"no group of channels is named {name!r}")
        if not np.array_equal(np.sort(order), np.arange(sizes[name])):
            raise ValueError(f"{name}: not a permutation of its {sizes[name]} units")


def _places(net: nn.Module, ties: Ties) -> Iterator[tuple[int, Place]]:
    """Where each group of the flow stands, as if all of its channels were units."""
    trained = {name for name, _ in net.named_parameters(remove_duplicate=False)}
    for path, use in ties.flow.uses.items():
        for name, axis in _axes(net.get_submodule(path), use):
            group = ties.flow.root(use.reads if axis else use.writes)
            tensor = f"{path}.{name}" if path else name
            channels = tuple(range(ties.flow.sizes[group]))
            yield group, Place(tensor, axis, channels, use.repeat if axis else 1, tensor in trained)


def _axes(module: nn.Module, use: Use) -> Iterator[tuple[str, int]]:
    for name in ("weight", "bias", "running_mean", "running_var"):
        if getattr(module, name, None) is not None:
            yield name, 0
    if not use.single:
        yield "weight", 1


def _group(
    ties: Ties, units: list[Unit], places: list[tuple[int, Place]], named: Mapping[str, Group]
) -> Group:
    found = [
        Place(place.tensor, place.axis, tuple(unit[group] for unit in units), place.repeat, place.trained)
        for group, place in places
        if group in units[0]
    ]
    uses = ties.flow.uses.items()
    first = next(
        (path for path, use in uses if not use.single and ties.flow.root(use.writes) in units[0]), ""
    )
    turn = sum(name.partition("#")[0] == first for name in named) + 1
    return Group(first if turn == 1 else f"{first}#{turn}", len(units), tuple(found))


def _twice(net: nn.Module) -> set[str]:
    """The names of tensors that have more than one: permuting one of them would permute the other."""
    names: dict[int, list[str]] = {}
    for name, value in net.state_dict(keep_vars=True).items():
        names.setdefault(id(value), []).append(name)
    return {name for same in names.values() if len(same) > 1 for name in same}


@torch.no_grad()
def _sound(net: nn.Module, shape: tuple[int, int, int], groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Those that can be permuted, all at once, without changing what `net` says; its weights become random ones."""
    numbers = torch.Generator().manual_seed(0)
    _fill_(net, numbers)
    images = torch.randn(TRIALS, *shape, generator=numbers)
    weights, was = copy.deepcopy(net.state_dict()), net(images)

    def same(*some: Group) -> bool:
        orders = {
            group.name: Seeds(0).order("shuffle", "groups", group.name, count=group.size) for group in some
        }
        net.load_state_dict(permuted(weights, some, orders))
        return bool(was.isfinite().all()) and difference(was, net(images)) <= WITHIN

    if same(*groups):
        return groups
    alone = tuple(group for group in groups if same(group))
    return alone if same(*alone) else ()


def _fill_(net: nn.Module, numbers: torch.Generator) -> None:
    """Random values everywhere, zeros and ones included, so that each channel differs from the next."""

    def like(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=numbers).to(tensor)

    for parameter in net.parameters():
        if parameter.dim() > 1:
            parameter.copy_(like(parameter) * (2 / parameter[0].numel()) ** 0.5)
        elif parameter.is_floating_point():
            parameter.add_(0.3 * like(parameter))
    for module in net.modules():
        if (
            isinstance(module, _BatchNorm)
            and module.running_mean is not None
            and module.running_var is not None
        ):
            module.running_mean.add_(0.3 * like(module.running_mean))
            module.running_var.copy_((0.3 * like(module.running_var)).exp())
