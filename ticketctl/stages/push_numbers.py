"""The numbers on the card of a push: test accuracies of what is pushed, by training and density. No torch."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ticketctl.artifacts.manifest import TicketManifest
from ticketctl.hub.card import Row
from ticketctl.stages.compare import Group, grouped
from ticketctl.stages.otherwise import changes, told
from ticketctl.stages.push_things import Thing
from ticketctl.stages.rows import in_order
from ticketctl.stages.subjects import Subject, subjects_in
from ticketctl.stages.winning import is_dense_of

ACCURACY = "test.accuracy"


def of_levels(tickets: Sequence[Thing]) -> Iterator[Row]:
    """What tickets say of the nets that their draws trained; tickets that differ in nothing but seeds together.

    Args:
        tickets: no controls.
    """
    alike: dict[Any, list[TicketManifest]] = {}
    for one in {one.id: ticket_of(one) for one in tickets}.values():
        alike.setdefault((one.draw.recipe_digest, one.draw.data.fingerprint), []).append(one)
    for few in alike.values():
        series = "as drawn" if len(alike) == 1 else f"as drawn, {few[0].draw.method} {few[0].ticket_id[:11]}"
        levels = sorted({level.level for one in few for level in one.draw.levels})
        rows = [row for level in levels if (row := _of_level(few, level, series))]
        dense = next((row.mean for row in rows if row.kept == row.prunable), None)
        yield from (replace(row, dense=dense) for row in rows)


def _of_level(few: Sequence[TicketManifest], level: int, series: str) -> Row | None:
    parts = [(one, part) for one in few for part in one.draw.levels if part.level == level]
    values = [value for _, part in parts if (value := _number(part.metrics.get(ACCURACY))) is not None]
    if not values:
        return None
    kept = round(statistics.fmean(part.kept for _, part in parts))
    spread = statistics.stdev(values) if len(values) > 1 else None
    prunable = parts[0][0].mask.prunable
    return Row(series, level, kept, prunable, statistics.fmean(values), spread, len(values), None)


def beside(subjects: Iterable[Subject], tickets: Sequence[Thing]) -> list[Subject]:
    """The runs that are no levels of tickets that tell the same themselves."""
    own = {one.draw.resolve() / "levels" for one in tickets if one.draw is not None}
    return [run for run in subjects if run.folder.resolve().parent not in own]


def of_runs(subjects: Sequence[Subject]) -> list[Row]:
    """What was trained alike but for seeds, as rows; those of one training together, the densest first."""
    groups = grouped(subjects)
    rows = [_of_group(group, words, groups) for group, words in zip(groups, changes(groups), strict=True)]
    return sorted(filter(None, rows), key=lambda row: (row.series, -row.density))


def _of_group(group: Group, words: Mapping[str, str], groups: Sequence[Group]) -> Row | None:
    mean, prunable = group.mean(ACCURACY), group.runs[0].manifest.prunable
    if mean is None:
        return None
    level = common(run.manifest.level for run in group.runs)
    return Row(
        _training(group, words), level, round(float(group.density) * prunable), prunable, mean,
        group.deviation(ACCURACY), len(group.values(ACCURACY)), _dense(group, groups),
    )  # fmt: skip


def _training(group: Group, words: Mapping[str, str]) -> str:
    """What was trained, with every key by which it differs from the other rows, and what is in no mean."""
    tweaks = f" + {' + '.join(in_order(group.tweaks))}" if group.tweaks else ""
    control = f" ({group.control})" if group.control else ""
    lost = f"{group.diverged} more diverged" if group.diverged else ""
    return "trained: " + ", ".join(filter(None, (f"{group.method}{control}{tweaks}", told(words), lost)))


def _dense(group: Group, groups: Sequence[Group]) -> float | None:
    own = [one for one in groups if is_dense_of(one, group)]
    return own[0].mean(ACCURACY) if len(own) == 1 else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value <= 1 else None


def subjects_of(found: Sequence[Thing], workspace: Path) -> list[Subject]:
    """The runs among them, as they are compared; of copies of one training one."""
    folders = [str(one.folder) for one in found if one.kind == "run"]
    return subjects_in(folders, workspace)[0] if folders else []


def ticket_of(one: Thing) -> TicketManifest:
    """The manifest of what is a ticket."""
    assert isinstance(one.manifest, TicketManifest)
    return one.manifest


def common(values: Iterable[Any]) -> Any:
    """What all say; None where they differ or one says nothing."""
    several = [*values]
    return several[0] if several and all(one == several[0] for one in several) else None
