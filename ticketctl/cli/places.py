"""What a name leads to besides a ticket and a run: their payload files, verdicts, folders that hold runs."""

from __future__ import annotations

from pathlib import Path

from ticketctl.errors import UsageError, listed

FOLDERS = {
    "compact": ("compact", "*.safetensors"),
    "samples": ("samples", "*.safetensors"),
    "reports": ("report", "*.zarr.zip"),
}
"""Folders of a run that hold payload files: their kind, and how they are called."""


def payloads(thing: str | None, workspace: Path) -> tuple[list[Path], str | None]:
    """The payload file that is meant, of any kind, or those in a folder of a run, with the kind they are to be.

    No files: it is something else that is meant.
    """
    from ticketctl.artifacts.lone import is_lone

    if thing is None:
        return [], None
    if is_lone(thing):
        return [Path(thing)], None
    folder = next((base for base in (Path(thing), workspace / thing) if base.is_dir()), None)
    if folder is None or folder.name not in FOLDERS:
        return [], None
    kind, pattern = FOLDERS[folder.name]
    return sorted(path for path in folder.glob(pattern) if path.is_file()), kind


def verdict_folder(thing: str | None, workspace: Path) -> Path | None:
    """The folder of the verdict that is meant: itself, that of its document, or the only one in it; None: none is.

    Raises:
        UsageError: a folder that holds several; names them.
    """
    for base in [] if thing is None else (Path(thing), workspace / thing):
        folder = base.parent if base.name == "verdict.json" else base
        if (folder / "verdict.json").is_file():
            return folder
        inside = sorted(path.parent for path in folder.glob("verdict-*/verdict.json"))
        if len(inside) > 1:
            names = listed([path.name for path in inside])
            raise UsageError(f"{folder} holds {len(inside)} verdicts; name one: {names}")
        if inside:
            return inside[0]
    return None


def folders_of_runs(thing: str | None, workspace: Path) -> list[Path]:
    """The folders of the runs that lie side by side in a folder, as `spend` names one; none if it is no such folder."""
    folders = [] if thing is None else [base for base in (Path(thing), workspace / thing) if base.is_dir()]
    whole = ("run.json", "ticket.json", "ticket/ticket.json")
    if not folders or any((folders[0] / name).is_file() for name in whole):
        return []
    return sorted(path.parent for path in folders[0].glob("*/run.json"))
