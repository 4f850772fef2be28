"""Straight paths between nets: error barriers, and loss and error along the way.

Equation 3 of paper 003: B(W1, W2) = max over alpha in [0, 1] of E(alpha W1 + (1 - alpha) W2) - (E(W1) + E(W2)) / 2, E
the error in percent points, W1 the first net of a pair and W2 the second. `barrier` is B on the first of `sets` under
the first of `policies`, over several pairs their mean. Two nets count as stable, linearly connected, where B is below
`threshold`, 2 points (paper 003, section C.3; Frankle et al. 2020): row `stable`, 1 or 0. Arrays run from alpha 0, the
second net, to 1, the first.

The ends are in the maximum, so B is at least |E1 - E2| / 2 (`bound`): nets of unequal errors have a barrier over a flat
path too. Two forms leave that out: `chord`, the largest height above the straight line between the ends, and
`over-max`, above the worse of them. `falls` and `rise` go from the first net to the second, as from a sparse net to the
re-dense one (paper 002, section 3.3: `alphas = 101`): the share of steps at which the curve falls, and the most that it
rises above its lowest value so far.

Policies say where BatchNorm's statistics come from between two nets. `recalibrate`: set anew from training images at
every alpha, both ends included, so that end errors change a little. `interpolate`: mixed as weights are, and an end has
its own. `stored`: the first net's at every alpha, alpha 0 included, as where code mixes parameters alone; no longer
symmetric. `batch`: those of each batch of 500. Paper 003 does not say which it took. A net without running statistics
is the same under all, and measured once. Masked nets: the path lies on the union of the two masks.

Errors of error rows are over images, the same images at the maximum and at both ends; of the mean over pairs too, whose
nets are taken as given. That the place of the maximum was sought is not in them: of equal nets trained apart, noise
alone lifts a maximum by about one such error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ticketctl.curves._barrier import COLUMNS, SHARES, Curves
from ticketctl.curves._site import count_of, set_of
from ticketctl.errors import UsageError
from ticketctl.train.evaluate import BATCH
from ticketctl.train.exam import Measurement, Value
from ticketctl.train.feed import Images
from ticketctl.train.path import Norms, Policy, norms_of, same_as, together, walk
from ticketctl.train.terrain import Point, Terrain

FACTS = {
    "nets": "2 or more",
    "cost": "for each pair, alpha and policy 1 pass over the sets, and over the training images to recalibrate",
}
BETTER = {"barrier": "lower", "stable": "higher"}

Name = Literal["val", "train", "test"]


@dataclass(frozen=True)
class Params:
    """Keys of `[curves.line]`."""

    alphas: int = 31
    """Equidistant values of alpha, 0 and 1 among them; 2 or more."""
    pairs: Literal["all", "successive"] = "all"
    """Of the nets: each with each, or each with the next."""
    policies: tuple[Policy, ...] = ("recalibrate", "interpolate")
    """Where BatchNorm's statistics come from: recalibrate, interpolate, stored, batch; the first counts."""
    sets: tuple[Name, ...] = ("val", "train")
    """Images: val, train, test; the first counts. Where none were held out, test takes the place of val."""
    images: int = 0
    """At most so many of each set, drawn by the seed; 0: all."""
    bn_images: int = 0
    """Training images to recalibrate over, evenly spaced; 0: all."""
    bn_exact: bool = False
    """Recalibrate to statistics pooled over all images, rather than to a mean over batches."""
    threshold: float = 2.0
    """Percent points of `barrier` below which a pair is stable; above 0."""

    def __post_init__(self) -> None:
        least = {"alphas": 2, "images": 0, "bn_images": 0}
        for key, value in least.items():
            if getattr(self, key) < value:
                raise UsageError(f"curves.line.{key} = {getattr(self, key)} must be {value} or more")
        for key in ("policies", "sets"):
            given = getattr(self, key)
            if not given or len(set(given)) < len(given):
                raise UsageError(f"curves.line.{key} = {list(given)} must name at least one, and each once")
        if not 0 < self.threshold <= 100:
            raise UsageError(f"curves.line.threshold = {self.threshold} must be above 0 and at most 100")


