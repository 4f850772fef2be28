"""Mix the trained ticket with the nets of neighbouring levels, where validation accuracy rises (Lottery Pools).

From the nearest level outwards: for every coefficient a the candidate is a w + (1 - a) w_neighbour, pruned again to
the ticket's number of weights by |w| over all prunable weights together, with BatchNorm's statistics set anew on the
training images. The best candidate of a neighbour becomes w if its validation accuracy is above that of w; nothing is
trained, and the test images are never looked at. Yin et al. 2023 (luuyin/Lottery-pools: coefficients, neighbours
first, greedy).

Choices: of two levels as near the denser comes first; of equal candidates the one with the larger a. At the beginning
w counts with its accuracy as it is or with statistics set anew, whichever is better, so that no neighbour is praised
for what the statistics did. If none is accepted the net stays as it is to the bit. Weights that the neighbours lack
(another tweak's) are kept. The neighbours are the draw's own nets; the ticket's own level is not mixed in a second
time.

It takes a ticket whose draw has kept 3 trained sparse levels or more, the one that is spent among them; the dense net,
level 0, is none. That is a ladder of 3 rounds or more by a method that trains every level as a spend would (imp, ltr,
gradient), drawn with `draw.keep = "all"`, which is usual, and with validation images: `ticketctl draw --method imp
--rounds 3 --set data.validation=random:10%`, then `ticketctl spend --tweaks pools`. Any sparse level will do; one in
the middle has neighbours on both sides. What was pruned once has no such levels, nor have controls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.store.tensors import pack_tensors
from ticketctl.train.course import Course
from ticketctl.train.evaluate import examine
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit, Trained
from ticketctl.train.recalibrate import recalibrate
from ticketctl.train.state import State
from ticketctl.tweaks._phases import largest

FACTS = {
    "changes": "weights",
    "cost": "no training; per neighbour 11 passes over training and validation images",
}
EXCLUDES = {
    "redense": "each begins where the spend ended; a mixed net has a mask, a dense one has none",
    "scaled-init": "the levels beside the ticket were trained from a start of other scales",
}
NEEDS = ("levels",)
AFTER = True
STEPS = 0
RECORD = ("log", "base")

LEVELS = 3
"""Trained sparse levels that it takes, the ticket's own among them."""


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.pools]`."""

    coefficients: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    """Shares of the net so far in a candidate, each above 0 and below 1."""
    neighbours: int | None = None
    """How many levels to try, the nearest first; none: all."""
    images: int | None = None
    """Training images that BatchNorm's statistics are set on; none: all."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """The hook that mixes the nets.

    Raises:
        UsageError: a key is out of its range; no validation images; the dense net; a ticket that is no level of its
            draw; or a draw that has kept fewer than 3 trained sparse levels.
    """
    if not params.coefficients or not all(0 < a < 1 for a in params.coefficients):
        raise UsageError("tweaks.pools.coefficients: one or more, each above 0 and below 1")
    if params.neighbours is not None and params.neighbours < 1:
        raise UsageError(f"tweaks.pools.neighbours = {params.neighbours}; it is 1 or more")
    if params.images is not None and params.images < 2:
        raise UsageError(f"tweaks.pools.images = {params.images}; it is 2 or more")
    size = len(kit.bench.feed.images)
    if params.images is not None and params.images > size:
        raise UsageError(f"tweaks.pools.images = {params.images}; there are {size} training images")
    if "val" not in kit.bench.exams:
        raise UsageError(
            "pools chooses by validation accuracy; hold images out, e.g. data.validation=random:10%"
        )
    if kit.mask is None:
        raise UsageError("pools mixes a ticket with the levels beside it; the dense net has none")
    if len(kit.levels) < LEVELS:
        raise UsageError(
            f"pools mixes {LEVELS} trained sparse levels or more, the ticket's own among them, and this ticket's draw "
            f"has kept {_counted(kit.levels)}; spend a level of a ladder drawn with --rounds {LEVELS} or more and "
            "draw.keep=all, e.g. by imp"
        )
    return Pools(params, kit.mask, neighbours(kit.levels, kit.mask)[: params.neighbours])


def _counted(levels: tuple[Trained, ...]) -> str:
    """How many there are, and which."""
    if not levels:
        return "none"
    return f"{len(levels)}, level{'s' * (len(levels) > 1)} {', '.join(str(each.level) for each in levels)}"


def neighbours(levels: tuple[Trained, ...], mask: Mask) -> tuple[Trained, ...]:
    """The levels other than that of `mask`, the nearest first, of two as near the denser.

    Raises:
        UsageError: none of the levels has this mask.
    """
    own = next((each.level for each in levels if each.mask.equal(mask)), None)
    if own is None:
        raise UsageError(
            f"pools spends one of the levels that the draw has trained, {', '.join(str(o.level) for o in levels)}; "
            "the mask that is spent is none of theirs"
        )
    others = [each for each in levels if each.level != own]
    return tuple(sorted(others, key=lambda each: (abs(each.level - own), each.level)))


Row = tuple[float, float, float, float]
"""Of each candidate: level of the neighbour, a, validation accuracy, 1 if it was taken."""


class Pools(Hooks):
    """Mixes at the end of a training of no step."""

    moves_mask = True

    def __init__(self, params: Params, mask: Mask, others: tuple[Trained, ...]) -> None:
        self.params, self.mask, self.others = params, mask, others
        self.base: tuple[float, ...] = ()
        self.rows: list[Row] = []

    def identity(self) -> dict[str, Any]:
        """As the base says: the nets that are mixed in belong to it."""
        keys = {**asdict(self.params), "coefficients": list(self.params.coefficients)}
        return {
            "tweak": "pools",
            **keys,
            "levels": [[each.level, _digest(each.state)] for each in self.others],
        }

    def finish(self, loop: Course) -> None:
        """Mix. A stop on the way leaves no trace."""
        net = _Net(loop, self.mask, self.params.images)
        now, plain = net.taken(), net.accuracy()
        net.recalibrate()
        self.rows, self.base = [], (plain, net.accuracy())
        best = max(self.base)
        for other in self.others:
            accuracy, found = self._best(net, now, other, best)
            if found is not None:
                best, now = accuracy, found
        net.put(now)

    def _best(self, net: _Net, now: _Point, other: Trained, least: float) -> tuple[float, _Point | None]:
        """The best mixture with one neighbour, if it is above `least`."""
        found, row = None, -1
        theirs = {name: value.to(net.device) for name, value in other.state.weights.items()}
        for a in sorted(self.params.coefficients, reverse=True):
            net.mix(now, theirs, a)
            accuracy = net.accuracy()
            self.rows.append((float(other.level), a, accuracy, 0.0))
            if accuracy > least:
                least, found, row = accuracy, net.taken(), len(self.rows) - 1
        if found is not None:
            self.rows[row] = (*self.rows[row][:3], 1.0)
        return least, found

    def state(self) -> dict[str, Tensor]:
        """`base` float64 [2]: accuracy of the ticket as it was, and with new statistics; `log` [n, 4]: see `Row`."""
        log = torch.tensor(self.rows, dtype=torch.float64).reshape(-1, 4)
        return {"base": torch.tensor(self.base, dtype=torch.float64), "log": log}


@dataclass(frozen=True)
class _Point:
    """A net and its mask."""

    weights: dict[str, Tensor]
    mask: Mask


class _Net:
    """The net of a training, moved from point to point."""

    def __init__(self, loop: Course, mask: Mask, images: int | None) -> None:
        self.loop, self.like, self.images = loop, mask, images
        self.device = loop.bench.place.device

    def taken(self) -> _Point:
        """Where it is."""
        return _Point({name: v.clone() for name, v in self.loop.model.state_dict().items()}, self.loop.mask)

    @torch.no_grad()
    def put(self, point: _Point) -> None:
        """Go there."""
        for name, value in self.loop.model.state_dict().items():
            value.copy_(point.weights[name])
        self.loop.set_mask(point.mask)

    @torch.no_grad()
    def mix(self, now: _Point, theirs: Mapping[str, Tensor], a: float) -> None:
        """Go to a * now + (1 - a) * theirs, at the number of weights of the ticket, with statistics of its own."""
        for name, value in self.loop.parameters.items():
            own = now.weights[name]
            value.copy_(a * own + (1 - a) * theirs[name] if name in theirs else own)
        self.loop.set_mask(largest(self.loop, self.like))
        self.recalibrate()

    def recalibrate(self) -> None:
        """BatchNorm's statistics, of the training images."""
        loop = self.loop
        images, forward = loop.feed.images, loop.machine.forward
        recalibrate(loop.model, images, count=self.images, poll=loop.poll, forward=forward)

    def accuracy(self) -> float:
        """On the validation images, in [0, 1]."""
        loop = self.loop
        exam = {"val": loop.bench.exams["val"]}
        return examine(loop.model, exam, loop.poll, loop.machine.forward)[1]


def _digest(state: State) -> str:
    return hashlib.sha256(pack_tensors(state.tensors())).hexdigest()
