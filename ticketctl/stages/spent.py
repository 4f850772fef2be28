"""What a spend comes to: one row for each net, tweak set and level, and how tweaks differ from none, paired by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ticketctl.artifacts.run import Run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.figures.paired import Paired, paired
from ticketctl.stages.ranges import (
    Point,
    Ranges,
    Representatives,
    Unlearned,
    ranges,
    representatives,
    unlearned,
)
from ticketctl.stages.rows import place_of
from ticketctl.stages.wallet import Job

ACCURACY = "test.accuracy"
GIVEN, DRAWN = "train.eval.accuracy", "permuted.accuracy"
"""Against the labels as they are given: on all images trained on, and on those whose labels were drawn."""
NOISY = (
    GIVEN,
    DRAWN,
    "restored.accuracy",
    "unpermuted.accuracy",
    "oracle.test.accuracy",
)
"""What is measured besides where labels are wrong on purpose."""

MEASURED = (ACCURACY, "val.accuracy", "best_val.test.accuracy", *NOISY)

TWEAKED = "ticketctl.tweaks"
"""Where a run's `ext` says what its tweaks were."""


@dataclass(frozen=True)
class Spent:
    """One run of a spend. `trained` is False where it lay there already."""

    job: Job
    run: Run
    trained: bool

    @property
    def ticket(self) -> Ticket:
        """The ticket, or a control."""
        return self.job.ticket

    @property
    def remarks(self) -> tuple[str, ...]:
        """What its tweaks said of the training that changes how the result is to be read."""
        return _remarks(self.run)

    @property
    def level(self) -> int:
        """Of the ladder; 0 is dense."""
        return self.job.level

    @property
    def seed(self) -> int:
        """Of order and augmentation."""
        return self.job.seed

    @property
    def control(self) -> str | None:
        """The kind of control, or None for the ticket itself."""
        return self.ticket.manifest.control.kind if self.ticket.manifest.control else None


@dataclass(frozen=True)
class Row:
    """All runs of one kind and level."""

    kind: str
    level: int
    tweaks: tuple[str, ...]
    kept: int
    prunable: int
    n: int
    diverged: int
    values: dict[str, float]
    """mean and deviation of test (and validation) accuracy."""
    gap: float | None
    """Mean test accuracy minus the dense net's, over the seeds of which neither diverged."""
    winning: dict[str, bool]
    """By the rules of papers 003 (not below dense) and 004 (at most one point below)."""
    gain: Paired | None
    """Test accuracy over the same net without tweaks, by the seeds that both have."""
    added: int
    """Weights that tweaks have added to the net, none of them masked."""
    folders: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    """What tweaks said of the trainings that changes how the row is to be read, each once."""
    equal: tuple[str, ...] = ()
    """Values that several runs have alike, so that their deviation, 0, tells nothing of chance."""


def table(spent: Sequence[Spent]) -> list[Row]:
    """Mean, deviation and n of every net, tweak set and level; diverged runs are counted, never averaged in.

    `gap` and `winning` compare with the dense net without tweaks. The dense net stands first, then the ticket and its
    controls; of each the sparser levels later, and at a level no tweaks first, all together last.
    """
    groups: dict[tuple[str, int, tuple[str, ...]], list[Spent]] = {}
    for one in spent:
        kind = "dense" if one.level == 0 else one.control or "ticket"
        groups.setdefault((kind, one.level, one.job.tweaks), []).append(one)
    dense = groups.get(("dense", 0, ()), [])
    kinds = list(dict.fromkeys(["dense", "ticket", *(kind for kind, _, _ in groups)]))
    ordered = sorted(
        groups.items(), key=lambda pair: (kinds.index(pair[0][0]), pair[0][1], place_of(pair[0][2]))
    )
    return [_row(key, group, dense, groups.get((*key[:2], ()), [])) for key, group in ordered]


