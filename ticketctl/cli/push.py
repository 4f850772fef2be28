"""`ticketctl push`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.complete import things
from ticketctl.cli.console import amount, watching
from ticketctl.cli.from_hub import own_hub_names
from ticketctl.cli.output import note, print_json, print_line, print_table, visible
from ticketctl.cli.signals import Stop
from ticketctl.errors import UsageError

if TYPE_CHECKING:
    from ticketctl.stages.push import Preview, Pushed

SHOWN = 40
"""Files that are shown one by one."""
STOPPED = "stopped: nothing of it is to be seen on the Hub; the same command pushes it"
WHOLE = "stopped; the push is whole"

Things = Annotated[
    list[str] | None,
    typer.Argument(
        help="Tickets, runs, verdicts, or folders of draws: all below. Default: the newest ticket.",
        autocompletion=things,
    ),
]


To = Annotated[
    str | None, typer.Option(help="The repository, org/name. Default: yours, named after the ticket.")
]
Runs = Annotated[
    bool, typer.Option("--runs", help="With the trained levels, spends and controls of each ticket.")
]
Public = Annotated[bool, typer.Option("--public", help="For everybody to see; private otherwise.")]
Licence = Annotated[
    str | None,
    typer.Option(
        help="A licence by its id on the Hub: cc-by-4.0, mit. Default: as on the card there, or the ticket's own."
    ),
]
Message = Annotated[str | None, typer.Option(help="Of the commit, at most 200 signs; the ids are added.")]
Card = Annotated[
    bool,
    typer.Option(
        "--card",
        help="Replace README.md, config.json and figure there, if written or changed by hand; they stay else.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Push without asking.")]


@own_hub_names
def push(
    what: Things = None,
    to: To = None,
    runs: Runs = False,
    public: Public = False,
    licence: Licence = None,
    message: Message = None,
    card: Card = False,
    yes: Yes = False,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    dry_run: opt.DryRun = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Push tickets, runs or a set of them to the Hub in one commit, after a look at all that would travel.

    The token is that of `hf auth login`, or HF_TOKEN. Pushing the same again does nothing.

    Examples:

    ticketctl push

    ticketctl push runs/lenet-300-100-digits/imp-9e9b3d4c/seed-0 --runs --to org/name --public
    """
    from ticketctl.stages.push import Asked
    from ticketctl.stages.push import push as pushed

    stop = Stop(STOPPED).install()
    asked = Asked(what or (), to, runs, public, licence, message, dry_run, card)
    with watching(quiet) as reporter:
        done = pushed(
            asked, workspace, agree=lambda preview: _agree(preview, yes, json or quiet), reporter=reporter
        )
    stop.said = WHOLE if done.commit else STOPPED
    if not done.agreed:
        raise UsageError("nothing was pushed")
    if json:
        print_json(_record(done))
    else:
        _tell(done, quiet)


def _agree(preview: Preview, yes: bool, silent: bool) -> bool:
    """Show it, and ask."""
    if not silent or not yes:
        for line in _shown(preview):
            note(line)
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("push asks before anything leaves, and there is no terminal; say --yes")
    try:
        return typer.confirm("push this?", err=True)
    except typer.Abort:  # the end of what is typed
        return False


def _shown(preview: Preview) -> list[str]:
    """All that would travel, to whom it is visible, and what the card says."""
    parcel = preview.parcel
    who = "public: everybody sees it" if preview.public else "private: you and your organisation see it"
    fresh = preview.remote is None or preview.remote.commit is None
    lines = [f"{parcel.name}, {'new' if fresh else 'there already'}, {who}"]
    new = {item.path for item in preview.change.changed} if preview.change else None
    kept = preview.change.kept if preview.change else ()
    for item in parcel.items[:SHOWN]:
        word = "" if new is None or item.path in new else "  (there already)"
        word = "  (stays as it is there)" if item.path in kept else word
        lines.append(f"  {item.size:>12,}  {item.path}{word}")
    if len(parcel.items) > SHOWN:
        lines.append(f"  and {len(parcel.items) - SHOWN} more")
    stale = preview.change.stale if preview.change else ()
    lines += [f"       removed  {path}" for path in stale[:SHOWN]]
    if len(stale) > SHOWN:
        lines.append(f"  and {len(stale) - SHOWN} more removed")
    return [*lines, *_facts(preview)]


def _facts(preview: Preview) -> list[str]:
    """What it is in all, and what the card says."""
    parcel = preview.parcel
    lines = [
        f"{parcel.counted} in {len(parcel.items)} files, {amount(parcel.size)}, in one commit, tag {parcel.tag}",
        "with versions, device, seconds and command; every byte was searched for tokens, paths, users, hosts",
    ]
    if preview.card_stays:
        return [*lines, "the card there was written by hand and stays; --card replaces it"]
    figure = f"no figure: {parcel.card.figure}" if parcel.card.figure else "a figure"
    return [*lines, *(f"on the card: {claim}" for claim in (*preview.claims(), figure))]


def _record(done: Pushed) -> dict[str, Any]:
    parcel, change = done.preview.parcel, done.preview.change
    things = [{"kind": one.kind, "id": one.id, "path": one.path} for one in parcel.things]
    files = [{"path": item.path, "bytes": item.size, "sha256": item.sha256} for item in parcel.items]
    return {
        "repo": parcel.name.repo, "commit": done.commit, "tag": parcel.tag, "public": done.preview.public,
        "changed": done.changed, "things": things, "files": files, "bytes": parcel.size,
        "removed": list(change.stale) if change else [], "kept": list(change.kept) if change else [],
        "licence": done.preview.licence, "claims": done.preview.claims(),
    }  # fmt: skip


def _tell(done: Pushed, quiet: bool) -> None:
    parcel = done.preview.parcel
    if done.commit is None:
        rows = [[item.path, f"{item.size:,}"] for item in parcel.items]
        print_table(["file", "bytes"], rows)
        for line in _facts(done.preview):
            print_line(visible(line))
        more = ", and what is there was not asked" if done.preview.remote is None else ""
        print_line(visible(f"would go to {parcel.name}; nothing was sent{more}"))
        return
    print_line(visible(str(done.name)))
    if not done.changed:
        note("everything is there already; nothing was sent", quiet)
    note(f"tag {parcel.tag}; fetch it: ticketctl pull {parcel.name.repo}@{parcel.tag}", quiet)
