"""The commands that take again the reports behind a page: audits, probes, transfers and interpolations. No torch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ticketctl.artifacts.report import Report
from ticketctl.artifacts.report_models import UNTRAINED
from ticketctl.errors import TicketctlError
from ticketctl.figures.page.words import PLACE, private
from ticketctl.plugins import defaults
from ticketctl.recipe_explore import InterpolateSpec
from ticketctl.recipe_files import merge, parse_recipe, read_recipe
from ticketctl.stages.named import lacks_place
from ticketctl.stages.recorded import same
from ticketctl.stages.repeat import settings
from ticketctl.stages.report_wants import ONSET, table
from ticketctl.stages.request import Typed, draw_recipe
from ticketctl.stages.whereabouts import ends_of

RUNS, TICKET = "RUNS", "TICKET"
_ONSET = "interpolate/onset"
"""The recipe of an onset."""


@dataclass(frozen=True)
class _Of:
    """What is measured, as it is typed."""

    nets: tuple[str, ...]
    levels: frozenset[int] = frozenset()
    """Of a ticket, each measured alone."""
    more: tuple[str, ...] = ()


def measurements(reports: Sequence[Report]) -> list[str]:
    """The lines that take reports again, each with all levels, and with every key that is not at its default."""
    levels: dict[tuple[tuple[str, ...], tuple[str, ...]], set[int]] = {}
    for report in reports:
        of = _of(report)
        words = (("ticketctl", report.kind, *of.nets), (*of.more, *_rest(report)))
        levels.setdefault(words, set()).update(of.levels)
    lines: list[str] = []
    for (begin, rest), own in levels.items():
        told = ("--level", _listed(own)) if own else ()
        lines.append(shlex.join([*begin, *told, *rest]))
    return sorted(lines)


def data_name(name: object) -> str:
    """A data set's name as it is typed, with a stand-in for the place of data that lie somewhere."""
    return private(f"{name}:{PLACE}" if lacks_place(str(name)) else str(name))


# --------------------------------------------------------------------------------------------------------- of what


def _of(report: Report) -> _Of:
    """Runs, levels of a ticket, twins of them, a path between either, or a net by its name."""
    said, ends = report.subject, ends_of(report)
    if ONSET in report.recipe:
        return _initialised(report)
    if len(ends) > 1:
        return _path(said.level, ends)
    if said.run_id != UNTRAINED:
        return _Of((RUNS,))
    untrained = ("--set", "interpolate.of=untrained") if report.kind == "interpolate" else ()
    return _Of((TICKET,), frozenset({said.level}), untrained)


def _path(level: int, ends: Sequence[Mapping[str, Any]]) -> _Of:
    """Ends are named by what they are: twin-0, level-0, or by numbers."""
    names, runs = [str(end.get("name")) for end in ends], [str(end.get("run_id")) for end in ends]
    if all(name.startswith("twin-") for name in names):
        return _Of((TICKET,), frozenset({level}), ("--twins", str(len(ends))))
    if all(name.startswith("level-") for name in names):
        between = _listed(int(name.removeprefix("level-")) for name in names)
        untrained = ("--set", "interpolate.of=untrained") if {*runs} == {UNTRAINED} else ()
        return _Of((TICKET, "--level", between), more=untrained)
    return _Of(tuple(TICKET if run == UNTRAINED else run for run in runs))


def _initialised(report: Report) -> _Of:
    """The dense net that an onset is searched for of, by its recipe: it need not have been drawn."""
    training = table(report.recipe.get("training"))
    model, data = (table(training.get(key)).get("name") for key in ("model", "data"))
    words = ("--model", str(model), "--data", data_name(data))
    try:
        given = draw_recipe(Typed(model=str(model), data=str(data))).recipe
        own = parse_recipe(merge(given.record(), training), where="the recipe")  # its numbers are words there
    except TicketctlError:  # data that lie somewhere, or a net of somebody else's modules
        return _Of((*words, "--recipe", _ONSET))
    changed = [
        one
        for one in settings(given.record(*training), own.record(*training))
        if not one.startswith(("model.name=", "data.name="))
    ]
    return _Of((*words, "--recipe", _ONSET), more=tuple(word for one in changed for word in ("--set", one)))


# ------------------------------------------------------------------------------------------------------- how it is


def _rest(report: Report) -> Iterator[str]:
    """Where to, which plug-ins, seed and keys."""
    keys, kind = table(report.recipe.get("keys")), "curves" if report.kind == "interpolate" else "metrics"
    if report.kind == "transfer":
        yield from ("--to", data_name(table(report.recipe.get("target")).get("name")))
    elif ONSET not in report.recipe:
        yield from ("--metrics", ",".join(map(str, keys)))
    if seed := report.seeds.get("root", 0):
        yield from ("--seed", str(seed))
    for one in _sets(report, kind, keys):
        yield from ("--set", one)


def _sets(report: Report, kind: str, keys: Mapping[str, Any]) -> Iterator[str]:
    usual = {"interpolate": InterpolateSpec().model_dump(mode="json")}
    for name in (report.kind, ONSET):
        for key, value in table(report.recipe.get(name)).items():
            if value is not None and not _is_usual(usual.get(name, {}), key, value):
                yield f"{name}.{key}={_written(value)}"
    base = table(read_recipe(_ONSET).get(kind)) if ONSET in report.recipe else {}
    for name, own in keys.items():
        known = {**defaults(kind, str(name)), **table(base.get(name))} if isinstance(own, Mapping) else {}
        for key, value in own.items() if isinstance(own, Mapping) else ():
            if value is not None and not _is_usual(known, key, value):
                yield f"{kind}.{name}.{key}={_written(value)}"


def _is_usual(known: Mapping[str, Any], key: str, value: Any) -> bool:
    return key in known and same(_written(known[key]), _written(value))


def _written(value: Any) -> str:
    """As `--set` takes it."""
    if isinstance(value, str):
        return private(value)
    if isinstance(value, Fraction):
        return str(value)
    return json.dumps(list(value) if isinstance(value, tuple) else value, default=str)


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(map(str, sorted(numbers)))
