"""What is put beside each other must have been measured alike: other inputs are refused before anything is judged."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.report import MetricRow, Report
from ticketctl.artifacts.verdict_models import Facts
from ticketctl.errors import MismatchError, UsageError
from ticketctl.stages.verdict_values import MODULES, Sets, rows_of

MACHINE = ("device_name", "cpu_capability", "threads")
"""Words on the machine: other chips round otherwise, by far less than any tolerance, and are let pass."""
MOST = 100
"""Nets of one verdict: its document stays within what readers take."""
COUNTED_OTHERWISE = ("hessian.trace", "compositional")
"""Metrics whose n is a number of samples, settled by a stop rule, or of the net's units."""
OF_THE_NET = ("layers", "dead", "dead_units", "best")
"""Words of a protocol that say what was found of the net, not how it was measured."""
SHOWN: Mapping[str, Sequence[str]] = {
    "corruption": ("test", "corrupt"),
    "ood": ("test", "ood"),
    "hessian": ("train",),
    "compositional": (),
}
"""Of a module the kinds of sets that it is shown; of others `test`."""
PACKAGES: Mapping[str, Sequence[str]] = {"lime": ("skimage",)}
"""Of a module the packages that its values are made with, beside those of `env`."""
_FEWER = re.compile(r"-n[0-9]+$")
"""How the name of a set ends of which not all images were shown."""


@dataclass(frozen=True, eq=False)
class Audited:
    """A net by its report and what else is known of it."""

    report: Report
    facts: Facts


@dataclass(frozen=True, eq=False)
class Pair:
    """A net and its dense net, both of the seed `seed` and initialisation `init`."""

    seed: int
    init: int
    net: Audited
    dense: Audited


@dataclass(frozen=True, eq=False)
class Net:
    """Nets of one kind and density, one of each seed, each beside its dense net.

    `name` tells it from others, `ladder` is that of all its levels; `density` is a Fraction's text, of the ticket;
    `left_out` are (seed, init) of runs without a partner.
    """

    name: str
    ladder: str
    density: str
    pairs: Sequence[Pair]
    left_out: Sequence[tuple[int, int]] = ()

    def reports(self) -> Iterator[Report]:
        """Of its nets and their dense nets."""
        for pair in self.pairs:
            yield from (pair.net.report, pair.dense.report)


def refuse_mixed(nets: Sequence[Net], sets: Sets) -> None:
    """Refuse reports that were not taken alike: other data, seeds, versions, devices, keys, sets of images, protocols.

    Of keys, protocols, sets and counts, only what the metrics of the verdict are read from is looked at.

    Raises:
        MismatchError: names the first difference and both runs.
        UsageError: no net, a net without pairs, a name, a seed or a run twice, or a report that is no audit.
    """
    _refuse_twice(nets)
    for pair in (pair for net in nets for pair in net.pairs):
        _refuse_other_images(pair)
    known: dict[str, tuple[Any, Report]] = {}
    for report in (report for net in nets for report in net.reports()):
        for key, value in sorted(_words(report, sets).items()):
            before, other = known.setdefault(key, (value, report))
            if before != value:
                word, *both = _narrowed(key, before, value)
                raise MismatchError(
                    f"{_run(other)} and {_run(report)} were audited differently: {word} is {_short(both[0])} and "
                    f"{_short(both[1])}; audit both alike"
                )


def _refuse_other_images(pair: Pair) -> None:
    """A net and its dense net are trained on the same images under the same labels: split and noise are of one seed."""
    ours, theirs = (_table(one.report.recipe.get("own")) for one in (pair.net, pair.dense))
    odd = next((name for name in ours if name in theirs and ours[name] != theirs[name]), None)
    if odd is not None:
        raise MismatchError(
            f"{_run(pair.net.report)} and {_run(pair.dense.report)} have other {odd} images, or other labels on them; "
            "a net is held against one of the same data, split and noise"
        )


