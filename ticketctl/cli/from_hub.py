"""`hf://org/name[@revision]` wherever a command takes a ticket or a run: pulled first, then a folder like any other."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ticketctl.cli.console import watching
from ticketctl.cli.output import note
from ticketctl.cli.signals import Stop
from ticketctl.errors import UsageError, listed
from ticketctl.hub.names import is_hub

OTHERWISE = ("data", "data_dir", "out", "to", "model", "recipe", "workspace")
"""Options that name no ticket and no run."""


def with_hub_names(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with every name on the Hub among its arguments replaced by the folder that it was pulled into.

    Commands without a workspace, and those that have `@own_hub_names`, are left as they are.
    """
    if "workspace" not in inspect.signature(command).parameters or getattr(command, "own_hub_names", False):
        return command

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(**{key: _local(value, key, given) for key, value in given.items()})

    return run


def own_hub_names(command: Callable[..., None]) -> Callable[..., None]:
    """Mark a command that takes names on the Hub as they are."""
    command.own_hub_names = True  # type: ignore[attr-defined]  # read by `with_hub_names`
    return command


def _local(value: Any, key: str, given: dict[str, Any]) -> Any:
    if key in OTHERWISE:
        return value
    if isinstance(value, list):
        found = [_pulled(one, given) if is_hub(one) else [_local(one, key, given)] for one in value]
        return [one for several in found for one in several]
    if is_hub(value):
        return _folder(value, given)
    if key == "sets" and isinstance(value, str) and is_hub(value.partition("=")[2]):
        setting, _, name = value.partition("=")
        return f"{setting}={_folder(name, given)}"
    return value


def _folder(name: str, given: dict[str, Any]) -> str:
    """Where one thing is wanted."""
    found = _pulled(name, given)
    if len(found) > 1:
        raise UsageError(f"{name} holds {len(found)} draws, pulled now; name one of them: {listed(found)}")
    return found[0]


def _pulled(name: str, given: dict[str, Any]) -> list[str]:
    """The folders that hold what `name` names, once it is there."""
    from ticketctl.stages.pull import pull

    stop = Stop().install()
    with watching(bool(given.get("quiet"))) as reporter:
        done = pull(name, given["workspace"], offline=bool(given.get("offline")), reporter=reporter)
        stop.leave()
    if name != str(done.name):
        note(f"{name} is {done.name} now", bool(given.get("quiet")))
    return [str(folder) for folder in done.folders]
