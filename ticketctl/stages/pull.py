"""Pull: a commit of a repository on the Hub becomes verified tickets, runs and verdicts of the workspace. No torch.

A name is resolved once, to a commit; only the files that its manifests list are fetched (and `provenance.json` and
`model.sig` beside them), into a hidden folder; each thing is verified whole there, and then it takes its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ticketctl.artifacts.ticket import open_ticket
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.hub.cache import Cached, cached
from ticketctl.hub.client import connect
from ticketctl.hub.contents import Thing, things
from ticketctl.hub.endpoints import offline_wanted, other_host
from ticketctl.hub.errors import offline as offline_error
from ticketctl.hub.names import HubName, is_commit, parse
from ticketctl.progress import Reporter, Silent
from ticketctl.stages.arrival import Only, Order, Pulled, Remote, perform, planned, read_manifest
from ticketctl.stages.origin import Local, known, verify

__all__ = ["Only", "Pulled", "pull"]


def pull(
    text: str,
    workspace: Path,
    *,
    only: Only = "all",
    expect: str | None = None,
    offline: bool = False,
    dry_run: bool = False,
    reporter: Reporter | None = None,
) -> Pulled:
    """Bring what `text` names into the workspace; what is there already and sound stays, and costs no network.

    Args:
        text: `hf://org/name[@revision]`, or without `hf://`.
        workspace: things lie in `hub/<org>--<name>/<12 signs of the commit>[-<group>]/` below it.
        only: `ticket`: no runs and verdicts.
        expect: the id of a ticket that must be among them.
        offline: no network, which `HF_HUB_OFFLINE` says too; then the workspace and the Hub's own cache are looked at.
        dry_run: say what would come, and write nothing.
        reporter: told how much has come.

    Raises:
        UsageError: no name, no id.
        HubError: the Hub, the network or a right; offline, and not here.
        ArtifactError: what is there is no ticket, run or set, is damaged, or is not what is expected.
        LockedError: another process pulls from the same repository.
        ResourceError: no space.
    """
    name, told = parse(text), reporter or Silent()
    if expect is not None and not re.fullmatch(r"tk1[a-z2-7]{29}", expect):
        raise UsageError(f"--expect {expect[:40]!r}: give the whole id of a ticket, tk1 and 29 signs")
    quiet = offline or offline_wanted()
    host = other_host()
    if (quiet or is_commit(name.revision)) and (done := _known(name, workspace, only, host)):
        return _expected(done, expect, str(name))
    with _source(name, quiet, told) as source:
        if not (quiet or dry_run) and (done := _known(source.name, workspace, only, host, again=name)):
            return _expected(done, expect, str(source.name))
        order = Order(source.name, name.revision, workspace, only, source, told, host)
        return _fetched(replace(order, files=source.files()), expect, dry_run)


def _fetched(order: Order, expect: str | None, dry_run: bool) -> Pulled:
    """What nobody has here yet."""
    every = _things(order)
    found = [one for one in every if order.only == "all" or one.kind == "ticket"]
    order = replace(order, others=tuple(one for one in every if one not in found))
    _check_expected(found, expect, str(order.name))
    _check_some(found, order)
    if dry_run:
        return planned(order, found)
    done = perform(order, found)
    if isinstance(order.source, Remote) and "config.json" in order.files:
        order.source.hub.count(order.name)
    return done


@contextmanager
def _source(name: HubName, offline: bool, reporter: Reporter) -> Iterator[Remote | Cached]:
    if offline:
        source = cached(name)
        if source is None:
            raise offline_error(str(name))
        yield source
        return
    with connect(reporter=reporter) as hub:
        yield Remote(hub, name.at(hub.commit(name)))


def _things(order: Order) -> list[Thing]:
    try:
        return things(str(order.name), order.files, lambda one: read_manifest(order, one))
    except ArtifactError as error:
        if isinstance(order.source, Cached) and error.code == "E_FILE_MISSING":
            raise offline_error(str(order.name)) from None  # the cache has some of it
        raise


def _known(
    name: HubName, workspace: Path, only: Only, host: str | None, again: HubName | None = None
) -> Pulled | None:
    """What was pulled before, if it is whole and sound; `again`: the name by which it is asked for this time."""
    origins = [one for one in known(workspace, name, host) if one.only in ("all", only)]
    if not origins or any(one.draws != len(origins) for one in origins):
        return None
    try:
        found = [
            local for one in origins for local in one.locals() if only == "all" or local.kind == "ticket"
        ]
    except ArtifactError:
        return None
    if not found or any(verify(one.kind, one.folder) for one in found):
        return None
    asked = (again or name).revision
    for one in origins if again else []:
        replace(one, requested=asked).write()
    files, size = sum(one.files for one in origins), sum(one.bytes for one in origins)
    return Pulled(name.at(origins[0].resolved), asked, tuple(found), files, size, 0)


def _expected(done: Pulled, expect: str | None, where: str) -> Pulled:
    if expect is not None and expect not in [one.id for one in done.things]:
        own = [one for one in done.things if one.kind == "ticket"]
        raise _unexpected(where, expect, [one.id for one in own], _level_of(expect, own))
    return done


def _check_expected(found: Sequence[Thing], expect: str | None, where: str) -> None:
    ids = [one.id for one in found if one.kind == "ticket"]
    if expect is not None and expect not in ids:
        raise _unexpected(where, expect, ids)


def _level_of(expect: str, found: Sequence[Local]) -> str:
    """Which level of a ticket that is here has that id, or nothing."""
    for one in found:
        ladder = open_ticket(one.folder).ladder()
        if ladder is not None and expect in ladder.ticket_ids:
            return f"level {ladder.ticket_ids.index(expect)} of {one.id}"
    return ""


def _unexpected(where: str, expect: str, ids: Sequence[str], level: str = "") -> ArtifactError:
    there = f"ticket {ids[0]}" if len(ids) == 1 else f"{len(ids)} other tickets" if ids else "no ticket"
    what = f"{expect}, which is {level}" if level else expect
    hint = "; --expect takes a ticket's own id, not that of one of its levels" if ids else ""
    return ArtifactError("E_TICKET_ID", f"{where}: holds {there}, not {what}{hint}")


def _check_some(found: Sequence[Thing], order: Order) -> None:
    if not found:
        raise UsageError(f"{order.name}: holds no ticket; pull it without --only ticket")
