"""The radar chart of paper 004 (Fig 1, 11): every metric on a scale of its own, from the worst net to the best.

It shows ranks among the nets that were chosen and nothing else: raw values belong beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ticketctl.artifacts.verdict import Verdict

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
    """The raw values of a verdict's nets and of their dense nets, and which way is better, by metric."""
    better = {
        found.metric: str(found.better) for net in verdict.nets for found in net.metrics if found.better
    }
    shared = len({tuple(pair.dense.report for pair in net.pairs) for net in verdict.nets}) == 1
    values: dict[str, dict[str, float | None]] = {}
    for net in verdict.nets:
        dense = "dense" if shared else f"dense of {net.name}"
        row = values.setdefault(dense, {})
        for found in net.metrics:  # of a net that lacks a metric, the dense value is not there either
            if row.get(found.metric) is None:
                row[found.metric] = _number(found.dense)
        values[net.name] = {found.metric: _number(found.mean) for found in net.metrics}
    return values, better


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
