"""Under which keys an audit counts that a table's cell is read from, and which rows it will have. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ticketctl.artifacts.report import Report
from ticketctl.errors import UsageError, near_miss
from ticketctl.plugins import plugins
from ticketctl.recipe_audit import AuditRecipe, parse_audit
from ticketctl.recipe_files import read_recipe
from ticketctl.stages.measured import AUDITED, EXPLORED, needs_audit
from ticketctl.stages.papers import Cell
from ticketctl.stages.report_wants import check_explored, keys_unlike, table, unlike
from ticketctl.stages.verdict_values import EXTRA, MODULES, STANDARD

MCE, CORRUPTION, OOD = "mce", MODULES["mce"], MODULES["auroc"]
UNNAMED = ("sparsity", "train")
"""How rows begin that are called neither after their metric nor in its literals: those of cost and of gap."""


@dataclass(frozen=True)
class Wants:
    """Under which keys audits count."""

    name: str
    """Of the recipe."""
    recipe: AuditRecipe

    @property
    def chosen(self) -> tuple[str, ...]:
        """The metrics that it asks."""
        return self.recipe.chosen

    def difference(self, report: Report, module: str) -> str:
        """In what the report of the metric `module` was taken otherwise, or ""."""
        told = {"images": table(report.recipe.get("audit")).get("images")}
        said = keys_unlike(report, "metrics", module, self.recipe.metrics.get(module, {}))
        said = said or unlike(told, {"images": self.recipe.audit.images}, "audit")
        shown = table(report.recipe.get("sets"))
        if said or module not in (CORRUPTION, OOD):
            return said
        return self._corrupted(shown) if module == CORRUPTION else self._outside(shown)

    def _outside(self, shown: Mapping[str, Any]) -> str:
        """Of the sets that no class of the net has."""
        names = {str(one[0]) for name, one in shown.items() if name.startswith("ood-")}
        wanted = self.recipe.audit.ood
        same = wanted is None or names == {name.partition(":")[0] for name in wanted}
        return "" if same else f"audit.ood {', '.join(sorted(names))} instead of {', '.join(wanted or ())}"

    def _corrupted(self, shown: Mapping[str, Any]) -> str:
        """Of the corrupted sets; images of some forms have none, and a folder of the user's may lack some."""
        words = [one[3] for name, one in shown.items() if name.startswith("corrupt-")]
        spec = self.recipe.audit
        usual = {"standard": STANDARD, "all": STANDARD + EXTRA}
        names = usual[spec.corruptions] if isinstance(spec.corruptions, str) else spec.corruptions
        ours = {(one["corruption"], one["severity"]) for one in words}
        every = {(name, severity) for name in names for severity in spec.severities}
        if not ours or ours == every or (spec.corrupted is not None and ours < every):
            return ""
        return f"other corruptions than {self.name} has"


def wants_of(name: str) -> Wants:
    """What the recipe of an audit asks for.

    Raises:
        UsageError: there is no such recipe, or it is one of a training.
    """
    return _wants(name) if name.endswith(".toml") else _shipped_wants(name)  # a user's file may change


@cache
def _shipped_wants(name: str) -> Wants:
    return _wants(name)


def _wants(name: str) -> Wants:
    return Wants(name, parse_audit(read_recipe(name), where=name))


def check_audit(cell: Cell) -> None:
    """Refuse a row of a report that no audit under the cell's recipe has.

    Raises:
        UsageError: no such recipe, or a row that nothing measures, or that another metric than the recipe's does.
    """
    if cell.reading is not None and cell.reading.kind in EXPLORED:
        try:
            check_explored(cell.metric, cell.reading)
        except UsageError as error:
            raise UsageError(f"row {cell.row!r}: {error}") from None
    if cell.audit is None or not needs_audit(cell.metric):
        return
    try:
        check_row(cell.metric, cell.audit)
    except UsageError as error:
        raise UsageError(f"row {cell.row!r}: {error}") from None


def check_row(metric: str, audit: str) -> None:
    """Refuse a row that no audit under the recipe has.

    Args:
        metric: `audit.ece`, `ratio.nll`.
        audit: the recipe's name.

    Raises:
        UsageError: no such recipe, or a row that nothing measures, or that another metric than the recipe's does.
    """
    chosen = wants_of(audit).recipe.chosen
    kind, _, name = metric.partition(".")
    begin, known = name.partition(".")[0], _beginnings()
    if kind not in AUDITED or known.get(begin, set()) & {*chosen} or begin in UNNAMED:
        return
    if begin not in known:
        raise UsageError(f"no {name!r} in an audit; {near_miss(begin, known)}")
    raise UsageError(f"{audit} does not measure {name}; it has {', '.join(chosen)}")


@cache
def _beginnings() -> Mapping[str, set[str]]:
    """How rows begin, and the metrics that they are of."""
    found: dict[str, set[str]] = {MCE: {CORRUPTION}}
    for name, one in plugins("metrics").items():
        for row in (name, *one.literals.get("BETTER", {}), *one.literals.get("VERDICT", ())):
            found.setdefault(row.partition(".")[0], set()).add(name)
    return found
