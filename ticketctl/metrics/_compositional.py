"""Formulas over concepts that say where a unit fires: their form, their overlap, and the search for the best.

A formula is built from left to right: a concept, then OR, AND or AND NOT with one concept more, up to a length. What is
written in another order and means the same by swapping operands is one formula here: the parts of a chain of OR, and
the wanted and the barred parts of a chain of AND, are sorted.

Places are bits, packed in rows of images. A concept has rows for the images that show it and no others. The overlap of
every grown formula follows from two counts per concept, shared places of formula and concept, and of these those where
the unit fires, so no mask is made before it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]
Counts = NDArray[np.int64]

EPSILON = 1e-10
"""In the denominator, as in the released code."""
ROWS = 2048
"""Rows that are counted at once: as many as a processor keeps near."""

OR, AND, AND_NOT = range(3)


@dataclass(frozen=True)
class Chain:
    """Parts joined by OR, or by AND with some barred."""

    any_of: bool
    parts: tuple[Formula, ...]
    """Two or more, or one and something barred; sorted."""
    barred: tuple[int, ...] = ()
    """Sorted; none where `any_of`."""


Formula = int | Chain
"""A concept's place, or a chain."""


def grown(formula: Formula, step: int, concept: int) -> Formula:
    """`formula` with one concept more, in the one form of what it means."""
    any_of = step == OR
    same = isinstance(formula, Chain) and formula.any_of == any_of
    parts = formula.parts if same and isinstance(formula, Chain) else (formula,)
    barred = formula.barred if same and isinstance(formula, Chain) else ()
    if step == AND_NOT:
        return Chain(any_of, parts, tuple(sorted((*barred, concept))))
    return Chain(any_of, tuple(sorted((*parts, concept), key=_order)), barred)


def _order(formula: Formula) -> tuple[int, str]:
    return (formula, "") if isinstance(formula, int) else (1 << 40, repr(formula))


def concepts_of(formula: Formula) -> list[int]:
    """All concepts in it; as many as it is long."""
    if isinstance(formula, int):
        return [formula]
    return [concept for part in formula.parts for concept in concepts_of(part)] + [*formula.barred]


def words(formula: Formula, names: Sequence[str]) -> str:
    """As it is read: `(red OR blue) AND NOT disc`."""
    if isinstance(formula, int):
        return names[formula]
    parts = [names[part] if isinstance(part, int) else f"({words(part, names)})" for part in formula.parts]
    joined = (" OR " if formula.any_of else " AND ").join(parts)
    return joined + "".join(f" AND NOT {names[concept]}" for concept in formula.barred)


@dataclass(frozen=True)
class Concepts:
    """Where concepts are shown: a row of bits for each concept in each image that shows it."""

    count: int
    image: Counts
    """[R], ascending."""
    concept: Counts
    """[R], from 0 to `count` - 1."""
    bits: Bits
    """[R, words]."""

    @cached_property
    def sizes(self) -> Counts:
        """Places of each concept, [count]."""
        return self._summed(np.bitwise_count(self.bits).sum(axis=1, dtype=np.int64))

    def shared(self, mask: Bits) -> Counts:
        """Places of each concept inside a mask [images, words], [count]."""
        rows = np.flatnonzero(np.asarray(mask.any(axis=1))[self.image])
        found = np.zeros(len(self.image), np.int64)
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            both = self.bits[part] & mask[self.image[part]]
            found[part] = np.bitwise_count(both).sum(axis=1, dtype=np.int64)
        return self._summed(found)

    def mask(self, concept: int, images: int) -> Bits:
        """All places of one, [images, words]."""
        found = np.zeros((images, self.bits.shape[1]), np.uint64)
        rows = self.concept == concept
        found[self.image[rows]] = self.bits[rows]
        return found

    def _summed(self, rows: Counts) -> Counts:
        return np.bincount(self.concept, weights=rows, minlength=self.count).astype(np.int64)


def places(mask: Bits) -> int:
    """How many bits are set."""
    return int(np.bitwise_count(mask).sum(dtype=np.int64))


def overlap(one: Bits, other: Bits) -> float:
    """Intersection over union of two masks, in [0, 1]."""
    return float(_iou(np.int64(places(one & other)), np.int64(places(one)), np.int64(places(other))))


