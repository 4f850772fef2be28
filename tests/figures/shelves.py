"""Shelves made by hand: families, nets, reports of round numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ticketctl.artifacts.report import MetricRow, Report, ReportData, Subject
from ticketctl.artifacts.series import Series
from ticketctl.figures.shelf import Drawn, Family, Group, Net, Shelf

DIGEST = "sha256:" + "0" * 64


def row(
    name: str, value: float | None, metric: str | None = None, *, n: int = 100, error: float | None = None
) -> MetricRow:
    """A value of a report."""
    status = "done" if value is not None else "absent"
    why = "" if value is not None else "not there"
    return MetricRow(name, metric or name.partition(".")[0], "none", value, error, n, status, why)


def report(
    kind: str,
    rows: Sequence[MetricRow],
    arrays: Mapping[str, Any] | None = None,
    *,
    keys: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
    number: int = 0,
) -> Report:
    """A report of some kind."""
    asked = {one.metric: {} for one in rows} | dict(keys or {})
    return Report(
        kind=kind,
        subject=Subject(run_id="rn1" + "a" * 29, ticket="dense", level=0, weights=DIGEST, status="done"),
        data=ReportData(name="digits", fingerprint="f"),
        seeds={"root": 0},
        env={},
        recipe={"keys": asked, **(recipe or {})},
        sources={},
        metrics=tuple(rows),
        arrays={name: np.asarray(array) for name, array in (arrays or {}).items()},
        id=f"rp1{number:029d}",
        digest=DIGEST,
    )


def net(
    *,
    level: int = 0,
    density: float = 1.0,
    seed: int = 0,
    values: Mapping[str, float] | None = None,
    reports: Mapping[tuple[str, str], Sequence[Report]] | None = None,
    series: Series | None = None,
    record: Mapping[str, Any] | None = None,
    samples: Mapping[str, Any] | None = None,
    mask: Any = None,
    settings: Mapping[str, str] | None = None,
    diverged: bool = False,
    ticket: str | None = None,
) -> Net:
    """A trained net; what is not said is not there."""
    known = {pair: tuple(found) for pair, found in (reports or {}).items()}
    return Net(
        id=f"rn1{level:014d}{seed:015d}",
        ticket=ticket or ("dense" if density == 1 else f"tk1{seed:029d}"),
        level=level,
        density=density,
        seeds=(seed, seed),
        diverged=diverged,
        values=dict(values or {}),
        settings=dict(settings or {}),
        place=f"runs/net/seed-{seed}/levels/{level}",
        series=lambda: series,
        record=lambda: dict(record or {}),
        mask=lambda: mask,
        reports=lambda kind, of: known.get((kind, of), ()),
        samples=lambda name: (samples or {}).get(name),
    )


def family(
    label: str,
    nets: Sequence[Net],
    *,
    dense: Group | None = None,
    method: str = "imp",
    name: str = "lenet-300-100",
    data: str = "digits",
    control: str = "",
    tweaks: tuple[str, ...] = (),
    apart: Mapping[str, str] | None = None,
) -> Family:
    """Nets by density, the densest first; a dense family is its own dense net."""
    by_density: dict[float, list[Net]] = {}
    for one in nets:
        by_density.setdefault(one.density, []).append(one)
    groups = tuple(Group(density, tuple(by_density[density])) for density in sorted(by_density, reverse=True))
    own = groups[0] if method == "dense" else dense
    return Family(label, dict(apart or {}), name, data, method, control, tweaks, groups, own)


def ladder(
    accuracy: Mapping[float, Sequence[float]], *, dense: Sequence[float] = (0.9, 0.92), label: str = "imp"
) -> tuple[Family, Family]:
    """A dense family and a ladder: test accuracies of seeds 0, 1, ... by density."""
    whole = family(
        "dense", [net(seed=at, values={"test.accuracy": one}) for at, one in enumerate(dense)], method="dense"
    )
    levels = [
        net(level=level, density=density, seed=at, values={"test.accuracy": one})
        for level, (density, found) in enumerate(sorted(accuracy.items(), reverse=True), 1)
        for at, one in enumerate(found)
    ]
    return whole, family(label, levels, dense=whole.groups[0])


def drawn(
    keep: Mapping[int, Mapping[str, Any]], *, label: str = "imp", seed: int = 0, method: str = "imp"
) -> Drawn:
    """A ticket of masks by level."""
    masks = {
        level: {name: np.asarray(one, bool) for name, one in mask.items()} for level, mask in keep.items()
    }
    last = masks[max(masks)]
    return Drawn(
        id=f"tk1{seed:029d}",
        label=label,
        net="lenet-300-100",
        data="digits",
        method=method,
        control="",
        seed=seed,
        kept={level: int(sum(one.sum() for one in mask.values())) for level, mask in masks.items()},
        prunable=sum(one.size for one in last.values()),
        layers={name: one.shape for name, one in last.items()},
        keep=lambda level: masks[level],
        facts={},
    )


def shelf(*families: Family, **more: Any) -> Shelf:
    """All of them."""
    return Shelf(families, **more)


def steps(make: Callable[[int, float, int], Net]) -> list[Net]:
    """Nets of three levels, two seeds each: made of level, density and seed."""
    return [make(level, 0.5**level, seed) for level in (1, 2, 3) for seed in (0, 1)]


def beside(dense: Sequence[Net], **ladders: Sequence[Net]) -> Shelf:
    """Ladders by their labels, and the dense nets of all of them."""
    whole = family("dense", dense, method="dense")
    return shelf(whole, *(family(label, nets, dense=whole.groups[0]) for label, nets in ladders.items()))


def told(of: Shelf, kind: str, module: str, **protocol: Any) -> Shelf:
    """The same shelf; its reports of a plug-in say how it was measured."""
    for one in (found for each in of.nets for found in each.reports(kind, "trained")):
        for value in (value for value in one.metrics if value.metric == module):
            value.protocol.update(protocol)  # a dictionary, as `row` makes it
    return of
