"""What a command that trains needs: device, cache, reporter, signals."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ticketctl.cli.console import watching
from ticketctl.cli.options import DEFAULT_WORKSPACE, Site
from ticketctl.cli.signals import Stop
from ticketctl.errors import UnavailableError
from ticketctl.progress import Silent
from ticketctl.store.expand import expanded

if TYPE_CHECKING:
    from ticketctl.stages.setting import Surroundings
    from ticketctl.train.ranks import Ranks


@contextmanager
def surroundings(
    device: str,
    data_dir: Path | None,
    offline: bool,
    quiet: bool,
    stop: Stop | None = None,
    workspace: Path = DEFAULT_WORKSPACE,
    ranks: Ranks | None = None,
) -> Iterator[Surroundings]:
    """Signals are taken over before torch is imported, which takes seconds; or they were, by `stop`.

    Raises:
        UnavailableError: no such data folder or device.
        StoppedError: somebody asked to stop before this began, or meanwhile.
    """
    stop = stop or Stop().install()
    stop.leave()
    if data_dir is not None and not expanded(data_dir).is_dir():
        raise UnavailableError(f"--data-dir {data_dir}: there is no such folder")
    with watching(quiet) as reporter:
        try:
            from ticketctl.cli.devices import resolve
            from ticketctl.data.load import default_cache
            from ticketctl.stages.setting import Surroundings

            chosen = resolve(device) if ranks is None else ranks.device
        finally:
            stop.leave()  # a module that a signal cut short may call that another fault, or keep it to itself
        around = Surroundings(
            chosen, default_cache(), reporter, stop, data_dir, offline, tuple(sys.argv[1:]), workspace, ranks
        )
        if ranks is not None and not ranks.leads:  # rank 0 speaks, and says when to stop
            around = replace(around, reporter=Silent(), stop=lambda: stop() and None)
        yield around


def training(
    at: Site, stop: Stop | None = None, ranks: Ranks | None = None
) -> AbstractContextManager[Surroundings]:
    """`surroundings` of a command that trains."""
    return surroundings(at.device, at.data_dir, at.offline, at.quiet, stop, at.workspace, ranks)


def measuring(at: Site) -> AbstractContextManager[Surroundings]:
    """`surroundings` of a command that measures nets; a dry run fetches nothing."""
    return training(replace(at, offline=at.offline or at.dry_run))
