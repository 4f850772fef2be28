"""`hf://org/name[@revision]` where a ticket or run is named: pulled first, then a folder like any other. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ticketctl.errors import UsageError, listed
from ticketctl.hub.names import is_hub
from ticketctl.progress import Reporter
from ticketctl.stages.pull import pull

Pull = Callable[[str], Sequence[str]]
"""The folders that hold what a name on the Hub names, once it is there."""


def puller(workspace: Path, *, offline: bool, reporter: Reporter) -> Pull:
    """One that pulls into a workspace, and tells which commit a name is now.

    Args:
        workspace: where things come to lie.
        offline: the network may not be used.
        reporter: told of the progress.

    Raises:
        UsageError, HubError, ArtifactError, LockedError, ResourceError: when it is called, as `stages.pull.pull`.
    """

    def run(name: str) -> list[str]:
        done = pull(name, workspace, offline=offline, reporter=reporter)
        if name != str(done.name):
            reporter.note(f"{name} is {done.name} now")
        return [str(folder) for folder in done.folders]

    return run


def local(name: str, pull: Pull) -> str:
    """The folder of what is named on the Hub; any other name as it is.

    Raises:
        UsageError: it holds several draws.
    """
    if not is_hub(name):
        return name
    found = pull(name)
    if len(found) > 1:
        raise UsageError(f"{name} holds {len(found)} draws, pulled now; name one of them: {listed(found)}")
    return found[0]


def several(names: Sequence[str], pull: Pull) -> list[str]:
    """The folders of all that is named on the Hub, in place of its names; other names as they are."""
    return [one for name in names for one in (pull(name) if is_hub(name) else [name])]


def setting(text: str, pull: Pull) -> str:
    """`key=value` of a recipe, where the value may be a name on the Hub.

    Raises:
        UsageError: as `local`.
    """
    key, sign, value = text.partition("=")
    return f"{key}{sign}{local(value, pull)}"
