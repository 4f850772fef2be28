"""`ticketctl search`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.console import watching
from ticketctl.cli.output import note, print_json, print_line, print_table
from ticketctl.cli.signals import Stop

if TYPE_CHECKING:
    from ticketctl.stages.search import Hit
    from ticketctl.stages.shortlist import Wish

Range = Annotated[
    str | None, typer.Option("--density", help="The kept share: a range, 0.01-0.05, or one number.")
]
Verdict = Annotated[
    str | None, typer.Option("--verdict", help="What an audit found: pass, fail or incomplete.")
]


def search(
    words: Annotated[list[str] | None, typer.Argument(help="Words of a repository's name.")] = None,
    model: opt.Model = None,
    data: opt.Data = None,
    method: opt.Method = None,
    density: Range = None,
    verdict: Verdict = None,
    author: Annotated[str | None, typer.Option("--author", help="A user or an organisation.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Rows at most.")] = 20,
    offline: opt.Offline = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Look for tickets on the Hub, by what their cards say of them."""
    from ticketctl.stages.search import search as found_by
    from ticketctl.stages.shortlist import wish

    wanted = wish(model=model, data=data, method=method, density=density, verdict=verdict)
    stop = Stop().install()
    with watching(quiet) as reporter:
        hits = found_by(
            wanted, words=words or (), author=author, limit=limit, offline=offline, reporter=reporter
        )
        stop.leave()
    if json:
        print_json([asdict(hit) for hit in hits])
    elif hits:
        _table(hits)
        note(f"fetch one: ticketctl pull {hits[0].repo}", quiet)
    else:
        print_line("no ticket on the Hub is like that")
    told_of_slips(hits, wanted, quiet)


def told_of_slips(found: Sequence[object], wanted: Wish, quiet: bool = False) -> None:
    """Where nothing is like that, say which of the names look like slips."""
    from ticketctl.stages.shortlist import unknown

    for line in [] if found else unknown(wanted):
        note(line, quiet)


def _table(hits: list[Hit]) -> None:
    columns = ["repository", "net", "data", "method", "verdict", "density", "downloads", "updated"]
    rows = [
        [
            hit.repo, hit.net, hit.data, hit.method, hit.verdict,
            "" if hit.density is None else f"{hit.density:.4f}", str(hit.downloads), hit.updated,
        ]
        for hit in hits
    ]  # fmt: skip
    print_table(columns, rows, left=5)
