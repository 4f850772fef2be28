"""Extreme sparsity (paper 004, Fig 2 and section 4.5): how sparse a ladder may become before a metric is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

Level = tuple[Fraction, Mapping[str, bool | None]]
"""A sparsity in [0, 1], and by metric whether it passes there; None where it was not measured."""


@dataclass(frozen=True)
class Reach:
    """How far a metric lasts. Levels below `sparsity` may fail: `first_failure` says so."""

    sparsity: Fraction | None
    """The largest that passes; None if none does."""
    first_failure: Fraction | None
    """The smallest that fails; None if none does."""
    missing: int
    """Levels at which it was not measured."""


def reaches(levels: Iterable[Level], metrics: Sequence[str]) -> dict[str, Reach]:
    """The reach of every metric, in their order.

    Args:
        levels: in any order; a sparsity may stand there more than once.
        metrics: those that are asked for; a level that does not name one has it missing.
    """
    known = list(levels)
    return {metric: _reach([(sparsity, row.get(metric)) for sparsity, row in known]) for metric in metrics}


def lth_pass(found: Mapping[str, Reach]) -> Fraction | None:
    """The LTH-PASS sparsity: the least of the metrics' extreme sparsities; None if some metric never passes."""
    extremes = [reach.sparsity for reach in found.values()]
    known = [sparsity for sparsity in extremes if sparsity is not None]
    return min(known) if known and len(known) == len(extremes) else None


def _reach(column: Sequence[tuple[Fraction, bool | None]]) -> Reach:
    passed = [sparsity for sparsity, passes in column if passes]
    failed = [sparsity for sparsity, passes in column if passes is False]
    missing = sum(passes is None for _, passes in column)
    return Reach(max(passed, default=None), min(failed, default=None), missing)