def ladder_under_noise(spent: Sequence[Spent]) -> tuple[Ranges, Representatives] | Unlearned | None:
    """Ranges of sparsity of a ticket without tweaks whose labels are wrong on purpose, over the means of its levels.

    None unless the dense net and three levels more are there; `Unlearned` where that net has not learned its labels.
    """
    levels: dict[Fraction, list[Spent]] = {}
    for one in spent:
        if not one.control and not one.job.tweaks:
            manifest = one.run.manifest
            levels.setdefault(1 - Fraction(manifest.kept, manifest.prunable), []).append(one)
    points = []
    for sparsity, group in levels.items():
        means = [_mean(group, name) for name in (GIVEN, ACCURACY, "oracle.test.accuracy")]
        known = [mean for mean in means if mean is not None]
        points += [Point(sparsity, *known)] if len(known) == len(means) else []
    dense = next((point for point in points if point.sparsity == 0), None)
    if len(points) < 4 or dense is None:
        return None
    if missed := unlearned(dense.train, _mean(levels[dense.sparsity], DRAWN)):
        return missed
    return ranges(points), representatives(points)


def _row(
    key: tuple[str, int, tuple[str, ...]],
    group: Sequence[Spent],
    dense: Sequence[Spent],
    plain: Sequence[Spent],
) -> Row:
    kind, level, tweaks = key
    gap = None if kind == "dense" and not tweaks else _gap(group, dense)
    first = group[0].run.manifest
    diverged = sum(one.run.manifest.status == "diverged" for one in group)
    return Row(
        kind,
        level,
        tweaks,
        first.kept,
        first.prunable,
        len(group) - diverged,
        diverged,
        _statistics(group),
        None if gap is None else float(gap),
        {} if gap is None else {"003": gap >= 0, "004": gap >= Fraction(-1, 100)},
        paired(_by_seed(group), _by_seed(plain)) if tweaks else None,
        _added(group[0].run),
        tuple(str(one.run.folder) for one in group),
        tuple(dict.fromkeys(text for one in group for text in _remarks(one.run))),
        tuple(name for name in MEASURED if _alike(_values(group, name))),
    )


def _gap(group: Sequence[Spent], dense: Sequence[Spent]) -> Fraction | None:
    """Exactly, since a verdict may hang on it: over the seeds of which neither diverged."""
    both = sorted(_by_seed(group).keys() & _by_seed(dense).keys())
    means = [_mean([one for one in side if one.seed in both], ACCURACY) for side in (group, dense)]
    ours, theirs = means
    return ours - theirs if ours is not None and theirs is not None else None


def _added(run: Run) -> int:
    said: Any = run.manifest.ext.get(TWEAKED) or {}
    return int(said.get("added", 0))


def _remarks(run: Run) -> tuple[str, ...]:
    said: Any = run.manifest.ext.get(TWEAKED) or {}
    return tuple(map(str, said.get("remarks", ())))


def _statistics(group: Sequence[Spent]) -> dict[str, float]:
    values: dict[str, float] = {}
    for name in MEASURED:
        numbers = [float(value) for value in _values(group, name)]
        if numbers:
            values[name] = float(np.mean(numbers))
        if len(numbers) > 1:
            values[f"{name}.std"] = float(np.std(numbers, ddof=1))
    return values


def _alike(numbers: Sequence[Fraction]) -> bool:
    return len(numbers) > 1 and len({*numbers}) == 1


def _by_seed(group: Sequence[Spent]) -> dict[int, float]:
    sound = [one for one in group if one.run.manifest.status == "done"]
    named = {one.seed: one.run.manifest.metrics.get(ACCURACY) for one in sound}
    return {seed: float(value) for seed, value in named.items() if value is not None}


def _mean(group: Sequence[Spent], name: str) -> Fraction | None:
    """Exact, since a verdict may hang on it."""
    numbers = _values(group, name)
    return sum(numbers, Fraction(0)) / len(numbers) if numbers else None


def _values(group: Sequence[Spent], name: str) -> list[Fraction]:
    sound = [one.run.manifest for one in group if one.run.manifest.status == "done"]
    return [Fraction(manifest.metrics[name]) for manifest in sound if name in manifest.metrics]


def as_record(row: Row) -> dict[str, Any]:
    """For `--json`."""
    return {
        "kind": row.kind,
        "level": row.level,
        "tweaks": list(row.tweaks),
        "kept": row.kept,
        "prunable": row.prunable,
        "density": row.kept / row.prunable,
        "n": row.n,
        "diverged": row.diverged,
        **row.values,
        "equal": list(row.equal),
        "gap": row.gap,
        "winning": row.winning,
        "paired": row.gain.record() if row.gain else None,
        "added": row.added,
        "remarks": list(row.remarks),
        "runs": list(row.folders),
    }
