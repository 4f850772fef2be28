"""Under which keys a probe, transfer or interpolation counts that a table's cell is read from. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.report import Report
from ticketctl.data.load import form_of
from ticketctl.errors import UsageError, near_miss
from ticketctl.plugins import defaults, plugins
from ticketctl.recipe_base import Measuring
from ticketctl.recipe_explore import RECIPES, InterpolateRecipe, parse_explore
from ticketctl.recipe_files import read_recipe
from ticketctl.stages.measured import Reading
from ticketctl.stages.recorded import same

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ONSET = "onset"
"""What stands for a plug-in where the onset of stability was searched for."""
LINE = "line"
"""The curve whose barrier says what is stable."""
FORM = "form"
"""What a transfer keeps of a net of which nothing is taken but its form: the reference that is trained anew."""
TWINS = 3
"""Of a ticket (paper 003, section 3.2: three copies)."""
UNNAMED = {"val", "train", "test"}
"""How rows of curves begin that are called after the images."""


@dataclass(frozen=True)
class ExploreWants:
    """Under which keys probes, transfers or interpolations count."""

    name: str
    """Of the recipe."""
    recipe: Measuring

    @property
    def chosen(self) -> tuple[str, ...]:
        """The plug-ins that it asks."""
        return (ONSET,) if self._onset else self.recipe.chosen

    @property
    def _onset(self) -> Mapping[str, Any] | None:
        found = self.recipe.onset if isinstance(self.recipe, InterpolateRecipe) else None
        return None if found is None else found.model_dump(mode="json")

    def difference(self, report: Report, module: str) -> str:
        """In what the report of the plug-in `module` was taken otherwise, or ""."""
        kind, onset = self.recipe.PLUGINS, self._onset
        if onset is not None:
            told = table(report.recipe.get(ONSET))
            if not told:
                return "no onset was searched for"
            return unlike(told, onset, ONSET) or keys_unlike(
                report, kind, LINE, self.recipe.tables.get(LINE, {})
            )
        own = self.recipe.model_dump(mode="json")[self.recipe.TABLE]
        told = dict(table(report.recipe.get(self.recipe.TABLE)))
        scale = table(table(report.recipe.get("target")).get("statistics")).get("of")
        scaled = {"statistics": scale} if scale else {}
        if told.get("keep") == FORM:  # a dense net was trained, and there is no head with keys
            return unlike(scaled, {key: own[key] for key in scaled}, self.recipe.TABLE)
        told |= scaled
        said = keys_unlike(report, kind, module, self.recipe.tables.get(module, {}))
        return said or unlike(told, {key: own[key] for key in own if key in told}, self.recipe.TABLE)


def keys_unlike(report: Report, kind: str, module: str, given: Mapping[str, Any]) -> str:
    """In which key of a plug-in the report was taken otherwise than `given` and the defaults say, or ""."""
    every = table(report.recipe.get("keys"))
    if module not in every:
        return f"{module} was not measured"
    wanted: Mapping[str, Any] = to_record({**_defaults(kind, module), **given})
    return unlike(table(every[module]), wanted, f"{kind}.{module}")


def unlike(told: Mapping[str, Any], wanted: Mapping[str, Any], where: str) -> str:
    """The first key in which a report says otherwise than it should, or ""."""
    for key, value in wanted.items():
        own = told.get(key)
        alike = own == value or same(str(own), str(value))
        if not alike and not _DIGEST.fullmatch(str(own)):  # what a path leads to has no name
            return f"{where}.{key} {_all(own)} instead of {_all(value)}"
    return ""


def explore_wants(name: str, kind: str) -> ExploreWants:
    """What the recipe of a probe, transfer or interpolation asks for.

    Raises:
        UsageError: there is no such recipe, or it is another command's.
    """
    # a user's file may change
    return _wants(name, kind) if name.endswith(".toml") else _shipped_wants(name, kind)


@cache
def _shipped_wants(name: str, kind: str) -> ExploreWants:
    return _wants(name, kind)


def _wants(name: str, kind: str) -> ExploreWants:
    if not name.endswith(".toml") and not name.startswith(f"{kind}/") and name.partition("/")[0] in RECIPES:
        raise UsageError(f"{name} is no recipe of {kind}; those begin with {kind}/")
    return ExploreWants(name, parse_explore(kind, read_recipe(name), where=name))


def check_explored(metric: str, reading: Reading) -> None:
    """Refuse a row of a report that no report under the recipe has.

    Raises:
        UsageError: no such recipe, or a row that nothing measures, or that another plug-in than the recipe's does.
    """
    assert reading.recipe is not None
    chosen = explore_wants(reading.recipe, reading.kind).chosen
    if (reading.of == ONSET) != (chosen == (ONSET,)):
        raise UsageError(f'{reading.recipe}: the onset is of = "onset", by a recipe with [onset]')
    if (reading.kind == "transfer") != bool(reading.to):
        raise UsageError(f'{metric}: a transfer goes to a data set: over = "target"; nothing else does')
    if reading.to:
        form_of(reading.to)
    name = metric.partition(".")[2]
    begin = name.partition(".")[0].partition("/")[0]
    known = {ONSET: {ONSET}} if chosen == (ONSET,) else _beginnings(reading.kind)
    if begin in UNNAMED or known.get(begin, set()) & {*chosen}:
        return
    if begin not in known:
        raise UsageError(f"no {name!r} in a report of {reading.kind}; {near_miss(begin, known)}")
    raise UsageError(f"{reading.recipe} does not measure {name}; it has {', '.join(chosen)}")


@cache
def _beginnings(kind: str) -> Mapping[str, set[str]]:
    """How rows begin, and the plug-ins that they are of."""
    found: dict[str, set[str]] = {}
    for name, one in plugins("curves" if kind == "interpolate" else "metrics").items():
        for row in (name, *one.literals.get("BETTER", {})):
            found.setdefault(row.partition(".")[0], set()).add(name)
    return found


def table(value: object) -> Mapping[str, Any]:
    """The value, if it is a table, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def _all(value: object) -> object:
    return "all" if value is None else value


@cache
def _defaults(kind: str, module: str) -> Mapping[str, Any]:
    return defaults(kind, module)