def price(sizes: Mapping[str, int], params: Params, ends: int) -> float:
    """Forward passes of single images; the net is taken to have BatchNorm."""
    sets = {set_of(sizes, name) for name in params.sets}
    seen = sum(count_of(sizes, name, params.images) for name in sets)
    anew = count_of(sizes, "train", params.bn_images) * ("recalibrate" in params.policies)
    return float(len(_pairs(ends, params)) * params.alphas * (len(params.policies) * seen + anew))


def measure(terrain: Terrain, *, params: Params) -> Measurement:
    """`barrier`, in percent points, and `stable`; of several pairs also `barrier.std` and `barrier.max` over them.

    For each pair, if there are several, `barrier@A:B` with the names of its nets. For each set and policy
    `SET.error.POLICY.NUMBER` and `SET.loss.POLICY.NUMBER`, means over pairs: `barrier`, `chord`, `over-max` and `bound`
    (of errors, percent points), `first` and `second`, the ends (errors in [0, 1]), `falls` in [0, 1] and `rise`.

    Arrays: `alphas` [A], `pairs` int64 [P, 2]; `SET.error.POLICY` [P, A] in [0, 1], `SET.loss.POLICY` [P, A]; with
    `.pairs` behind these names the numbers of each pair [P, 8], in the order of the protocol's `numbers`.

    Raises:
        UsageError: fewer than two nets, or nets of different architectures.
    """
    if len(terrain.ends) < 2:
        raise UsageError("a path needs two nets or more, and here is one; name another")
    sets = _sets(terrain, params)
    kinds = {policy: same_as(policy, terrain.specimen.model) for policy in params.policies}
    curves = {(name, kind): Curves() for name in sets for kind in dict.fromkeys(kinds.values())}
    pairs = _pairs(len(terrain.ends), params)
    for pair in pairs:
        for kind in dict.fromkeys(kinds.values()):
            for name, (right, loss) in _walked(terrain, pair, kind, sets, params).items():
                curves[name, kind].add(right, loss)
    shown = {(name, policy): curves[name, kind] for name in sets for policy, kind in kinds.items()}
    main = shown[next(iter(sets)), params.policies[0]]
    values = _summary(main, [_title(terrain, pair) for pair in pairs], params)
    arrays: dict[str, NDArray[Any]] = {
        "alphas": np.arange(params.alphas) / (params.alphas - 1),
        "pairs": np.array(pairs, dtype=np.int64),
    }
    for (name, policy), one in shown.items():
        values |= _rows(name, policy, one)
        arrays |= _arrays(name, policy, one)
    return Measurement(values, _protocol(terrain, params, sets, kinds, values), arrays)


def _pairs(ends: int, params: Params) -> list[tuple[int, int]]:
    every = range(ends)
    return list(combinations(every, 2)) if params.pairs == "all" else list(pairwise(every))


def _title(terrain: Terrain, pair: tuple[int, int]) -> str:
    return ":".join(terrain.ends[end].name for end in pair)


def _sets(terrain: Terrain, params: Params) -> dict[str, Images]:
    """The images that are looked at, by name, in the order asked for."""
    net = terrain.specimen
    names = dict.fromkeys(set_of(net.images, name) for name in params.sets)
    return {name: net.few(name, params.images, terrain.seeds, "landscape").images[name] for name in names}


def _walked(
    terrain: Terrain, pair: tuple[int, int], kind: Policy, sets: Mapping[str, Images], params: Params
) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.float64]]]:
    """Which images were right [A, N] and mean losses [A] at ascending alphas, by set."""
    net, train = terrain.specimen, terrain.specimen.images["train"]
    count = min(params.bn_images or len(train), len(train))
    norms = Norms(kind, train, count, params.bn_exact)
    stride = together(net, sum(map(len, sets.values())), params.alphas)
    ends = terrain.ends[pair[0]], terrain.ends[pair[1]]

    def make(places: range) -> Point:
        seen = walk(net, ends, places, params.alphas - 1, sets=sets, norms=norms, shared=stride > 1)
        bits = {f"{name}.right": np.packbits(one.right, axis=1) for name, one in seen.items()}
        return bits | {f"{name}.loss": one.loss for name, one in seen.items()}

    points = []
    for start in range(0, params.alphas, stride):
        places = range(start, min(start + stride, params.alphas))
        title = f"{pair[0]}-{pair[1]}.{kind}.{start}"
        # mypy cannot infer a lambda with a default
        points.append(terrain.keep(title, lambda places=places: make(places)))  # type: ignore[misc]
    return {name: _joined(points, name, len(images)) for name, images in sets.items()}


