"""Every error a user can meet, and the exit code each one owns.

    TicketctlError              70  a bug of ours, unless a subclass says otherwise
    ├── UsageError               2  an option, name or recipe key that cannot be
    ├── ArtifactError            3  damaged, hostile, or not fitting the model; carries an E_ code
    ├── DivergedError            4  a training that left the finite numbers, or did not converge
    ├── UnavailableError         5  data or a model that cannot be had here
    │   └── OfflineError         5  data that are not here, where they may not be fetched
    ├── MissingExtraError        6  an optional package is not installed
    ├── LockedError              7  another process writes there
    ├── MismatchError            8  recipe, data or version differs from what is being resumed
    ├── HubError                 9  Hub, network, authorisation
    ├── ResourceError           10  disk full, no permission to write, out of memory
    └── StoppedError        75/130  SIGTERM / Ctrl-C: a valid checkpoint is kept, the same command goes on

One line says what is wrong, where, and what would be right.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

_CODE = re.compile(r" \[E_[A-Z_]+\]")


class TicketctlError(Exception):
    """The root: `exit_code` is the contract, `code` the stable name used in `--json`."""

    exit_code = 70
    code = "E_BUG"


class UsageError(TicketctlError):
    """What was typed cannot be done."""

    exit_code = 2
    code = "E_USAGE"


class ArtifactError(TicketctlError):
    """A file that is damaged, hostile, newer than this reader, or not for this model.

    `code` is one of the names in `formats/README.md`, e.g. `E_MASK_DIGEST`. It stands once, at the end: a message that
    quotes another such error loses the code of that.
    """

    exit_code = 3

    def __init__(self, code: str, message: str) -> None:
        self.said = _CODE.sub("", message)
        """The message without its code."""
        super().__init__(f"{self.said} [{code}]")
        self.code = code


class DivergedError(TicketctlError):
    """A loss or weight that is no longer finite."""

    exit_code = 4
    code = "E_DIVERGED"


class UnavailableError(TicketctlError):
    """Data or a model that is not here and cannot be fetched."""

    exit_code = 5
    code = "E_UNAVAILABLE"


class OfflineError(UnavailableError):
    """Data that are not here, where they may not be fetched."""


class MissingExtraError(TicketctlError):
    """An optional package; the message is the install command."""

    exit_code = 6
    code = "E_EXTRA"


class LockedError(TicketctlError):
    """Another process holds the output folder."""

    exit_code = 7
    code = "E_LOCKED"


class MismatchError(TicketctlError):
    """What lies there was begun with another recipe, data set or version."""

    exit_code = 8
    code = "E_MISMATCH"


class HubError(TicketctlError):
    """The Hub, the network or a right is missing."""

    exit_code = 9
    code = "E_HUB"


class ResourceError(TicketctlError):
    """The machine refused: no space, no permission, no memory."""

    exit_code = 10
    code = "E_RESOURCE"


class StoppedError(TicketctlError):
    """Stopped from outside; everything done so far is kept. `exit_code` is 75 or 130."""

    code = "E_STOPPED"

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


SHOWN = 6
"""Things of the user's, as tickets, that a message names at most."""

KNOWN = 20
"""Words of ours, as keys and methods, that a message names at most: who guessed wrong needs them all."""


def by_chance(problem: BaseException) -> UsageError | None:
    """What torch raises under `train.deterministic` for want of a kernel, in a line of ours; None: something else."""
    said = str(problem)
    if not isinstance(problem, RuntimeError) or "does not have a deterministic implementation" not in said:
        return None
    return UsageError(
        f"train.deterministic: this net needs {said.split()[0]}, whose result depends on chance on this device; "
        "train it without, or take another net"
    )


def near_miss(word: str, allowed: Iterable[str], most: int = KNOWN) -> str:
    """Say what was allowed: the nearest (`did you mean 'snip'?`), or the list, cut short after `most`."""
    names = sorted(allowed)
    lowered = {name.lower(): name for name in names}
    cutoff = 0.5 if len(word) < 4 else 0.6  # one letter of two is near too
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=cutoff)
    if close:
        return f"did you mean {lowered[close[0]]!r}?"
    return f"there is {listed(names, most)}" if names else "there is none"


def of_percent(value: Fraction) -> str:
    """A hint for a share that was written as a percentage, or nothing.

    >>> of_percent(Fraction(90)), of_percent(Fraction(3, 2)), of_percent(Fraction(1, 2))
    (' (for 90 % write 0.9)', ' (for 1.5 % write 0.015)', '')
    """
    return f" (for {float(value):g} % write {float(value / 100):g})" if 1 < value < 100 else ""


def listed(names: Sequence[str], most: int = SHOWN) -> str:
    """The first `most` of them, and how many there are besides."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
