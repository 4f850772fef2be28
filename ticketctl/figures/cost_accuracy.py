"""What accuracy costs: multiply-adds, parameters, bytes or time of a net against its accuracy.

A point for each recipe and density, joined in the order of cost: the mean cost along the lower side, the
mean accuracy with a band of one sample deviation over seeds; the dense net of the same training is a point too. Costs
come from the audit `cost`: `macs.alive` counts the multiply-adds of the kept weights for one image, `macs.compact`
those of the compacted net, `time.compact` is its measured time. `steps` is the number of optimizer steps of the net's
own training, without the levels before it, and needs no audit.

Choices: counts of kept weights are what a net could cost; what it does cost on a machine is `time.*`, and times of
different machines or reports are not to be compared. The cost axis is logarithmic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ticketctl.errors import UsageError, listed
from ticketctl.figures.ladders import numbered
from ticketctl.figures.rows import SERIES, Value, by_place, reading, row_of, said, short, split, unit_of
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Family, Group, Net, Shelf, Stat

FACTS = {"from": "audits", "papers": ""}
STEPS = "steps"
COSTS: Mapping[str, tuple[str, str]] = {
    "macs": ("multiply-adds of all weights, one image", ""),
    "macs.alive": ("multiply-adds of the kept weights, one image", ""),
    "macs.compact": ("multiply-adds of the compacted net, one image", ""),
    "parameters": ("parameters", ""),
    "alive": ("parameters that are not masked", ""),
    "parameters.compact": ("parameters of the compacted net", ""),
    "bytes": ("size of its files", "bytes"),
    "time.dense": ("time of one image, as it is", "ms"),
    "time.compact": ("time of one image, compacted", "ms"),
    "time.csr": ("time of one image, as sparse matrices", "ms"),
    STEPS: ("optimizer steps of its training", ""),
}
"""What each is called, and its unit."""


@dataclass(frozen=True)
class Params:
    """What is drawn against what."""

    cost: str = "macs.alive"
    """A row of the audit `cost` without that word, or `steps`."""
    metric: str = "test.accuracy"
    """As a run's manifest names it; accuracies are shown in percent."""

    def __post_init__(self) -> None:
        if self.cost not in COSTS:
            raise UsageError(f"figures.cost-accuracy.cost = {self.cost!r} must be one of {listed([*COSTS])}")


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set, and further ones where there are many recipes.

    Raises:
        NothingError: no net with the cost and the metric.
    """
    cost, value = _cost(shelf, params.cost), reading(params.metric)
    known = [family for family in shelf.families if any(_point(one, cost, value) for one in family.groups)]
    if not known:
        raise NothingError(
            f"no net has both {params.cost} and {params.metric}; run: "
            f"ticketctl audit --metrics cost {shelf.place}, or choose figures.cost-accuracy.cost=steps"
        )
    for part, title, families in by_place(known):
        several = split(families, SERIES)
        for at, mine in enumerate(several):
            yield _sheet(shelf, numbered(part, at, len(several)), title, mine, params)


def _cost(shelf: Shelf, name: str) -> Value:
    """Reads the cost of a net; None where it has none, or one that has no place on a logarithmic axis."""
    if name == STEPS:
        return _steps
    read = shelf.read("audit", "cost")
    return lambda net: found if (found := read.value(net, f"cost.{name}")) and found > 0 else None


def _steps(net: Net) -> float | None:
    series = net.series()
    return float(series.step[-1]) if series is not None and len(series.step) and series.step[-1] > 0 else None


def _point(group: Group, cost: Value, value: Value) -> tuple[float, Stat] | None:
    """Mean cost and accuracy over the nets that stayed finite and have both."""
    both = [net for net in group.finite if cost(net) is not None and value(net) is not None]
    x, stat = Stat.of(map(cost, both)), Stat.of(map(value, both))
    return (x.mean, stat) if x and stat else None


def _sheet(shelf: Shelf, part: str, title: str, families: Sequence[Family], params: Params) -> Sheet:
    cost, value = _cost(shelf, params.cost), reading(params.metric)
    rows: list[tuple[Cell, ...]] = []
    for family in families:
        for group in family.groups:
            if point := _point(group, cost, value):
                rows.append((*row_of(short(family), point[0], point[1]), group.sparsity))
    nets = [net for family in families for net in family.nets]
    name, unit = COSTS[params.cost]
    others = () if params.cost == STEPS else shelf.read("audit", "cost").notes
    metric = params.metric.replace(".", " ")
    return Sheet(
        "cost-accuracy", "lines", f"{title}: {metric} against cost", Axis(name, unit, "log"),
        Axis(metric, unit_of(params.metric)), tuple(rows), part,
        columns=("panel", "series", "role", "x", "y", "low", "high", "n", "sparsity"),
        notes=(*said([row[:8] for row in rows], nets), "a point for each sparsity, joined by cost", *others),
        sources=tuple(dict.fromkeys(net.id for net in nets)),
    )  # fmt: skip
