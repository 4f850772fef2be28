"""What the shell may complete after Tab: names only, found without importing torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from ticketctl.errors import UsageError
from ticketctl.store.expand import expanded

DEVICES = (("auto", "the GPU if there is one"), ("cpu", ""), ("cuda", "the first GPU"))

Found = list[tuple[str, str]]


def methods(incomplete: str) -> Found:
    """Draw methods with their line of help."""
    return _plugins("draws", incomplete)


def tweak_sets(incomplete: str) -> Found:
    """Tweaks and groups of them, after those that are typed already."""
    from ticketctl.stages.tweaking import GROUPS

    typed, comma, _ = incomplete.rpartition(",")
    groups = [(name, f"{', '.join(parts)} (paper 001)") for name, parts in GROUPS.items()]
    found = [*_plugins("tweaks", ""), *groups]
    return _begun([(f"{typed}{comma}{name}", text) for name, text in found], incomplete)


def metrics(incomplete: str) -> Found:
    """Metrics, after those that are typed already."""
    typed, comma, _ = incomplete.rpartition(",")
    found = [(f"{typed}{comma}{name}", text) for name, text in _plugins("metrics", "")]
    return _begun(found, incomplete)


def curves(incomplete: str) -> Found:
    """Curves, after those that are typed already."""
    typed, comma, _ = incomplete.rpartition(",")
    return _begun([(f"{typed}{comma}{name}", text) for name, text in _plugins("curves", "")], incomplete)


def figures(incomplete: str) -> Found:
    """Figures, after those that are typed already."""
    typed, comma, _ = incomplete.rpartition(",")
    return _begun([(f"{typed}{comma}{name}", text) for name, text in _plugins("figures", "")], incomplete)


def models(incomplete: str) -> Found:
    """Nets with their line of help; after `torchvision:` and `timm:` the nets there."""
    from ticketctl.nets._zoo_names import ZOOS, zoo_names

    zoo, colon, _ = incomplete.partition(":")
    if colon and zoo in ZOOS:
        return _begun([(f"{zoo}:{name}", "") for name in zoo_names(zoo)], incomplete)
    # lists have torchvision:NAME and MODULE:FUNCTION, which nobody types
    listed = [(name.removesuffix("NAME"), text) for name, text in _plugins("nets", incomplete)]
    return [(name, text) for name, text in listed if ":" not in name[:-1]]


def data(incomplete: str) -> Found:
    """Data sets with their line of help."""
    return _plugins("data", incomplete)


def recipes(incomplete: str) -> Found:
    """Shipped recipes, and the TOML files at hand."""
    from ticketctl.recipe_files import recipe_names

    return _begun([*((name, "") for name in recipe_names()), *_files(incomplete)], incomplete)


def _files(incomplete: str) -> Found:
    """The TOML files of the folder that is typed."""
    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") else typed.parent
    try:
        return [(name, "a file") for name in sorted(path.as_posix() for path in folder.glob("*.toml"))]
    except OSError:
        return []


def settings(incomplete: str) -> Found:
    """Keys of a recipe, those of tables in tables and of tweaks too, each with its `=`."""
    from ticketctl.plugins import keys, plugins
    from ticketctl.recipe import Recipe

    found = [
        key for section, table in Recipe.model_fields.items() for key in _below(section, table.annotation)
    ]
    found += [f"tweaks.{tweak}.{key}" for tweak in plugins("tweaks") for key in keys("tweaks", tweak)]
    return _begun([(f"{key}=", "") for key in found], incomplete)


def _below(table: str, kind: Any) -> Iterator[str]:
    """The keys of a table of a recipe; a key that is a table itself gives its own keys instead."""
    for one in (kind, *getattr(kind, "__args__", ())):
        for key, field in getattr(one, "model_fields", {}).items():
            if key != "params":
                name = f"{table}.{key}"
                yield from list(_below(name, field.annotation)) or [name]


def devices(incomplete: str) -> Found:
    """Words that `--device` takes."""
    return _begun(DEVICES, incomplete)


def tickets(ctx: typer.Context, incomplete: str) -> Found:
    """Names of the tickets in the workspace, the newest first."""
    from ticketctl.artifacts.workspace import ticket_folders

    root = _workspace(ctx)
    names = (folder.relative_to(root).as_posix().removesuffix("/ticket") for folder in ticket_folders(root))
    return _begun([(name, "") for name in names], incomplete)


def runs(ctx: typer.Context, incomplete: str) -> Found:
    """Names of the runs in the workspace, the newest first."""
    from ticketctl.artifacts.workspace import run_folders

    root = _workspace(ctx)
    return _begun([(folder.relative_to(root).as_posix(), "") for folder in run_folders(root)], incomplete)


def things(ctx: typer.Context, incomplete: str) -> Found:
    """Names of the tickets and runs in the workspace, the newest first."""
    return [*tickets(ctx, incomplete), *runs(ctx, incomplete)]


def sweeps(ctx: typer.Context, incomplete: str) -> Found:
    """Ids of the sweeps in the workspace with their titles, the newest first; and `newest` itself."""
    from ticketctl.stages.plan_files import plan_head, sweeps_in

    paths = sweeps_in(_workspace(ctx))
    found = [(path.parent.name, str(plan_head(path).get("title", ""))) for path in paths]
    return _begun([*found, *([("newest", found[0][1])] if found else [])], incomplete)


def plans(ctx: typer.Context, incomplete: str) -> Found:
    """What a plan is made of: the grids at hand, the shipped tables; and the sweeps."""
    from ticketctl.recipe_files import table_names
    from ticketctl.stages.grid_spec import is_grid

    grids = list[tuple[str, str]]()
    for name, _ in _files(incomplete):
        with suppress(UsageError):
            grids += [(name, "a grid")] * is_grid(Path(name))
    return [*_begun([*grids, *((name, "") for name in table_names())], incomplete), *sweeps(ctx, incomplete)]


def under_way(ctx: typer.Context, incomplete: str) -> Found:
    """Names of the draws and runs in the workspace, done or not: what is being written first."""
    from ticketctl.stages.underway import works

    root, found = _workspace(ctx), list[tuple[str, str]]()
    with suppress(UsageError):  # far too many
        found = [(one.folder.relative_to(root).as_posix(), one.state) for one in works(root)]
    return _begun(dict(reversed(found)).items(), incomplete)[::-1]


def listed(incomplete: str) -> Found:
    """What `list` lists."""
    kinds = (
        "tickets", "runs", "methods", "tweaks", "metrics", "curves", "figures", "models", "data", "dialects",
    )  # fmt: skip
    return _begun([(kind, "") for kind in kinds], incomplete)


def listed_name(ctx: typer.Context, incomplete: str) -> Found:
    """Names of the kind that `list` was asked for."""
    kind = {
        "methods": "draws",
        "tweaks": "tweaks",
        "metrics": "metrics",
        "curves": "curves",
        "figures": "figures",
        "models": "nets",
        "data": "data",
        "dialects": "dialects",
    }.get(str(ctx.params.get("what")))
    return _plugins(kind, incomplete) if kind else []


def forms(incomplete: str) -> Found:
    """Forms of `export` with their line of help."""
    from ticketctl.plugins import plugins
    from ticketctl.stages.forms import FORMS, ONLY_WRITTEN

    known = {**plugins("dialects"), **ONLY_WRITTEN}
    return _begun([(name, known[name].help) for name in FORMS], incomplete)


def _plugins(kind: str, incomplete: str) -> Found:
    from ticketctl.plugins import plugins

    return _begun([(plugin.name, plugin.help) for plugin in plugins(kind).values()], incomplete)


def _begun(found: Iterable[tuple[str, str]], incomplete: str) -> Found:
    return [(name, text) for name, text in found if name.startswith(incomplete)]


def _workspace(ctx: typer.Context) -> Path:
    typed = Path(ctx.params.get("workspace") or os.environ.get("TICKETCTL_WORKSPACE") or "runs")
    with suppress(UsageError):  # which the command says
        return expanded(typed)
    return typed
