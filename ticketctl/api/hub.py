"""The Hub from Python: what `push` and `pull` do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ticketctl.api.tickets import WORKSPACE
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.ticket import MANIFEST, Ticket, open_ticket
from ticketctl.errors import UsageError, listed
from ticketctl.progress import Reporter


def push(
    things: Ticket | Run | str | Path | Sequence[Ticket | Run | str | Path],
    to: str | None = None,
    *,
    runs: bool = False,
    public: bool = False,
    licence: str | None = None,
    message: str | None = None,
    card: bool = False,
    workspace: str | Path = WORKSPACE,
    reporter: Reporter | None = None,
) -> str:
    """Bring tickets and runs to the Hub, as `ticketctl push --yes` does; `hf://org/name@<commit>` of what lies there.

    Args:
        things: tickets, runs, or their names.
        to: `org/name`; None: of the user's own, by the ticket's name.
        runs: with the trained levels, spends and controls of each ticket.
        public: everybody may read a repository that is made now.
        licence: as the Hub names licences, e.g. `mit`.
        message: of the commit, at most 200 signs.
        card: replace a README.md, config.json or figure there that was written or changed by hand; it stays otherwise.
        workspace: where names are looked for.
        reporter: told of the progress, as `ticketctl.Lines()` is; None: nobody is.

    Raises:
        UsageError, ArtifactError, HubError: as the command's exit codes say; then nothing of it is to be seen.
    """
    from ticketctl.stages.push import Asked
    from ticketctl.stages.push import push as run

    several = things if isinstance(things, list | tuple) else [things]
    names = [str(one.folder) if isinstance(one, Ticket | Run) else str(one) for one in several]
    asked = Asked(names, to, runs=runs, public=public, licence=licence, message=message, card=card)
    return str(run(asked, Path(workspace), reporter=reporter).name)


def pull(
    name: str,
    *,
    runs: bool = False,
    expect: str | None = None,
    offline: bool = False,
    workspace: str | Path = WORKSPACE,
    reporter: Reporter | None = None,
) -> Ticket:
    """The ticket of `org/name[@revision]`, verified, in the workspace; what is there already costs no network.

    Args:
        name: with or without `hf://`.
        runs: with the runs and verdicts that lie with it, which are found in the workspace then.
        expect: the id that the ticket must have.
        offline: no network: the workspace, then the Hub's own cache.
        workspace: where it comes to lie, below `hub/`.
        reporter: told of the progress, as `ticketctl.Lines()` is; None: nobody is.

    Raises:
        UsageError: no name; or there are several tickets, all pulled now, or none.
        HubError: the Hub, the network or a right; offline, and not here.
        ArtifactError: damaged, hostile, or not the one that is expected.
    """
    from ticketctl.stages.pull import pull as run

    found = run(
        name,
        Path(workspace),
        only="all" if runs else "ticket",
        expect=expect,
        offline=offline,
        reporter=reporter,
    )
    draws = dict.fromkeys(one.draw for one in found.things)
    places = [draw / "ticket" for draw in draws if (draw / "ticket" / MANIFEST).is_file()]
    if len(places) != 1:
        there = (
            f"{len(places)} tickets, pulled now: {listed([str(place) for place in places])}"
            if places
            else "no ticket"
        )
        raise UsageError(f"{found.name} holds {there}; load_ticket opens one of them")
    return open_ticket(places[0])
