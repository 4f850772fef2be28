"""What Python callers hand over, refused where the command line would refuse its words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from ticketctl.artifacts.records import MAX_INT
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.errors import UsageError
from ticketctl.progress import Reporter, Silent
from ticketctl.stages import hub_names
from ticketctl.stages.examined import run_of
from ticketctl.tomltext import toml_text


def seeds(given: Iterable[int]) -> list[int]:
    """Each once, in their order.

    Raises:
        UsageError: one is no whole number from 0 to 2 ** 53 - 1, or there is none.
    """
    found = list(dict.fromkeys(given))
    odd = next((one for one in found if type(one) is not int or not 0 <= one <= MAX_INT), None)
    if odd is not None or not found:
        raise UsageError(f"seed: a whole number from 0 to {MAX_INT}, not {odd if found else 'none at all'}")
    return found


def epochs(given: int | None) -> int | None:
    """The length of a training.

    Raises:
        UsageError: no whole number from 1 on.
    """
    if given is not None and (type(given) is not int or given < 1):
        raise UsageError(f"epochs: a whole number from 1 on, not {given}")
    return given


def density(given: float | Fraction | None) -> Fraction | None:
    """The exact share that a number is written as; the recipe refuses what is no density.

    Raises:
        UsageError: it is no number.
    """
    try:
        return None if given is None else Fraction(str(given))
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"density: a number in (0, 1], not {given}") from None


def trained(run: Run | str | Path, workspace: Path) -> Run:
    """The run that is meant, by itself or by its name here.

    Raises:
        UsageError: no such run, or something else, such as a ticket; says what gives runs.
        ArtifactError: it is damaged.
    """
    if isinstance(run, Run):
        return run
    if isinstance(run, str | Path):
        return run_of(str(run), workspace)
    what = f"{run.folder} is a ticket" if isinstance(run, Ticket) else f"this is a {type(run).__name__}"
    raise UsageError(
        f"an audit wants one trained net, and {what}; ticketctl.spend(ticket) gives a list of such runs"
    )


def puller(workspace: Path, offline: bool, reporter: Reporter | None) -> hub_names.Pull:
    """What pulls names on the Hub into the workspace."""
    return hub_names.puller(workspace, offline=offline, reporter=reporter or Silent())


def sets(keys: Mapping[str, Any] | None, pull: hub_names.Pull | None = None) -> tuple[str, ...]:
    """Keys of a recipe as `--set` has them, with folders in place of names on the Hub.

    Raises:
        UsageError, HubError, ArtifactError: as `pull`; or a name holds several draws, pulled now.
    """
    texts = [f"{name}={_word(value)}" for name, value in (keys or {}).items()]
    return tuple(texts if pull is None else (hub_names.setting(text, pull) for text in texts))


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return toml_text({"value": value}).removeprefix("value = ").rstrip("\n")
    return str(value)
