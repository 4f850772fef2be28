"""`ticketctl verify`."""

from __future__ import annotations

from pathlib import Path

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.inspect import Thing
from ticketctl.cli.lone import verify_lone
from ticketctl.cli.output import note, print_failure, print_json, print_line, print_table, visible
from ticketctl.cli.places import payloads, verdict_folder
from ticketctl.errors import ArtifactError


def verify(
    thing: Thing = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """Check every byte of a ticket, run or file: digests, counts, padding, shapes, zeros. Exit 3 if anything fails."""
    from ticketctl.artifacts.verify import verify_run, verify_ticket
    from ticketctl.artifacts.workspace import folder_of

    files, wanted = payloads(thing, workspace)
    if files:
        folder = Path(thing) if thing and Path(thing).is_file() else files[0].parent
        kind, checks = verify_lone(files, wanted)
    elif (place := verdict_folder(thing, workspace)) is not None:
        from ticketctl.stages.verdict_check import verify as verify_verdict

        folder, kind, checks = place, "verdict", verify_verdict(place)
    else:
        folder, kind = folder_of(thing, workspace)
        checks = verify_ticket(folder) if kind == "ticket" else verify_run(folder)
    sound = all(check.ok for check in checks)
    results = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks]
    result = {"folder": str(folder), "kind": kind, "sound": sound, "checks": results}
    failed = next((check for check in checks if not check.ok), None)
    if not json:
        print_table(
            ["check", "", "detail"], [[c.name, "ok" if c.ok else "FAILED", c.detail] for c in checks], left=3
        )
        print_line(visible(f"{kind} {folder}: {'sound' if sound else 'not sound'}"))
    elif failed is None:
        print_json(result)
    if failed is None:
        return
    count = sum(not check.ok for check in checks)
    what = f"{count} of {len(checks)} checks failed, {failed.name} first"
    error = ArtifactError(failed.code, f"{folder}: {what}: {failed.detail.removesuffix(f' [{failed.code}]')}")
    if json:
        print_failure(result, error)
    note(f"ticketctl: {error}")
    raise typer.Exit(error.exit_code)
