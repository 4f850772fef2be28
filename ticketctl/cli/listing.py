"""`ticketctl list`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.complete import listed, listed_name
from ticketctl.cli.output import note, percent, print_json, print_line, print_table, terminal_width, visible
from ticketctl.cli.search import Range, Verdict, told_of_slips
from ticketctl.cli.words import data_column, data_words, tweak_words
from ticketctl.errors import UsageError, near_miss

if TYPE_CHECKING:
    from ticketctl.artifacts.models import RunManifest, TicketManifest
    from ticketctl.plugins import Plugin
    from ticketctl.stages.shortlist import Wish

KINDS = {
    "methods": "draws", "tweaks": "tweaks", "metrics": "metrics", "curves": "curves", "figures": "figures",
    "models": "nets", "data": "data", "dialects": "dialects",
}  # fmt: skip
FACTS = {
    "draws": {"cost": "epochs", "nested": "nested"},
    "tweaks": {"changes": "changes", "cost": "cost"},
    "metrics": {"data": "data", "cost": "cost"},
    "curves": {"nets": "nets", "cost": "cost"},
    "figures": {"from": "from", "papers": "papers"},
    "dialects": {"files": "files", "exact": "exact", "export": "export"},
}
"""Facts with room in the table of all, and their columns."""
LEAST = 30
"""Signs of a line that what a plug-in is takes at least."""

GROUP_TITLES = {
    "at": "paper 001's architecture tweaks",
    "trt": "paper 001's training tweaks",
    "at+trt": "paper 001's tweaks of the architecture and of the training",
}


def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="tickets, runs, methods, tweaks, metrics, curves, figures, models, data or dialects.",
            autocompletion=listed,
        ),
    ] = "tickets",
    name: Annotated[
        str | None,
        typer.Argument(
            help="One method, tweak, model or data set: what it does, and its keys.",
            autocompletion=listed_name,
        ),
    ] = None,
    controls: Annotated[
        bool, typer.Option("--controls", help="Also the control tickets; --json has them always.")
    ] = False,
    model: opt.Model = None,
    data: opt.Data = None,
    method: opt.Method = None,
    density: Range = None,
    verdict: Verdict = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """List the tickets and runs of the workspace, or what ticketctl can draw and spend with."""
    if name is not None and what in ("tickets", "runs"):
        raise UsageError(f"list {what} takes no name; `ticketctl inspect {name}` says what one is")
    from ticketctl.stages.shortlist import wish

    wanted = wish(model=model, data=data, method=method, density=density, verdict=verdict)
    if wanted and what not in ("tickets", "runs"):
        raise UsageError(f"list {what} takes no filters; --model and the like are for tickets and runs")
    if what == "tickets":
        _tickets(workspace, json, controls, wanted)
    elif what == "runs":
        _runs(workspace, json, wanted)
    elif what in KINDS:
        _plugins(KINDS[what], name, json)
    else:
        raise UsageError(f"cannot list {what!r}; {near_miss(what, ['tickets', 'runs', *KINDS])}")


def _tickets(workspace: Path, json: bool, controls: bool, wanted: Wish) -> None:
    from ticketctl.artifacts.workspace import tickets
    from ticketctl.stages.shortlist import tickets_like

    found = tickets_like(tickets(workspace), wanted, workspace)
    told_of_slips(found, wanted)
    if json:
        print_json([_ticket_record(folder, manifest, workspace) for folder, manifest in found])
        return
    shown = [pair for pair in found if controls or pair[1].control is None]
    if found:
        _ticket_table(shown, workspace)
    else:
        print_line(
            visible(
                f"no tickets{' like that' if wanted else ''} below {workspace}; `ticketctl draw` makes one"
            )
        )
    if hidden := len(found) - len(shown):
        what = "1 control ticket is" if hidden == 1 else f"{hidden} control tickets are"
        note(f"{what} not shown: ticketctl list --controls")


def _ticket_record(folder: Path, manifest: TicketManifest, workspace: Path) -> dict[str, Any]:
    return {
        "ticket_id": manifest.ticket_id,
        "name": folder.relative_to(workspace).as_posix(),
        "method": manifest.draw.method,
        **_given(manifest.draw.recipe),
        "kept": manifest.mask.kept,
        "prunable": manifest.mask.prunable,
        "control": manifest.control.kind if manifest.control else None,
    }


def _given(recipe: Mapping[str, Any]) -> dict[str, str | None]:
    """Labels and images that are not the data set's own, in words; null where they are."""
    return {"noise": None, "subset": None, "drop": None, **data_words(recipe)}


