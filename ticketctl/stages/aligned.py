"""Ends of a path with the units of each further net in the order in which it is most like the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ticketctl.artifacts.report import MetricRow, Report
from ticketctl.nets.permutation import Group, permutation_groups, permuted, permuted_mask
from ticketctl.recipe_explore import InterpolateSpec
from ticketctl.seeds import Seeds
from ticketctl.train.align import Matching, activation_matching, weight_matching
from ticketctl.train.feed import Images
from ticketctl.train.specimen import Specimen
from ticketctl.train.state import State
from ticketctl.train.terrain import End

BATCH = 250
"""Images that activations are compared on at a time."""
ROW = "aligned"
"""The share of units that an alignment moved, in the parts of all curves; of single nets `aligned@NAME`."""


@dataclass(frozen=True)
class Aligned:
    """Ends as they are measured."""

    ends: tuple[End, ...]
    moved: Mapping[str, float] = field(default_factory=dict)
    """By the name of each net that was aligned: the share of its units that took another place, in [0, 1]."""
    units: int = 0
    """Of a net, those that may move."""

    def rows(self, curve: str, by: str) -> tuple[MetricRow, ...]:
        """For the part of a curve: the mean over nets and, of several, each; none where nothing was aligned.

        Args:
            curve: the plug-in that they stand with.
            by: what was matched, weights or activations.
        """
        mean = sum(self.moved.values()) / max(1, len(self.moved))
        each = {f"{ROW}@{name}": share for name, share in self.moved.items()} if len(self.moved) > 1 else {}
        protocol = {"by": by, "share": "units that took another place, of those that may move"}
        return tuple(
            MetricRow(name, curve, "none", share, None, self.units, protocol=protocol)
            for name, share in ({ROW: mean, **each} if self.moved else {}).items()
        )


def once(parts: Sequence[Report]) -> list[Report]:
    """The parts of one report, whose alignment stands with the first alone that has it: what is absent has none."""
    holder = next((part for part in parts if any(map(_is_said, part.metrics))), None)
    return [
        part
        if part is holder
        else replace(part, metrics=tuple(row for row in part.metrics if not _is_said(row)))
        for part in parts
    ]


def _is_said(row: MetricRow) -> bool:
    return row.name.partition("@")[0] == ROW


def aligned(
    ends: Sequence[End],
    net: Specimen,
    spec: InterpolateSpec,
    seeds: Seeds,
    shape: tuple[int, int, int],
    say: Callable[[str], None],
) -> Aligned:
    """The ends, of each but the first its weights, statistics and mask permuted: it says what it said.

    Args:
        ends: of one architecture.
        net: the first of them.
        spec: `align` says by what; nothing is done where it is `none`.
        seeds: of the measurement.
        shape: of an image.
        say: told how far each matching came.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    if spec.align == "none" or len(ends) < 2:
        return Aligned(tuple(ends))
    groups = permutation_groups(net.model, shape)
    found, shares = [ends[0]], dict[str, float]()
    for end in ends[1:]:
        match = _match(ends[0], end, net, spec, seeds, groups)
        share = shares[end.name] = moved(match.perms)
        say(f"{end.name} aligned by {spec.align}: {share:.0%} of the units that may move took another place")
        found.append(_permuted(end, groups, match.perms))
    return Aligned(tuple(found), shares, sum(len(order) for order in match.perms.values()))


def moved(perms: Mapping[str, NDArray[np.int64]]) -> float:
    """The share of all units that are not where they were."""
    units = sum(len(order) for order in perms.values())
    return sum(int((order != np.arange(len(order))).sum()) for order in perms.values()) / max(1, units)


def _match(
    first: End, other: End, net: Specimen, spec: InterpolateSpec, seeds: Seeds, groups: Sequence[Group]
) -> Matching:
    if spec.align == "weights":
        return weight_matching(first.state, other.state, groups, seeds=seeds, poll=net.poll)
    one, two = deepcopy(net.model), deepcopy(net.model)
    first.state.load_into(one)
    other.state.load_into(two)
    places = net.drawn("train", spec.align_images, seeds, "landscape")
    return activation_matching(one, two, _batches(net.images["train"].pick(places)), groups, poll=net.poll)


def _batches(images: Images) -> Iterator[Tensor]:
    for start in range(0, len(images), BATCH):
        yield images.batch(start, start + BATCH)[0]


def _permuted(end: End, groups: Sequence[Group], perms: Mapping[str, NDArray[np.int64]]) -> End:
    state = State(permuted(end.state.weights, groups, perms), end.state.step)
    mask = None if end.mask is None else permuted_mask(end.mask, groups, perms)
    return replace(end, state=state, mask=mask)
