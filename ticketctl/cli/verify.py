"""`ticketctl verify`."""

from __future__ import annotations

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.inspect import Thing
from ticketctl.cli.output import print_json, print_line, print_table


def verify(
    thing: Thing = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """Check every byte of a ticket or run: digests, counts, padding, shapes, zeros. Exit 3 if anything fails."""
    from pathlib import Path

    from ticketctl.artifacts.verify import verify_run, verify_ticket
    from ticketctl.artifacts.workspace import folder_of

    folder, kind = folder_of(thing, workspace)
    checks = verify_ticket(folder) if kind == "ticket" else verify_run(folder)
    sound = all(check.ok for check in checks)
    if json:
        results = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks]
        print_json({"folder": str(folder), "kind": kind, "sound": sound, "checks": results})
    else:
        print_table(
            ["check", "", "detail"], [[c.name, "ok" if c.ok else "FAILED", c.detail] for c in checks], left=3
        )
        print_line(f"{kind} {Path(folder)}: {'sound' if sound else 'not sound'}")
    if not sound:
        raise typer.Exit(3)