def _ticket_table(found: Sequence[tuple[Path, TicketManifest]], workspace: Path) -> None:
    columns = {"ticket": [manifest.ticket_id[:11] for _, manifest in found]}
    columns["name"] = [folder.relative_to(workspace).as_posix() for folder, _ in found]
    columns["method"] = [manifest.draw.method for _, manifest in found]
    columns["control"] = [manifest.control.kind if manifest.control else "" for _, manifest in found]
    columns["data"] = [data_column(manifest.draw.recipe) for _, manifest in found]
    shares = [100 * manifest.mask.kept / manifest.mask.prunable for _, manifest in found]
    columns["density %"] = [f"{share:.2f}" for share in shares]
    _print_columns(columns, optional=("control", "data"), right=1)


def _runs(workspace: Path, json: bool, wanted: Wish) -> None:
    from ticketctl.artifacts.workspace import runs
    from ticketctl.stages.shortlist import runs_like

    found = runs_like(runs(workspace), wanted, workspace)
    told_of_slips(found, wanted)
    if json:
        print_json(run_records(found, workspace))
    elif found:
        run_table(found, workspace)
    else:
        like = " like that" if wanted else ""
        print_line(
            visible(f"no runs{like} below {workspace}; `ticketctl draw` and `ticketctl spend` make them")
        )


def run_records(found: Sequence[tuple[Path, RunManifest]], root: Path) -> list[dict[str, Any]]:
    """Runs in JSON; the name of each is its place below `root`, `changed` what its draw did otherwise."""
    from ticketctl.stages.departures import departures

    changed = departures(found)
    return [_run_record(*pair, root, keys) for pair, keys in zip(found, changed, strict=True)]


def _run_record(
    folder: Path, manifest: RunManifest, root: Path, changed: Mapping[str, str]
) -> dict[str, Any]:
    accuracy, tweaks = manifest.metrics.get("test.accuracy"), list(manifest.arch.tweaks)
    tables: Any = manifest.recipe.get("tweaks") or {}
    return {
        "run_id": manifest.run_id,
        "name": folder.relative_to(root).as_posix(),
        "level": manifest.level,
        "seed": manifest.seeds["root"],
        "tweaks": tweaks,
        "tweak_keys": {name: tables[name] for name in tweaks if tables.get(name)},
        **_given(manifest.recipe),
        "changed": dict(changed),
        "status": manifest.status,
        "test_accuracy": float(accuracy) if accuracy else None,
    }


def run_table(found: Sequence[tuple[Path, RunManifest]], root: Path) -> None:
    """Runs by their places below `root`, and what tells them apart."""
    from ticketctl.stages.otherwise import folded

    manifests = [manifest for _, manifest in found]
    records = run_records(found, root)
    columns = {
        "run": [record["run_id"][:11] for record in records],
        "name": [record["name"] for record in records],
        "tweaks": [tweak_words(manifest.arch.tweaks, manifest.recipe) for manifest in manifests],
        "data": [data_column(manifest.recipe) for manifest in manifests],
        "changed": [folded(record["changed"]) for record in records],
        "level": [str(manifest.level) for manifest in manifests],
        "seed": [str(record["seed"]) for record in records],
        "density %": [f"{100 * manifest.kept / manifest.prunable:.2f}" for manifest in manifests],
        "test %": [percent(record["test_accuracy"]) for record in records],
        "status": [manifest.status for manifest in manifests],
    }
    _print_columns(columns, optional=("tweaks", "data", "changed"), right=5)


