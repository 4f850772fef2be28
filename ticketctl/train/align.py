"""Permutation alignment: the order of a net's hidden units in which it is most like another net of its kind.

Both ways choose, group by group (`ticketctl/nets/permutation.py`), the assignment of the units of B to places of A that
is best of all. By weights: the inner product of the parameters of A and of the permuted B grows, and their distance
falls by as much; what a group gains depends on its neighbours, so groups are gone through in random order until none
gains. By activations: the correlation of the units' outputs on the same images; one assignment per group. (Ainsworth,
Hayase, Srinivasa 2023, "Git Re-Basin", sections 3.1 and 3.2, algorithm 1; correlations instead of inner products of
activations as in Li et al. 2016, "Convergent Learning".)

Nets between A and the permuted B want the statistics of their hidden units set anew (Jordan et al. 2023, "REPAIR"). In
nets with BatchNorm that is `ticketctl.train.recalibrate`; for others there is nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ticketctl.errors import DivergedError, MissingExtraError, UsageError
from ticketctl.nets.permutation import Group, Permutations, part, permuted
from ticketctl.seeds import Seeds
from ticketctl.train.state import State

GAIN = 1e-12
"""What an assignment must add to the objective, times the objective's size at the start where that is above 1."""
FLAT = 1e-12
"""A unit varies if its variance is above this share of its mean square."""

Poll = Callable[[], None]

_LOST = "weights or activations that are NaN or infinite are like no others: nothing to align"


@dataclass(frozen=True)
class Matching:
    """An order of the units of B, and how good it is. `permuted(b, groups, matching.perms)` is the aligned net."""

    perms: Permutations
    """Of every group: `perms[g][i]` is the unit of B that is most like unit i of A."""
    sweeps: int
    """How often all groups were gone through; the last time none gained, unless that was all that were allowed."""
    before: float
    """The objective of B as it came."""
    after: float
    """Of the permuted B; never less."""


def weight_matching(
    a: State,
    b: State,
    groups: Sequence[Group],
    *,
    seeds: Seeds,
    sweeps: int = 100,
    poll: Poll = lambda: None,
) -> Matching:
    """Match by parameters: coordinate descent from the order in which `b` is.

    The objective is the sum of products of all parameters of groups, in float64; running statistics do not count. If a
    tensor holds one group on two axes (a VGG with identity skips), the assignment is the best for one axis while the
    other stays, and is taken only if the objective itself grows.

    Args:
        a: the net that stays.
        b: another of the same architecture. Pruned weights are 0 in both.
        groups: of that architecture.
        seeds: stream `landscape`, for the order of groups in each sweep.
        sweeps: at most so many.
        poll: called between groups, each about a second for 512 units; may raise to stop.

    Raises:
        MissingExtraError: scipy is not installed.
        DivergedError: a weight is NaN or infinite.
    """
    descent = _Descent(a, b, groups)
    before, done, gained = descent.objective(), 0, True
    least = GAIN * max(1.0, abs(before))
    while gained and done < sweeps:
        gained, done = False, done + 1
        for turn in seeds.order("landscape", "align", done, count=len(groups)):
            poll()
            gained |= descent.improve(groups[turn], least)
    return Matching(descent.perms, done, before, descent.objective())


class _Descent:
    """Where a matching by weights stands."""

    def __init__(self, a: State, b: State, groups: Sequence[Group]) -> None:
        self.solve = _solver()
        if not (a.finite and b.finite):
            raise DivergedError(_LOST)
        names = sorted({name for group in groups for name in _names(group)})
        self.ours = {name: a.weights[name].double() for name in names}
        self.now = {name: b.weights[name].double() for name in names}
        self.perms = {group.name: np.arange(group.size) for group in groups}

    def objective(self) -> float:
        """Of B in its present order."""
        return sum(float((tensor * self.now[name]).sum()) for name, tensor in self.ours.items())

    def improve(self, group: Group, least: float) -> bool:
        """Assign the units of one group anew, if that adds more than `least`: whether it did."""
        order = self.solve(self._likeness(group))
        moved = permuted({name: self.now[name] for name in _names(group)}, [group], {group.name: order})
        gain = sum(float((self.ours[name] * (new - self.now[name])).sum()) for name, new in moved.items())
        if gain > least:
            self.now.update(moved)
            self.perms[group.name] = self.perms[group.name][order]
        return gain > least

    def _likeness(self, group: Group) -> Tensor:
        """[units, units]: products of the parameters of unit i of A with those of unit j of B."""
        found = torch.zeros(group.size, group.size, dtype=torch.float64)
        for place in group.places:
            if place.trained:
                ours, theirs = (part(tensors[place.tensor], place) for tensors in (self.ours, self.now))
                found += (ours @ theirs.T).cpu()
        return found


def _names(group: Group) -> list[str]:
    return sorted({place.tensor for place in group.places if place.trained})


