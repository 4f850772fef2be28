"""`ticketctl list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.complete import listed, listed_name
from ticketctl.cli.output import percent, print_json, print_line, print_table, visible
from ticketctl.errors import UsageError, near_miss

if TYPE_CHECKING:
    from ticketctl.plugins import Plugin

KINDS = {"methods": "draws", "tweaks": "tweaks", "models": "nets", "data": "data"}
FACTS = {
    "draws": {"cost": "epochs", "nested": "nested"},
    "tweaks": {"changes": "changes", "cost": "cost"},
}
"""Facts with room in the table of all, and their columns."""


def list_(
    what: Annotated[
        str, typer.Argument(help="tickets, runs, methods, tweaks, models or data.", autocompletion=listed)
    ] = "tickets",
    name: Annotated[
        str | None,
        typer.Argument(
            help="One method, tweak, model or data set: what it does, and its keys.",
            autocompletion=listed_name,
        ),
    ] = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """List the tickets and runs of the workspace, or what ticketctl can draw and spend with."""
    if name is not None and what in ("tickets", "runs"):
        raise UsageError(f"list {what} takes no name; `ticketctl inspect {name}` says what one is")
    if what == "tickets":
        _tickets(workspace, json)
    elif what == "runs":
        _runs(workspace, json)
    elif what in KINDS:
        _plugins(KINDS[what], name, json)
    else:
        raise UsageError(f"cannot list {what!r}; {near_miss(what, ['tickets', 'runs', *KINDS])}")


def _tickets(workspace: opt.Workspace, json: bool) -> None:
    from ticketctl.artifacts.workspace import tickets

    found = tickets(workspace)
    records = [
        {
            "ticket_id": manifest.ticket_id,
            "name": folder.relative_to(workspace).as_posix(),
            "method": manifest.draw.method,
            "kept": manifest.mask.kept,
            "prunable": manifest.mask.prunable,
            "control": manifest.control.kind if manifest.control else None,
        }
        for folder, manifest in found
    ]
    if json:
        print_json(records)
    elif not records:
        print_line(visible(f"no tickets below {workspace}; `ticketctl draw` makes one"))
    else:
        rows = [
            [str(r["ticket_id"])[:11], str(r["name"]), str(r["control"] or r["method"]),
             f"{100 * int(str(r['kept'])) / int(str(r['prunable'])):.2f}"]
            for r in records
        ]  # fmt: skip
        print_table(["ticket", "name", "method", "density %"], rows, left=3)


def _runs(workspace: opt.Workspace, json: bool) -> None:
    from ticketctl.artifacts.workspace import runs

    rows = []
    records = []
    for folder, manifest in runs(workspace):
        accuracy = manifest.metrics.get("test.accuracy")
        name = folder.relative_to(workspace).as_posix()
        test = float(accuracy) if accuracy else None
        records.append(
            {
                "run_id": manifest.run_id,
                "name": name,
                "level": manifest.level,
                "tweaks": list(manifest.arch.tweaks),
                "status": manifest.status,
                "test_accuracy": test,
            }
        )
        share = f"{100 * manifest.kept / manifest.prunable:.2f}"
        rows.append(
            [
                manifest.run_id[:11],
                name,
                ",".join(manifest.arch.tweaks),
                share,
                percent(test),
                manifest.status,
            ]
        )
    if json:
        print_json(records)
    elif not rows:
        print_line(visible(f"no runs below {workspace}; `ticketctl draw` and `ticketctl spend` make them"))
    else:
        print_table(["run", "name", "tweaks", "density %", "test %", "status"], rows, left=3)


def _plugins(kind: str, name: str | None, json: bool) -> None:
    from ticketctl.plugins import describe, plugins, serving

    known = plugins(kind)
    if name is not None:
        text = describe(kind, name)
        if json:
            print_json({**_record(serving(kind, name)), "name": name, "description": text})
        else:
            print_line(text)
    elif json:
        print_json([_record(plugin) for plugin in known.values()])
    else:
        facts = FACTS.get(kind, {})
        rows = [
            [plugin.name, *(plugin.facts.get(key, "").partition(";")[0] for key in facts), plugin.help]
            for plugin in known.values()
        ]
        print_table(["name", *facts.values(), "what it is"], rows, left=2 + len(facts))


def _record(plugin: Plugin | None) -> dict[str, Any]:
    """What a listing says of it in JSON; facts where it states any."""
    if plugin is None:
        return {"help": ""}
    facts = {"facts": dict(plugin.facts)} if plugin.facts else {}
    return {"name": plugin.name, "help": plugin.help, **facts}
