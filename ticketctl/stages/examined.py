"""From what was typed to the run that is audited and what is measured of it. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticketctl.artifacts.run import Run
from ticketctl.artifacts.workspace import resolve, resolve_run
from ticketctl.errors import MissingExtraError, UsageError
from ticketctl.plugins import plugins
from ticketctl.recipe_audit import AuditRecipe, parse_audit
from ticketctl.recipe_files import assignments, merge, read_recipe
from ticketctl.stages.explored import Explored, own_of, said, split
from ticketctl.stages.subjects import subjects_in

TABLES = ("audit", "data", "metrics", "model", "verdict")
"""What of `--set` an audit reads."""


@dataclass(frozen=True)
class Wanted(Explored):
    """What an audit measures."""

    recipe: AuditRecipe

    @property
    def needs(self) -> set[str]:
        """What the metrics are shown."""
        known = plugins("metrics")
        return {need for name in self.recipe.chosen for need in known[name].literals["NEEDS"]}


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
    own = own_of(typed, data, ("data", "model"))
    tables = merge(read_recipe(recipe) if recipe is not None else {}, typed)
    if names is not None:
        tables = merge(tables, {"audit": {"metrics": split(names)}})
    parsed = parse_audit(tables, where=said(names, typed, recipe) or "audit")
    _check_read(parsed, typed.get("metrics", {}))
    found = Wanted(parsed, bool(parsed.audit.metrics), own)
    if found.named and found.missing:
        raise MissingExtraError("; ".join(f"{name} {why}" for name, why in found.missing.items()))
    return found


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
            found |= dict.fromkeys(_as_typed(one.folder, name) for one in subjects_in([name], workspace)[0])
        else:
            found[run_of(name, workspace).folder] = None
    return [*found] if names else [run_of(None, workspace).folder]


def _as_typed(folder: Path, name: str) -> Path:
    """From here on, as a name is typed that is not absolute; as it is where it does not lie below."""
    here = Path.cwd().resolve()
    return folder if Path(name).is_absolute() or not folder.is_relative_to(here) else folder.relative_to(here)


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