@torch.no_grad()
def activation_matching(
    a: nn.Module,
    b: nn.Module,
    batches: Iterable[Tensor],
    groups: Sequence[Group],
    *,
    poll: Poll = lambda: None,
) -> Matching:
    """Match by what units say: the Pearson correlation over images and positions, in float64.

    Looked at is what enters each convolution or Linear layer that reads the group, after BatchNorm and activation; the
    correlations at several such layers (a residual stream) are averaged. A unit that never varies correlates with none.
    The objective is the sum over all units of the correlations with their partners.

    Args:
        a: the net that stays, in evaluation mode.
        b: another of the same architecture, in evaluation mode on the same device.
        batches: what the nets take, float [B, C, H, W], normalised, on their device.
        groups: of that architecture.
        poll: called between batches and groups; may raise to stop.

    Raises:
        MissingExtraError: scipy is not installed.
        UsageError: no batch.
        DivergedError: an activation is NaN or infinite.
    """
    solve = _solver()
    moments = _observed(a, b, batches, groups, poll)
    perms, before, after = {}, 0.0, 0.0
    for group in groups:
        poll()
        likeness = _correlations(group, moments)
        order, stays = solve(likeness), np.arange(group.size)
        was, now = float(likeness.trace()), float(likeness[stays, order].sum())
        better = now > was + GAIN
        perms[group.name] = order if better else stays
        before, after = before + was, after + (now if better else was)
    return Matching(perms, 1, before, after)


def _observed(
    a: nn.Module, b: nn.Module, batches: Iterable[Tensor], groups: Sequence[Group], poll: Poll
) -> dict[str, _Moments]:
    """By the name of a weight, of what enters its layer in both nets."""
    moments = {place.tensor: _Moments(place.repeat) for group in groups for place in group.readers}
    watches = _Inputs(a, moments), _Inputs(b, moments)
    for images in batches:
        poll()
        for net, watch in zip((a, b), watches, strict=True):
            with watch:
                net(images)
        for name, sums in moments.items():
            sums.add(watches[0].seen.pop(name), watches[1].seen.pop(name))
    if not all(sums.count for sums in moments.values()):
        raise UsageError("activations of two nets are matched on images: give at least one")
    return moments


class _Inputs(TorchFunctionMode):
    """What enters the layers with these weights, by the weight's name."""

    def __init__(self, net: nn.Module, names: Iterable[str]) -> None:
        super().__init__()
        self.names = {id(net.get_parameter(name)): name for name in names}
        self.seen: dict[str, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in ("conv2d", "linear"):
            said = dict(zip(("input", "weight"), args, strict=False)) | (kwargs or {})
            if id(said["weight"]) in self.names:
                self.seen[self.names[id(said["weight"])]] = said["input"]
        return func(*args, **(kwargs or {}))


class _Moments:
    """Sums over what two nets' channels were before one layer, float64."""

    def __init__(self, repeat: int) -> None:
        self.repeat, self.count = repeat, 0
        self.sums: list[Tensor] = []

    def add(self, one: Tensor, other: Tensor) -> None:
        """[B, channels x repeat, ...] each."""
        rows = [each.double().transpose(0, 1) for each in (one, other)]
        rows = [each.reshape(len(each) // self.repeat, -1) for each in rows]
        new = [rows[0] @ rows[1].T, *(each.sum(1) for each in rows), *(each.square().sum(1) for each in rows)]
        self.count += rows[0].shape[1]
        self.sums = [old + more for old, more in zip(self.sums, new, strict=True)] if self.sums else new

    def correlations(self) -> Tensor:
        """[channels, channels], 0 where one of the two does not vary."""
        products, one, other, one_square, other_square = (total.cpu() / self.count for total in self.sums)
        if not bool(products.isfinite().all()):
            raise DivergedError(_LOST)
        covariance = products - one[:, None] * other
        spread = _spread(one, one_square)[:, None] * _spread(other, other_square)
        return torch.where(spread > 0, covariance / spread, 0.0)


def _spread(mean: Tensor, square: Tensor) -> Tensor:
    variance = square - mean.square()
    return torch.where(variance > FLAT * square, variance, 0.0).sqrt()


def _correlations(group: Group, moments: Mapping[str, _Moments]) -> Tensor:
    """[units, units], the mean over the layers that read the group; zeros if none does."""
    found = torch.zeros(group.size, group.size, dtype=torch.float64)
    for place in group.readers:
        channels = torch.tensor(place.channels)
        found += moments[place.tensor].correlations()[channels][:, channels] / len(group.readers)
    return found


def _solver() -> Callable[[Tensor], NDArray[np.int64]]:
    """The assignment of largest sum: for [n, n] numbers the column of each row (Crouse 2016)."""
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise MissingExtraError("aligning nets needs scipy: pip install 'ticketctl[align]'") from None

    def solve(likeness: Tensor) -> NDArray[np.int64]:
        columns: NDArray[np.int64] = linear_sum_assignment(likeness.cpu().numpy(), maximize=True)[1]
        return columns

    return solve
