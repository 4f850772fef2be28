"""`ticketctl pull`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.console import watching
from ticketctl.cli.from_hub import own_hub_names
from ticketctl.cli.output import note, print_json, print_line, print_table, visible
from ticketctl.cli.signals import Stop
from ticketctl.errors import UsageError, near_miss

if TYPE_CHECKING:
    from ticketctl.stages.pull import Pulled

ONLY = ("all", "ticket")
SHOWN = 12
"""Files that were left where they are and are named one by one."""


@own_hub_names
def pull(
    name: Annotated[str, typer.Argument(help="A repository on the Hub: org/name or org/name@revision.")],
    expect: Annotated[
        str | None, typer.Option("--expect", help="The id of the ticket that must come, or nothing does.")
    ] = None,
    only: Annotated[str, typer.Option("--only", help="all, or ticket: no runs and verdicts.")] = "all",
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    offline: opt.Offline = False,
    dry_run: opt.DryRun = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Fetch a ticket, a run or a set of them from the Hub; nothing appears before it is verified."""
    from ticketctl.stages.pull import Only
    from ticketctl.stages.pull import pull as fetched

    if only not in ONLY:
        raise UsageError(f"--only {only!r}; {near_miss(only, ONLY)}")
    stop = Stop().install()
    with watching(quiet) as reporter:
        done = fetched(
            name,
            workspace,
            only=cast(Only, only),
            expect=expect,
            offline=offline,
            dry_run=dry_run,
            reporter=reporter,
        )
        stop.leave()
    if json:
        print_json(_record(done, dry_run))
    else:
        _show(done, dry_run, quiet)


def _record(done: Pulled, dry_run: bool) -> dict[str, Any]:
    things = [{"kind": one.kind, "id": one.id, "folder": str(one.folder)} for one in done.things]
    return {
        "name": str(done.name), "repo": done.name.repo, "requested": done.requested, "resolved": done.name.revision,
        "things": things, "files": done.files, "bytes": done.bytes, "fetched": done.fetched,
        "skipped": list(done.skipped), "left_out": done.left_out, "dry_run": dry_run,
    }  # fmt: skip


def _show(done: Pulled, dry_run: bool, quiet: bool) -> None:
    print_line(visible(str(done.name)))
    rows = [[one.kind, one.id, str(one.folder)] for one in done.things]
    print_table(["what", "id", "would be" if dry_run else "folder"], rows, left=3)
    came = (
        "would come"
        if dry_run
        else f"{done.fetched / 1e6:.2f} MB fetched"
        if done.fetched
        else "all here already"
    )
    print_line(f"{done.files} files, {done.bytes / 1e6:.2f} MB, {came}")
    if done.left_out:
        print_line(f"not fetched: {done.left_out} files of runs and verdicts, as --only ticket asks")
    _show_skipped(done.skipped)
    if not dry_run:
        thing = "inspect" if all(one.kind != "ticket" for one in done.things) else "spend"
        note(f"go on: ticketctl {thing} {done.folders[0]}", quiet)


def _show_skipped(paths: tuple[str, ...]) -> None:
    from ticketctl.hub.contents import danger
    from ticketctl.hub.upload import HARMLESS, MINE

    told = [path for path in paths if path not in {*HARMLESS, *MINE}]
    risky = sorted(told, key=lambda path: (not danger(path), path))
    for path in risky[:SHOWN]:
        why = danger(path)
        print_line(visible(f"not fetched: {path[:200]}{f' ({why})' if why else ''}"))
    if len(risky) > SHOWN:
        print_line(f"not fetched: {len(risky) - SHOWN} more")
