"""The radar chart of paper 004 (Fig 1, 11): every metric on a scale of its own, from the worst net to the best.

It shows ranks among the nets that were chosen and nothing else: raw values belong beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ticketctl.artifacts.verdict import Verdict
from ticketctl.artifacts.verdict_models import NetPart

Table = Mapping[str, Mapping[str, float | None]]
"""By net, then by metric; None where nothing was measured."""


def radar(values: Table, better: Mapping[str, str]) -> dict[str, dict[str, float | None]]:
    """Every value as a share of the way from the worst net to the best, in [0, 1]; 1 where all nets have the same.

    (x - min) / (max - min) over the nets, and where lower is better (max - x) / (max - min), so that outward is better.

    Args:
        values: raw ones; the nets need not have the same metrics.
        better: "higher" or "lower", by metric; these are the metrics of the answer, in this order.
    """
    spans = {metric: _span([row.get(metric) for row in values.values()]) for metric in better}
    return {
        net: {metric: _share(row.get(metric), spans[metric], way) for metric, way in better.items()}
        for net, row in values.items()
    }


def means(verdict: Verdict) -> tuple[dict[str, dict[str, float | None]], dict[str, str]]:
    """The raw means of a verdict's nets and of what they are held against, and which way is better, by metric.

    One row stands for the dense nets of all seeds, their mean; nets whose seeds or dense nets are others have another.
    """
    better = {
        found.metric: str(found.better) for net in verdict.nets for found in net.metrics if found.better
    }
    values = {name: {metric: row.get(metric) for metric in better} for name, row in _dense(verdict).items()}
    for net in verdict.nets:
        values[net.name] = {found.metric: _number(found.mean) for found in net.metrics}
    return values, better


def reference(net: NetPart) -> str:
    """What a net is held against, in a word: `dense`, or `reference` where something of it is pruned."""
    whole = all(pair.dense.facts.kept == pair.dense.facts.prunable for pair in net.pairs)
    return "dense" if whole else "reference"


def _dense(verdict: Verdict) -> dict[str, dict[str, float]]:
    """A row for each set of dense nets, but for one that is part of a larger set which lacks nothing that it has."""
    groups: dict[frozenset[str], list[NetPart]] = {}
    for net in verdict.nets:
        groups.setdefault(frozenset(pair.dense.report for pair in net.pairs), []).append(net)
    rows = {dense: _known(nets) for dense, nets in groups.items()}
    kept = [
        one for one, row in rows.items()
        if not any(one < other and row.keys() <= rows[other].keys() for other in rows)
    ]  # fmt: skip
    first = {one: groups[one][0] for one in kept}
    alone = len(kept) == 1
    return {
        reference(net) if alone else f"{reference(net)} of {net.name}": rows[one]
        for one, net in first.items()
    }


def _known(nets: Sequence[NetPart]) -> dict[str, float]:
    """Of the dense nets of all `nets`, by metric; what a net lacks is not known of them either, but from another."""
    found = [(one.metric, _number(one.dense)) for net in nets for one in net.metrics]
    return {metric: value for metric, value in found if value is not None}


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _span(column: list[float | None]) -> tuple[float, float]:
    known = [value for value in column if value is not None and math.isfinite(value)]
    return (min(known), max(known)) if known else (0.0, 0.0)


def _share(value: float | None, span: tuple[float, float], way: str) -> float | None:
    low, high = span
    if value is None or not math.isfinite(value):
        return None
    if high == low:
        return 1.0
    half = high / 2 - low / 2  # halved, for high - low may be beyond the largest number
    part = (value / 2 - low / 2) / half
    return min(1.0, max(0.0, 1 - part if way == "lower" else part))