def _iou(both: Counts | np.int64, one: Counts | np.int64, other: Counts | np.int64) -> NDArray[np.float64]:
    found: NDArray[np.float64] = both / (one + other - both + EPSILON)
    return found


@dataclass(frozen=True)
class Found:
    """The best formula for a unit; None where no concept is shown where it fires."""

    formula: Formula | None
    iou: float
    atomic: int | None
    """The best single concept."""
    atomic_iou: float


@dataclass(frozen=True)
class _Entry:
    formula: Formula
    iou: float
    mask: Bits
    fresh: bool
    """It has not been grown yet."""


def search(
    unit: Bits,
    concepts: Concepts,
    *,
    length: int,
    beam: int,
    candidates: int = 0,
    poll: Callable[[], None] = lambda: None,
) -> Found:
    """The best formula for a unit, by a beam search (Mu and Andreas 2020, section 2).

    Args:
        unit: where it fires, [images, words].
        concepts: to build formulas from.
        length: concepts in a formula at most.
        beam: formulas that are kept and grown in each round.
        candidates: the best single concepts alone are tried; 0: all.
        poll: called between formulas; may raise.
    """
    hits, fired = concepts.shared(unit), places(unit)
    alone = _iou(hits, np.int64(fired), concepts.sizes)
    order = np.argsort(-alone, kind="stable")
    order = order[hits[order] > 0][: candidates or None]
    if not len(order):
        return Found(None, 0.0, None, 0.0)
    tried = np.zeros(concepts.count, bool)
    tried[order if candidates else concepts.sizes > 0] = True
    kept = [
        _Entry(int(one), float(alone[one]), concepts.mask(int(one), len(unit)), True) for one in order[:beam]
    ]
    for _ in range(length - 1):
        poll()
        grown_ones = _Round(unit, concepts, hits, tried).best(kept, beam, poll)
        kept = sorted([*(_old(entry) for entry in kept), *grown_ones], key=lambda entry: -entry.iou)[:beam]
    return Found(kept[0].formula, kept[0].iou, int(order[0]), float(alone[order[0]]))


def _old(entry: _Entry) -> _Entry:
    return _Entry(entry.formula, entry.iou, entry.mask, False)


@dataclass(frozen=True)
class _Round:
    """One round of a search."""

    unit: Bits
    concepts: Concepts
    hits: Counts
    tried: NDArray[np.bool_]

    def best(self, kept: Sequence[_Entry], beam: int, poll: Callable[[], None]) -> Iterator[_Entry]:
        """The `beam` best formulas that are one concept longer than the fresh ones, best first, each once."""
        fresh = [entry for entry in kept if entry.fresh]
        scores = []
        for entry in fresh:
            poll()
            scores.append(self._scores(entry))
        if not fresh:
            return
        table = np.stack(scores)  # [fresh, steps, concepts]
        seen: set[Formula] = set()
        for place in np.argsort(-table, axis=None, kind="stable"):
            which, step, concept = (int(index) for index in np.unravel_index(place, table.shape))
            if table[which, step, concept] <= 0 or len(seen) == beam:
                return
            formula = grown(fresh[which].formula, step, concept)
            if formula not in seen:
                seen.add(formula)
                mask = self._grown(fresh[which].mask, step, concept)
                yield _Entry(formula, float(table[which, step, concept]), mask, True)

    def _scores(self, entry: _Entry) -> NDArray[np.float64]:
        """Overlap with the unit by step and concept, [3, concepts]; -1 for what adds nothing or is not tried."""
        size, hit = places(entry.mask), places(entry.mask & self.unit)
        shared, both = self.concepts.shared(entry.mask), self.concepts.shared(entry.mask & self.unit)
        fired = np.int64(places(self.unit))
        found = np.stack(
            [
                _iou(hit + self.hits - both, fired, size + self.concepts.sizes - shared),
                _iou(both, fired, shared),
                _iou(hit - both, fired, size - shared),
            ]
        )
        inside, outside = (shared > 0) & (shared < size), shared < self.concepts.sizes
        changes = np.stack([outside, inside, inside]) & self.tried
        changes[:, concepts_of(entry.formula)] = False
        return np.where(changes, found, -1.0)

    def _grown(self, mask: Bits, step: int, concept: int) -> Bits:
        other = self.concepts.mask(concept, len(mask))
        if step == OR:
            return mask | other
        return mask & other if step == AND else mask & ~other
