"""Paths as people type them: `~` is the home folder, `~name` that of another user."""

from __future__ import annotations

from pathlib import Path

from ticketctl.errors import UsageError


def expanded(typed: str | Path) -> Path:
    """The path with the home folder in the place of a `~` at its beginning, which a shell leaves in `--out=~/here`.

    Raises:
        UsageError: this machine knows no such user, or no home folder of this one.
    """
    try:
        return Path(typed).expanduser()
    except RuntimeError:
        user = Path(typed).parts[0].removeprefix("~")
        said = f"this machine has no user {user}" if user else "this user has no home folder"
        raise UsageError(f"{typed}: {said}; write the whole path") from None
