"""`hf://org/name[@revision]` wherever a command takes a ticket or a run: pulled first, then a folder like any other."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ticketctl.cli.console import watching
from ticketctl.cli.signals import Stop

OTHERWISE = ("data", "data_dir", "out", "to", "model", "recipe", "workspace")
"""Options that name no ticket and no run."""
SETS = "set_"
"""The option that has them as values of keys."""


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
    names = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    if key in OTHERWISE or not any("hf://" in name for name in names):
        return value
    from ticketctl.stages.hub_names import local, setting, several

    pull = functools.partial(_pulled, given=given)
    if key == SETS:
        return [setting(one, pull) for one in value]
    return several(value, pull) if isinstance(value, list) else local(value, pull)


def _pulled(name: str, given: dict[str, Any]) -> list[str]:
    """The folders that hold what `name` names, once it is there."""
    from ticketctl.stages.hub_names import puller

    stop, quiet = Stop().install(), bool(given.get("quiet"))
    with watching(quiet) as reporter:
        found = puller(given["workspace"], offline=bool(given.get("offline")), reporter=reporter)(name)
        stop.leave()
    return [*found]
