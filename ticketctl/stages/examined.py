"""From what was typed to the run that is audited and what is measured of it. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ticketctl.artifacts.report_models import Kind
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.workspace import resolve, resolve_run
from ticketctl.errors import MissingExtraError, UsageError
from ticketctl.plugins import plugins
from ticketctl.recipe_audit import AuditRecipe, parse_audit
from ticketctl.recipe_files import assignments, merge, read_recipe
from ticketctl.stages.subjects import subjects_in

TABLES = ("audit", "data", "metrics", "model", "verdict")
"""What of `--set` an audit reads."""


@dataclass(frozen=True)
class Wanted:
    """What is to be measured."""

    recipe: AuditRecipe
    named: bool
    """Whether somebody named the metrics, rather than all being meant."""
    sets: Mapping[str, Any]
    """Of the run's own recipe: `data.name` and `model.name`."""

    @property
    def kind(self) -> Kind:
        """Of the reports."""
        return "audit"

    @property
    def tables(self) -> Mapping[str, Mapping[str, Any]]:
        """The keys of single metrics."""
        return self.recipe.metrics

    @property
    def spec(self) -> dict[str, Any]:
        """What of the audit's own table every value depends on."""
        return self.recipe.audit.model_dump(mode="json", include={"images"})

    @property
    def needs(self) -> set[str]:
        """What the metrics are shown."""
        known = plugins("metrics")
        return {need for name in self.recipe.chosen for need in known[name].literals["NEEDS"]}

    @property
    def missing(self) -> dict[str, str]:
        """Metrics whose packages are not here, and what says so."""
        found = {}
        for name in self.recipe.chosen:
            literals = plugins("metrics")[name].literals
            gone = [package for package in literals.get("IMPORTS", ()) if find_spec(package) is None]
            if gone:
                found[name] = f"needs {gone[0]}: pip install 'ticketctl[{literals['EXTRA']}]'"
        return found


def wanted(names: str | None, sets: Sequence[str], data: str | None, recipe: str | None = None) -> Wanted:
    """What `--recipe`, `--metrics`, `--set` and `--data` say, the later over the earlier.

    Raises:
        UsageError: no such recipe, metric, table or key; says the near miss.
        MissingExtraError: a metric was named whose packages are not here.
    """
    typed = assignments(sets)
    odd = next((table for table in typed if table not in TABLES), None)
    if odd is not None:
        raise UsageError(
            f"--set {odd}…: an audit has {', '.join(TABLES)}; a run is audited as it was trained"
        )
    flat = next((table for table, value in typed.items() if not isinstance(value, Mapping)), None)
    if flat is not None:
        raise UsageError(f"--set {flat}: write {flat}.KEY=VALUE")
    own: dict[str, Any] = {table: typed.pop(table) for table in ("data", "model") if table in typed}
    if data is not None:
        own["data"] = {**own.get("data", {}), "name": data}
    tables = merge(read_recipe(recipe) if recipe is not None else {}, typed)
    if names is not None:
        chosen = [name.strip() for name in names.split(",") if name.strip()]
        if not chosen:
            raise UsageError("--metrics names none; leave it out to measure all")
        tables = merge(tables, {"audit": {"metrics": chosen}})
    parsed = parse_audit(tables, where=_where(names, typed, recipe))
    _check_read(parsed, typed.get("metrics", {}))
    found = Wanted(parsed, bool(parsed.audit.metrics), own)
    if found.named and found.missing:
        raise MissingExtraError("; ".join(f"{name} {why}" for name, why in found.missing.items()))
    return found


def _where(names: str | None, typed: Mapping[str, Any], recipe: str | None) -> str:
    """What was said, for the error."""
    said = {"--metrics": names is not None, "--set": bool(typed), str(recipe): recipe is not None}
    return ", ".join(name for name, so in said.items() if so) or "audit"


def _check_read(recipe: AuditRecipe, typed: Mapping[str, Any]) -> None:
    """Nobody types a key in vain."""
    for name, table in typed.items():
        if name not in recipe.chosen:
            raise UsageError(
                f"--set metrics.{name}.{next(iter(table), 'KEY')}: {name} is not measured; add it to --metrics"
            )


def folders_of(names: Sequence[str], workspace: Path) -> list[Path]:
    """The folders of the runs that `names` mean: runs, or folders that hold runs at any depth; none: the newest.

    Raises:
        UsageError: no such run, or a ticket, whose trained nets are named.
        ArtifactError: a run is damaged.
    """
    found: dict[Path, None] = {}
    for name in names:
        if not name.strip():
            raise UsageError("a run's name is empty; leave it out for the newest (ticketctl list runs)")
        if _holds_runs(name, workspace):
            found |= dict.fromkeys(one.folder for one in subjects_in([name], workspace)[0])
        else:
            found[run_of(name, workspace).folder] = None
    return [*found] if names else [run_of(None, workspace).folder]


def _holds_runs(name: str, workspace: Path) -> bool:
    place = next((path for path in (Path(name), workspace / name) if path.is_dir()), None)
    return place is not None and not any((place / own).is_file() for own in ("run.json", "ticket.json"))


def run_of(name: str | None, workspace: Path) -> Run:
    """The run that `name` means; None: the newest.

    Raises:
        UsageError: no such run, or a ticket, whose trained nets are named.
    """
    try:
        return resolve_run(name, workspace)
    except UsageError as error:
        if name is None:
            raise
        try:
            ticket, level = resolve(name, workspace)
        except UsageError:
            raise error from None
    levels = ticket.folder.parent / "levels"
    own = levels / str(ticket.manifest.level if level is None else level)
    way = f"its trained net is {own}" if (own / "run.json").is_file() else f"train it: ticketctl spend {name}"
    raise UsageError(f"{name} is a ticket, and an audit wants a trained net; {way}")