def _print_columns(columns: Mapping[str, Sequence[str]], *, optional: Sequence[str], right: int) -> None:
    """A table whose last `right` columns are flush right; optional ones are left out where they say nothing."""
    shown = {name: cells for name, cells in columns.items() if name not in optional or any(cells)}
    rows = list(zip(*shown.values(), strict=True))
    print_table(list(shown), rows, left=len(shown) - right)


def _plugins(kind: str, name: str | None, json: bool) -> None:
    from ticketctl.plugins import describe, plugins, serving

    known = plugins(kind) | _only_written(kind)
    if kind == "tweaks" and name in _groups():
        _group(str(name), json)
    elif name is not None and name in _only_written(kind):
        print_json(_record(known[name])) if json else print_line(known[name].help)
    elif name is not None:
        text = describe(kind, name)
        if json:
            print_json({**_record(serving(kind, name)), "name": name, "description": text})
        else:
            print_line(text)
    elif json:
        print_json([_record(plugin) for plugin in known.values()])
    else:
        _plugin_table(list(known.values()), FACTS.get(kind, {}))
    if kind == "tweaks" and name is None and not json:
        said = "; ".join(f"{group}: {', '.join(parts)}" for group, parts in _groups().items())
        for line in textwrap.wrap(f"groups, typed like a tweak: {said}", max(LEAST, terminal_width())):
            print_line(line)


def _only_written(kind: str) -> dict[str, Plugin]:
    """Forms that `export` writes and no dialect reads."""
    from ticketctl.stages.forms import ONLY_WRITTEN

    return ONLY_WRITTEN if kind == "dialects" else {}


def _plugin_table(found: Sequence[Plugin], facts: Mapping[str, str]) -> None:
    """A line each; in a terminal without room for that, fewer facts and lines of its width."""
    columns = {"name": [plugin.name for plugin in found]}
    for key, title in facts.items():
        columns[title] = [plugin.facts.get(key, "").partition(";")[0] for plugin in found]
    said, width = [plugin.help for plugin in found], terminal_width()
    while len(columns) > 1 and width - _width(columns) < LEAST:
        columns.popitem()
    rows, room = [], max(LEAST, width - _width(columns))
    for *cells, text in zip(*columns.values(), said, strict=True):
        first, *more = textwrap.wrap(text, room) or [""]
        rows += [[*cells, first], *([""] * len(cells) + [line] for line in more)]
    print_table([*columns, "what it is"], rows, left=1 + len(columns))


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    """Signs that the columns take, with the space behind each."""
    return sum(max(map(len, [title, *cells])) + 2 for title, cells in columns.items())


def _groups() -> Mapping[str, tuple[str, ...]]:
    from ticketctl.stages.tweaking import GROUPS

    return GROUPS


def _group(name: str, json: bool) -> None:
    """What a group of tweaks stands for; it is no tweak of its own."""
    from ticketctl.plugins import plugins

    parts = _groups()[name]
    lines = [f"{name} stands for {', '.join(parts)}: {GROUP_TITLES[name]}.", ""]
    lines += [f"  {part:<12} {plugins('tweaks')[part].help}" for part in parts]
    lines += [
        "",
        f"`--tweaks {name}` is `--tweaks {','.join(parts)}`; `ticketctl list tweaks {parts[0]}` says more.",
    ]
    if json:
        print_json({"name": name, "tweaks": list(parts), "description": "\n".join(lines)})
    else:
        print_line("\n".join(lines))


def _record(plugin: Plugin | None) -> dict[str, Any]:
    """What a listing says of it in JSON; facts where it states any."""
    if plugin is None:
        return {"help": ""}
    facts = {"facts": dict(plugin.facts)} if plugin.facts else {}
    return {"name": plugin.name, "help": plugin.help, **facts}
