"""How tickets, runs and verdicts came to be, written down beside them once they are whole: chain.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from ticketctl import __version__
from ticketctl.artifacts.chain import CHAIN, chain_bytes, chained, foretold, read_chain
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.signature import SIGNATURE
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.artifacts.verdict import Verdict
from ticketctl.errors import ArtifactError, ResourceError, UsageError
from ticketctl.progress import Reporter

TOOL = f"ticketctl {__version__}"


def check(sources: Iterable[Ticket | Run | None]) -> None:
    """Refuse, before anything is made of these, what could not be written down behind them afterwards.

    Raises:
        ArtifactError: the chain beside one of them is damaged.
    """
    for one in sources:
        if one is not None:
            read_chain(one.folder)


def check_judged(runs: Sequence[Run]) -> None:
    """Likewise before these runs are measured for a verdict.

    Raises:
        ArtifactError: as `check`.
        UsageError: their histories are too long to stand behind one verdict.
    """
    links = foretold([(one.manifest, one.folder) for one in runs], tool=TOOL)
    try:
        chain_bytes(links)
    except ArtifactError:
        raise UsageError(
            f"a verdict over {len(runs)} runs, of {len(links)} steps: more than its {CHAIN} can hold; "
            "judge fewer at once, e.g. one method or ladder"
        ) from None


def drew(ticket: Ticket, given: Iterable[Ticket] = ()) -> None:
    """Of a ticket, of the runs that were trained while it was drawn, and of its controls; what is there stays.

    Args:
        ticket: as it lies in its draw's folder.
        given: the tickets that its method was handed.

    Raises:
        ArtifactError: a chain that it follows from is damaged.
        ResourceError: it cannot be written.
    """
    _write(ticket.folder, ticket, given)
    draw = ticket.folder.parent
    for place in sorted([*draw.glob("levels/*/run.json"), *draw.glob("search/*/run.json")]):
        with suppress(ArtifactError):  # a damaged level is told where it is used
            trained(open_run(place.parent), ticket)
    for place in sorted(draw.glob("controls/*/ticket/ticket.json")):
        with suppress(ArtifactError):
            _write(place.parent, open_ticket(place.parent), [ticket])


def trained(run: Run, source: Ticket | Run | None) -> None:
    """Of a run, which came from a ticket, from another run (a transfer), or from nothing here.

    Raises:
        ArtifactError: the source's chain is damaged.
        ResourceError: it cannot be written.
    """
    _write(run.folder, run, [source] if source else [])


def found(run: Run, source: Ticket | Run | None, reporter: Reporter) -> None:
    """Of a run that was trained before; where nothing can be written, it stays without.

    Args:
        run: as it was found.
        source: as in `trained`.
        reporter: told where nothing can be written.

    Raises:
        ArtifactError: the source's chain is damaged.
    """
    try:
        trained(run, source)
    except ResourceError:
        place = source.folder.parent if source else run.folder.parent  # one line for all that are found there
        reporter.remark(
            f"{place}: cannot be written, so runs that were found stay without {CHAIN}, their history"
        )


def judged(folder: Path, verdict: Verdict, measured: Iterable[tuple[Report, Run]]) -> None:
    """Of a verdict: its reports, each from its run.

    Raises:
        ArtifactError: a run's chain is damaged.
        ResourceError: it cannot be written.
    """
    if (folder / CHAIN).exists() or (folder / SIGNATURE).exists():
        return
    sources = [(report, run.folder, (run.manifest, run.folder)) for report, run in measured]
    chained(folder, verdict, sources, tool=TOOL)


def _write(folder: Path, made: Ticket | Run, sources: Iterable[Ticket | Run]) -> None:
    """What is there stays; and what was signed without a chain, for one would be signed by nobody."""
    if not (folder / CHAIN).exists() and not (folder / SIGNATURE).exists():
        chained(folder, made.manifest, [(one.manifest, one.folder, None) for one in sources], tool=TOOL)