def _refuse_twice(nets: Sequence[Net]) -> None:
    if not nets or not all(net.pairs for net in nets):
        raise UsageError("a verdict needs a net, and of each net a seed that its dense net has too")
    if len(nets) > MOST:
        raise UsageError(f"{len(nets)} nets are too many for one verdict; judge at most {MOST} at once")
    names = [net.name for net in nets]
    if len({*names}) < len(names):
        raise UsageError(f"{next(name for name in names if names.count(name) > 1)} stands twice in a verdict")
    for net in nets:
        for pairs in (
            [(pair.seed, pair.init) for pair in net.pairs],
            [pair.net.report.subject.run_id for pair in net.pairs],
            [pair.dense.report.subject.run_id for pair in net.pairs],
        ):
            if len({*pairs}) < len(pairs):
                raise UsageError(f"{net.name}: one run or seed stands there twice")
    for report in (report for net in nets for report in net.reports()):
        if report.kind != "audit":
            raise UsageError(f"a verdict is taken from audits; report {report.id} is of kind {report.kind}")


def _words(report: Report, sets: Sets) -> dict[str, Any]:
    """Everything that must be alike, by a name to show; what only one report has is compared with nothing.

    Of a metric that is read, the sets are one word: what only one report was shown tells them apart.
    """
    found: dict[str, Any] = {"data": report.data.name, "data fingerprint": report.data.fingerprint}
    found["audit seeds"] = dict(report.seeds)
    found |= {f"env {key}": value for key, value in report.env.items() if key not in MACHINE}
    modules = set(MODULES.values())
    keys = _table(report.recipe.get("keys"))
    found |= {f"metrics.{name}": value for name, value in keys.items() if name in modules}
    found["audit.images"] = _table(report.recipe.get("audit")).get("images") or "all"
    read = set()
    for metric, module in MODULES.items():
        rows = [row for row in rows_of(report, metric, sets) if row.status == "done"]
        for row in rows:
            found |= {f"protocol of {row.name}": _protocol(row, sets), f"direction of {row.name}": row.better}
            found |= {} if metric in COUNTED_OTHERWISE else {f"n of {row.name}": row.n}
        if rows:
            read.add(module)
            found[f"{_SETS}{metric}"] = _sets(report, module, sets)
    found |= {f"code of {name}": value for name, value in _code(report, read).items()}
    return {key: to_record(value) for key, value in found.items()}


_SETS = "sets of "


def _sets(report: Report, module: str, sets: Sets) -> dict[str, Any]:
    """Of what a module was shown, the sets that count."""
    kinds = SHOWN.get(module, ("test",))
    names = {name for name in ("test", "train") if name in kinds}
    if "ood" in kinds:
        names.add(f"ood-{sets.ood}".replace("_", "-"))
    if "corrupt" in kinds:
        names |= {
            f"corrupt-{name}-{level}".replace("_", "-") for name in sets.corruptions for level in range(1, 6)
        }
    shown = _table(report.recipe.get("sets"))
    return {name: words for name, words in shown.items() if _FEWER.sub("", name) in names}


def _code(report: Report, modules: Collection[str]) -> dict[str, Any]:
    """Versions of packages, and digests of somebody's own code, that the values of these modules depend on."""
    names = {f"metric {module}" for module in modules}
    names |= {package for module in modules for package in PACKAGES.get(module, ())}
    code = _table(report.recipe.get("code"))
    return {name: value for name, value in code.items() if name in names or name.startswith("net ")}


def _protocol(row: MetricRow, sets: Sets) -> dict[str, Any]:
    """How a value was measured: of sets that do not count nothing is said."""
    found = {key: value for key, value in row.protocol.items() if key not in OF_THE_NET}
    if row.metric == "ood":
        for key in found.keys() & {"counts", "restricted"}:
            found[key] = {name: one for name, one in _table(found[key]).items() if name in ("test", sets.ood)}
    if row.metric == "corruption":
        found.pop("corruptions", None)  # the order of rows of an array
        gaps = found.get("missing")
        if isinstance(gaps, list | tuple):
            found["missing"] = [gap for gap in gaps if str(gap).partition("/")[0] in sets.corruptions]
    return found


def _narrowed(key: str, before: Any, value: Any) -> tuple[str, Any, Any]:
    """Of sets the first that differs."""
    if not key.startswith(_SETS):
        return key, before, value
    name = min(name for name in {**before, **value} if before.get(name) != value.get(name))
    return f"set {name}", before.get(name, "not there"), value.get(name, "not there")


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _run(report: Report) -> str:
    return report.subject.run_id[:11]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 120 else f"{text[:117]}..."