def _joined(points: list[Point], name: str, count: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Walks begin at the first net, where alpha is 1."""
    bits = np.concatenate([point[f"{name}.right"] for point in points])
    right = np.unpackbits(bits, axis=1, count=count).astype(bool)
    return right[::-1], np.concatenate([point[f"{name}.loss"] for point in points])[::-1]


def _summary(main: Curves, titles: list[str], params: Params) -> dict[str, Value]:
    """The rows that stand first."""
    found = np.array([one["barrier"] for one in main.pairs])
    images = len(main.parts["barrier"])
    mean = float(found.mean())
    values = {
        "barrier": Value(mean, main.spread("barrier"), images),
        "stable": Value(float(mean < params.threshold), None, images),
    }
    if len(titles) > 1:
        values["barrier.std"] = Value(float(found.std(ddof=1)), None, len(found))
        values["barrier.max"] = Value(float(found.max()), None, len(found))
        for title, value, error in zip(titles, found, main.errors, strict=True):
            values[f"barrier@{title}"] = Value(float(value), error, images)
    return values


def _rows(name: str, policy: str, curves: Curves) -> dict[str, Value]:
    images = len(curves.parts["barrier"])
    rows = {}
    for number in COLUMNS:
        errors, losses = ([one[number] for one in ones] for ones in (curves.pairs, curves.losses))
        spread = curves.spread(number)
        rows[f"{name}.error.{policy}.{number}"] = Value(float(np.mean(errors)), spread, images)
        rows[f"{name}.loss.{policy}.{number}"] = Value(float(np.mean(losses)), None, images)
    return dict(sorted(rows.items(), key=lambda row: ".loss." in row[0]))


def _arrays(name: str, policy: str, curves: Curves) -> dict[str, NDArray[Any]]:
    return {
        f"{name}.error.{policy}": np.stack(curves.error),
        f"{name}.loss.{policy}": np.stack(curves.loss),
        f"{name}.error.{policy}.pairs": np.array([list(one.values()) for one in curves.pairs]),
        f"{name}.loss.{policy}.pairs": np.array([list(one.values()) for one in curves.losses]),
    }


def _protocol(
    terrain: Terrain,
    params: Params,
    sets: Mapping[str, Images],
    kinds: Mapping[Policy, Policy],
    values: Mapping[str, Value],
) -> dict[str, Any]:
    net, main = terrain.specimen, next(iter(sets))
    train, found = len(net.images["train"]), values["barrier"]
    known = "recalibrate" in kinds.values()
    anew = {"images": min(params.bn_images or train, train), "batch": BATCH, "exact": params.bn_exact}
    said = {
        "alpha": "share of the first net of a pair (equation 3); arrays begin at 0, the second net",
        "nets": [end.name for end in terrain.ends],
        "barrier": {"set": main, "policy": params.policies[0], "unit": "percent points"},
        "stable": {"below": params.threshold, "barrier": found.value, "error": found.error},
        "sets": {name: len(images) for name, images in sets.items()},
        "batchnorm": {"layers": len(norms_of(net.model)), "recalibrated": anew if known else "nothing"},
        "same": {policy: kind for policy, kind in kinds.items() if policy != kind},
        "numbers": list(COLUMNS),
        "units": f"errors: {', '.join(SHARES)} in [0, 1], the other numbers in percent points",
        "mask": "the union of a pair's" if any(end.mask for end in terrain.ends) else "none",
    }
    if "val" in params.sets and "val" not in sets:
        said["val"] = "no images were held out: test takes the place of val"
    return said
